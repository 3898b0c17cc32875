"""What each part plays: basses, accompaniments, melodies and drum grooves laid over chords."""

from muscaps.corpus.patterns.basses import BASS_STEPS, bass_drone, bass_random_sixteenths, bass_walking, grid_bass
from muscaps.corpus.patterns.chords import (
    arpeggio,
    chords_power,
    chords_stabs,
    chords_sustained,
    chords_tremolo,
    rhythm_chords,
)
from muscaps.corpus.patterns.grooves import GROOVES, drum_notes
from muscaps.corpus.patterns.keyboard import piano_boogie, piano_broken, piano_stride
from muscaps.corpus.patterns.melodies import chromatic_runs, fanfare, melody
from muscaps.corpus.patterns.piece import BeatNote, Pattern, Piece
from muscaps.corpus.patterns.textures import riser, sparse_notes, swells

__all__ = ["GROOVES", "PATTERNS", "BeatNote", "Pattern", "Piece", "drum_notes"]

PATTERNS: dict[str, Pattern] = {
    "bass whole": bass_drone,
    "bass roots": grid_bass("r...", BASS_STEPS, 3.5),
    "bass fifths": grid_bass("r.5.", BASS_STEPS, 0.8),
    "bass oompah": grid_bass("r.b.", BASS_STEPS, 0.6),
    "bass waltz": grid_bass("r..", BASS_STEPS, 0.8),
    "bass eighths": grid_bass("r.r.r.r.r.r.r.r.", BASS_STEPS, 0.45),
    "bass octaves": grid_bass("r.8.r.8.r.8.r.8.", BASS_STEPS, 0.4),
    "bass sixteenths": grid_bass("rrrrrrrrrrrrrrrr", BASS_STEPS, 0.22),
    "bass gallop": grid_bass("r.rrr.rrr.rrr.rr", BASS_STEPS, 0.22),
    "bass offbeat": grid_bass("..r...r...r...r.", BASS_STEPS, 0.4),
    "bass rolling": grid_bass(".rrr.rrr.rrr.rrr", BASS_STEPS, 0.22),
    "bass reggae": grid_bass("r.....r.5.3.....", BASS_STEPS, 0.6),
    "bass ska": grid_bass("r...3...5...6...", BASS_STEPS, 0.8),
    "bass funk": grid_bass("r..r....r.8..7.5", BASS_STEPS, 0.3),
    "bass tumbao": grid_bass("...r..5....8..5.", BASS_STEPS, 0.6),
    "bass bossa": grid_bass("r.....5.5.....r.", BASS_STEPS, 0.9),
    "bass 808": grid_bass("r......r..r.....", BASS_STEPS, 1.6),
    "bass breakbeat": grid_bass("r.....r...5.r...", BASS_STEPS, 0.9),
    "bass walking": bass_walking,
    "bass riff": bass_random_sixteenths,
    "sustained": chords_sustained,
    "offbeats": rhythm_chords("..x...x...x...x.", 0.25),
    "backbeats": rhythm_chords("....x.......x...", 0.4),
    "quarters": rhythm_chords("X.x.X.x.", 0.8),
    "block quarters": rhythm_chords("xxxx", 0.7),
    "waltz chords": rhythm_chords(".xx", 0.5),
    "strum": rhythm_chords("X.x.x.xxx.x.x.xx", 0.4, strum=0.02, size=5),
    "slow strum": rhythm_chords("X...x..x", 0.9, strum=0.04, size=5),
    "bossa comp": rhythm_chords("x..x..x...x..x..", 0.35),
    "montuno": rhythm_chords("x.xx.x.x.x.xx.x.", 0.25, size=4),
    "scratch": rhythm_chords("..x..x.x..x..x.x", 0.15),
    "house piano": rhythm_chords("x..x..x..x..x.x.", 0.3, size=4),
    "stabs": chords_stabs,
    "power": chords_power,
    "arp 8": arpeggio(0.5, 5),
    "arp 16": arpeggio(0.25, 6),
    "arp triplet": arpeggio(1 / 3, 5),
    "arp slow": arpeggio(1.0, 6),
    "ostinato": chords_tremolo,
    "melody": melody(),
    "calm melody": melody(calm=True),
    "low melody": melody(low=48),
    "comic melody": melody(chromatic=0.25),
    "octave melody": melody(doubled=True, chromatic=0.1),
    "runs": chromatic_runs,
    "stride": piano_stride,
    "boogie": piano_boogie,
    "broken": piano_broken,
    "swells": swells,
    "sparse": sparse_notes,
    "riser": riser,
    "fanfare": fanfare,
}
"""Every pattern by name."""
