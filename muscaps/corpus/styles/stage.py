"""Comic and stage music, dances included."""

from muscaps.corpus.styles.style import Style, layer

STAGE: tuple[Style, ...] = (
    Style(
        name="silent film",
        weight=5.0,
        bpm=(88, 184),
        progressions=("comic", "functional", "comic"),
        major_share=0.68,
        nouns=("silent film", "ragtime", "vaudeville", "slapstick"),
        energy=0.15,
        staccato=(0.4, 1.0),
        density=(0.4, 1.0),
        major=("bouncy", "humorous", "bright", "playful"),
        minor=("dark", "bouncy", "mysterious", "humorous"),
        swing=(0, 0.12),
        layers=(
            layer("chords", "stride, stride, boogie, broken", "piano, piano, piano, honky-tonk piano"),
            layer("lead", "comic melody, octave melody, runs, melody, low melody", "SAME"),
        ),
    ),
    Style(
        name="quirky ensemble",
        weight=2.0,
        bpm=(84, 150),
        progressions=("comic", "functional"),
        major_share=0.65,
        nouns=("comedy", "cartoon", "quirky"),
        staccato=(0.6, 1.0),
        density=(0.3, 0.8),
        major=("playful", "humorous", "bouncy", "bright"),
        minor=("mysterious", "humorous", "dark"),
        layers=(
            layer(
                "chords",
                "offbeats, arp 8, block quarters",
                "pizzicato strings, pizzicato strings, marimba, acoustic guitar, piano, accordion",
            ),
            layer("bass", "bass oompah, bass fifths", "bassoon, tuba, acoustic bass, pizzicato strings, trombone", 0.9),
            layer(
                "lead",
                "comic melody, melody, runs",
                "clarinet, bassoon, oboe, flute, xylophone, marimba, glockenspiel, celesta, piccolo, english horn",
            ),
            layer("counter", "sparse, offbeats, melody", "glockenspiel, xylophone, flute, clarinet, trumpet", 0.4, -2),
            layer("drums", "woodblocks, sprinkle, circus, polka", "orchestral percussion, drum kit", 0.45, -2),
        ),
    ),
    Style(
        name="polka",
        weight=1.6,
        bpm=(104, 150),
        progressions=("functional", "comic"),
        major_share=0.7,
        energy=0.15,
        staccato=(0.5, 1),
        major=("bouncy", "bright", "humorous", "playful"),
        minor=("bouncy", "humorous", "dark"),
        layers=(
            layer("bass", "bass oompah", "tuba, tuba, acoustic bass, trombone, synth bass"),
            layer("chords", "offbeats", "accordion, accordion, acoustic guitar, piano, chip lead"),
            layer("lead", "melody, comic melody", "accordion, clarinet, trumpet, violin, chip lead, piccolo", 0.8),
            layer("drums", "polka", "drum kit, drum machine", 0.75, -1),
        ),
    ),
    Style(
        name="march",
        weight=1.5,
        bpm=(100, 138),
        progressions=("functional", "epic", "comic"),
        major_share=0.75,
        energy=0.25,
        staccato=(0.4, 0.9),
        major=("bouncy", "bright", "humorous", "epic"),
        minor=("dark", "epic", "driving"),
        nouns=("march", "circus", "parade"),
        layers=(
            layer("bass", "bass oompah, bass fifths", "tuba, trombone, tuba"),
            layer("chords", "offbeats, fanfare", "trombone, french horn, brass section, trumpet"),
            layer("lead", "melody, fanfare", "trumpet, piccolo, clarinet, brass section"),
            layer("drums", "march, circus, polka", "orchestral percussion, drum kit", 0.85),
            layer("counter", "melody, sparse", "xylophone, glockenspiel, flute, saxophone, piano", 0.35),
        ),
    ),
    Style(
        name="waltz",
        weight=1.5,
        bpm=(84, 168),
        beats_per_bar=3,
        progressions=("functional", "pop", "comic"),
        major_share=0.6,
        energy=-0.1,
        major=("bright", "playful", "calm", "bouncy"),
        minor=("mysterious", "melancholic", "dark"),
        layers=(
            layer("bass", "bass waltz", "acoustic bass, tuba, pizzicato strings, cello, piano"),
            layer(
                "chords",
                "waltz chords, arp 8",
                "piano, accordion, string section, harp, celesta, acoustic guitar, pizzicato strings, music box",
            ),
            layer(
                "lead",
                "melody, calm melody",
                "violin, flute, clarinet, accordion, string section, glockenspiel, music box, oboe, celesta, "
                "tubular bells",
            ),
            layer("drums", "waltz, waltz light", "drum kit, jazz kit, orchestral percussion", 0.35, -3),
        ),
    ),
)
"""In the order in which they are drawn."""
