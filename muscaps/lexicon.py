"""Phrases of music descriptions and what each one claims: the only table of its kind.

The grammar of rendered captions, the re-ranking of hypotheses and the facts evaluation use this table.

Conventions:

- A claim is a facet (`FACETS`) and a tag. Facet instrument has two layers: 13 families and single instruments.
  Facet mood has two layers as well: dark or bright, and finer feels. One phrase can claim in several layers:
  "violin" claims the family strings and the instrument violin, "aggressive" claims dark, aggressive and high energy.
- Phrases match whole words, in lower case. Within a layer the longest phrase wins: "bass clarinet" does not claim the
  instrument clarinet. Layers do not affect each other. A phrase that ends with `*` matches every word with that start.
- Families follow the words alone, in captions and catalogues alike: "bass clarinet" counts for bass and for woodwind.
- The tag `""` stands for no claim: it takes a longer phrase out of the layer ("acoustic guitar" is no acoustic music).
- A text has one tempo at most: slow before fast before medium.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

Facet = Literal["genre", "mood", "instrument", "energy", "tempo", "vocals"]
Layer = Literal["family", "instrument", "mood", "feel", "energy", "tempo", "vocals", "genre"]

FACETS: tuple[Facet, ...] = ("genre", "mood", "instrument", "energy", "tempo", "vocals")

_PHRASES: dict[Layer, dict[str, str]] = {
    "family": {
        "piano": "piano, pianos, keys, keyboard, keyboards, ep, rhodes, harpsichord, clav*",
        "organ": "organ, organs, accordion, accordions, harmonica",
        "guitar": "guitar, guitars, banjo, mandolin, ukulele, uke, sitar, lute",
        "bass": "bass, basses, contrabass",
        "strings": "string, strings, violin, violins, viola, violas, cello, cellos, celli, fiddle, fiddles, "
        "orchestra*, pizzicato",
        "brass": "brass, trumpet, trumpets, trombone, trombones, horn, horns, tuba, tubas, baritone, baritones, "
        "cornet, cornets",
        "woodwind": "woodwind, woodwinds, flute, flutes, clarinet, clarinets, oboe, oboes, bassoon, bassoons, "
        "recorder, recorders, piccolo, piccolos, whistle, whistles, pan pipe, pan pipes, panpipe, panpipes",
        "sax": "sax*",
        "mallets": "marimba, marimbas, vibes, vibraphone*, xylophone, xylophones, glock*, celesta, celestas, bell, "
        "bells, mallet, mallets, music box, kalimba",
        "drums": "drum, drums, percussion, kit, beat, beats, conga, congas, bongo, bongos, timpani, tympani, snare, "
        "cymbal, cymbals, tabla",
        "synth": "synth*, electronic*, pad, pads, moog",
        "choir": "choir, choirs, voice, voices, vocal, vocals, choral, chorus",
        "harp": "harp, harps",
    },
    "instrument": {
        "electric piano": "electric piano, electric pianos, ep, rhodes, wurlitzer",
        "honky-tonk piano": "honky-tonk piano",
        "harpsichord": "harpsichord",
        "clavinet": "clav, clavinet",
        "accordion": "accordion, accordions",
        "harmonica": "harmonica",
        "electric organ": "electric organ, hammond organ, jazz organ, rock organ",
        "church organ": "church organ, pipe organ",
        "acoustic guitar": "acoustic guitar, acoustic guitars, classical guitar, nylon guitar, steel-string guitar",
        "electric guitar": "electric guitar, electric guitars, clean guitar, muted guitar, wah guitar",
        "distorted guitar": "distorted guitar, distorted guitars, overdriven guitar, overdriven guitars",
        "banjo": "banjo, banjos",
        "mandolin": "mandolin, mandolins",
        "ukulele": "ukulele, ukuleles, uke",
        "sitar": "sitar",
        "acoustic bass": "acoustic bass, upright bass, double bass, contrabass",
        "electric bass": "electric bass, bass guitar, slap bass, fretless bass",
        "synth bass": "synth bass, sub bass, electronic bass",
        "violin": "violin, violins, fiddle, fiddles",
        "viola": "viola, violas",
        "cello": "cello, cellos, celli",
        "string section": "strings, string section, string ensemble, string orchestra",
        "orchestra": "orchestra, full orchestra, orchestral ensemble",
        "trumpet": "trumpet, trumpets",
        "trombone": "trombone, trombones",
        "french horn": "french horn, french horns, horn, horns",
        "tuba": "tuba, tubas",
        "flute": "flute, flutes, pan flute, pan pipes, alto flute, bass flute",
        "clarinet": "clarinet, clarinets",
        "bass clarinet": "bass clarinet, bass clarinets",
        "oboe": "oboe, oboes",
        "english horn": "english horn",
        "bassoon": "bassoon, bassoons",
        "recorder": "recorder, recorders",
        "piccolo": "piccolo, piccolos",
        "whistle": "whistle, whistles, tin whistle, penny whistle",
        "marimba": "marimba, marimbas",
        "vibraphone": "vibes, vibraphone, vibraphones",
        "xylophone": "xylophone, xylophones",
        "glockenspiel": "glockenspiel, glock",
        "celesta": "celesta, celestas, celeste",
        "bells": "bell, bells, tubular bells, chimes",
        "music box": "music box",
        "kalimba": "kalimba",
        "drum kit": "drum kit, drum kits, kit, acoustic drums, brushed drums, brushed kit, jazz kit",
        "drum machine": "drum machine, drum machines, electronic drums, electronic kit, electronic beat, "
        "electronic beats, synth drums",
        "timpani": "timpani, tympani",
        "hand percussion": "hand percussion, hand drums, conga, congas, bongo, bongos, tabla, shaker, shakers, "
        "tambourine",
        "synth pad": "pad, pads, synth pad, synth pads, synthesizer pads, synthesiser pads",
        "synth lead": "synth lead, synth leads",
        "synth arpeggio": "synth arpeggio, synth arpeggios",
    },
    "mood": {
        "dark": "dark*, eerie, ominous, unnerving, suspense*, tense, tension, brooding, sad, somber, sombre, "
        "melanchol*, haunting, mysterious, menacing, aggressive, gloomy, minor",
        "bright": "bright*, happy, bouncy, cheerful, humorous, humourous, playful, uplifting, upbeat, fun, joyful, "
        "sunny, light-hearted, lighthearted, major, merry",
    },
    "feel": {
        "action": "action, action-packed",
        "aggressive": "aggressive, menacing",
        "bouncy": "bouncy",
        "calm": "calm*, gentle, peaceful, tranquil, serene",
        "driving": "driving, pounding",
        "eerie": "eerie, haunting, ghostly, spooky",
        "epic": "epic, powerful, rousing, heroic, triumphant",
        "grooving": "grooving, groovy, funky",
        "happy": "happy, cheerful, joyful, sunny, merry",
        "humorous": "humorous, humourous, playful, comic, comical, quirky, light-hearted, lighthearted, silly",
        "intense": "intense, frantic",
        "mysterious": "mysterious, enigmatic",
        "mystical": "mystical, magical, ethereal, dreamy, otherworldly",
        "relaxed": "relax*, mellow, laid-back, laidback, easygoing, easy-going",
        "somber": "somber, sombre, sad, melanchol*, mournful, sorrowful, gloomy",
        "suspenseful": "suspense*, tense, tension",
        "unnerving": "unnerving, ominous, unsettling, sinister, creepy",
        "uplifting": "uplifting, upbeat, inspiring, hopeful, optimistic",
    },
    "energy": {
        "high": "driving, energetic, action, intense, epic, powerful, aggressive, fast, frantic, rousing, lively, "
        "uptempo, up-tempo, busy, pounding, bouncy, loud",
        "low": "calm*, relax*, slow, gentle, quiet, soft, peaceful, mellow, sparse, ambient, tranquil, serene, "
        "laidback, laid-back, delicate",
    },
    "tempo": {
        "slow": "slow, slowly, leisurely, ballad",
        "fast": "fast, quick, rapid, uptempo, up-tempo, presto, brisk, frantic",
        "medium": "midtempo, mid-tempo, moderate, medium tempo, walking pace",
    },
    "vocals": {
        "none": "instrumental, no vocals",
        "female": "female vocal*, female voice*, female singer, female singers, soprano, sopranos, woman's voice",
        "male": "male vocal*, male voice*, male singer, male singers, tenor voice, man's voice",
        "choir": "choir, choirs, choral, mixed choir, male choir, female choir, children's choir",
    },
    "genre": {
        "": "acoustic guitar, acoustic guitars, acoustic bass, acoustic piano, acoustic drums, electronic drums, "
        "electronic kit, electronic beat, electronic beats, electronic percussion, electronic bass, jazz kit, jazz "
        "organ, jazz guitar, rock organ, rock guitar, marching drums, marching snare, orchestral percussion",
        "acoustic": "acoustic",
        "african": "african, afrobeat",
        "ambient": "ambient, soundscape, soundscapes, drone",
        "blues": "blues, bluesy",
        "celtic": "celtic, irish, scottish",
        "chamber": "chamber, string quartet",
        "children": "children's, lullaby",
        "chiptune": "chiptune, chiptunes, 8-bit, 8bit, arcade",
        "choral": "choral, sacred, gregorian",
        "cinematic": "cinematic, soundtrack, trailer, underscore, scoring, film score, film music, score",
        "classical": "classical, baroque, symphonic, symphony, opera, operatic",
        "comedy": "comedy, cartoon, slapstick, vaudeville",
        "contemporary": "contemporary",
        "country": "country, bluegrass, western",
        "dance": "dance, dance pop, eurodance, edm, club",
        "disco": "disco, nu-disco",
        "downtempo": "downtempo, chillout, chill-out, lounge, trip-hop, trip hop, lo-fi",
        "drum and bass": "drum and bass, drum & bass, breakbeat, jungle, dubstep",
        "electronica": "electronica, electronic, electro",
        "fantasy": "fantasy, medieval",
        "folk": "folk, singer-songwriter",
        "funk": "funk, funky",
        "gospel": "gospel",
        "hip hop": "hip hop, hip-hop, rap, trap, urban",
        "holiday": "holiday, christmas",
        "horror": "horror, halloween",
        "house": "house, deep house, tropical house",
        "jazz": "jazz, jazzy, swing, bebop, big band, dixieland",
        "latin": "latin, salsa, bossa nova, bossa, samba, tango, mariachi",
        "march": "march, marching, parade, military march",
        "metal": "metal, heavy metal, thrash",
        "minimalism": "minimalism, minimalist",
        "new age": "new age, meditation",
        "orchestral": "orchestral, orchestra, full orchestra",
        "polka": "polka",
        "pop": "pop, synth-pop, synthpop, corporate",
        "punk": "punk, punk rock, pop punk",
        "ragtime": "ragtime, rag, stride",
        "reggae": "reggae, dub, dancehall",
        "rock": "rock, hard rock, heavy rock, rock and roll, rock & roll, surf rock, indie rock, grunge",
        "silent film": "silent film, silent film score, silent movie",
        "ska": "ska",
        "soul": "soul, r&b, rhythm and blues",
        "synthwave": "synthwave, retrowave",
        "techno": "techno",
        "trance": "trance",
        "video game": "video game, game music",
        "waltz": "waltz",
        "world": "world, world music, ethnic, middle eastern, middle-eastern, indian, asian, oriental, turkish",
    },
}

FAMILIES = tuple(_PHRASES["family"])
"""Instrument families, tags of facet instrument."""
INSTRUMENTS = tuple(_PHRASES["instrument"])
"""Single instruments, tags of facet instrument."""
MOODS = tuple(_PHRASES["mood"])
"""Dark and bright, tags of facet mood."""
FEELS = tuple(_PHRASES["feel"])
"""Finer moods, tags of facet mood."""
ENERGIES = tuple(_PHRASES["energy"])
TEMPOS = tuple(_PHRASES["tempo"])
"""In order of precedence."""
GENRES = tuple(filter(None, _PHRASES["genre"]))
LAYERS: tuple[Layer, ...] = tuple(_PHRASES)

SLOW_BELOW_BPM, FAST_ABOVE_BPM = 85.0, 128.0

_FACET_OF: Mapping[Layer, Facet] = {
    "family": "instrument",
    "instrument": "instrument",
    "mood": "mood",
    "feel": "mood",
    "energy": "energy",
    "tempo": "tempo",
    "vocals": "vocals",
    "genre": "genre",
}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one phrase of a text says about the music."""

    phrase: str
    """The words as they stand in the text, in lower case."""
    start: int
    """Position of its first character in the text."""
    layer: Layer
    """`family` or `instrument` for facet instrument, `mood` or `feel` for facet mood, else the facet."""
    tag: str

    @property
    def facet(self) -> Facet:
        """The facet of `layer`."""
        return _FACET_OF[self.layer]


def claims(text: str) -> list[Claim]:
    """Find every claim of a text.

    Args:
        text: A caption, or the words of a catalogue column.

    Returns:
        Claims by position; at one position those of families and coarse moods come before finer ones. A tag can occur
        more than once.
    """
    lowered = text.lower()
    found = [claim for layer in LAYERS for claim in _claims_in(lowered, layer)]
    return sorted(found, key=lambda claim: claim.start)  # stable: layers stay in order


def tags_in(text: str, layer: Layer) -> frozenset[str]:
    """Return the tags of one layer that a text claims; one tag at most for `tempo`."""
    found = {claim.tag for claim in _claims_in(text.lower(), layer)}
    if layer == "tempo":
        return frozenset(next(([tag] for tag in TEMPOS if tag in found), []))
    return frozenset(found)


def starts_longer_phrase(word: str, layer: Layer) -> bool:
    """Whether a word of its own claims something in a layer, but can also begin a longer phrase there."""
    return any(phrase.startswith(f"{word} ") for phrases in _PHRASES[layer].values() for phrase in _split(phrases))


def tags_of(layer: Layer) -> tuple[str, ...]:
    """Return the tags that a layer knows."""
    return tuple(filter(None, _PHRASES[layer]))


def facet_of(layer: Layer) -> Facet:
    """Return the facet of a layer."""
    return _FACET_OF[layer]


def phrases_of(layer: Layer, tag: str) -> tuple[str, ...]:
    """Return the phrases that claim a tag; `*` at the end stands for any further letters.

    Raises:
        KeyError: The layer has no such tag.
    """
    return _split(_PHRASES[layer][tag])


def exclude_each_other(facet: str, tag: str, other_facet: str, other_tag: str) -> bool:
    """Whether two tags cannot both be true of a track: two tempos, two energies, dark and bright, vocals and none."""
    if facet != other_facet or tag == other_tag:
        return False
    if facet == "mood":
        return tag in MOODS and other_tag in MOODS
    return facet in ("tempo", "energy") or (facet == "vocals" and "none" in (tag, other_tag))


def tempo_class(bpm: float) -> str:
    """Return slow (below 85 beats per minute), medium or fast (above 128)."""
    return "slow" if bpm < SLOW_BELOW_BPM else "fast" if bpm > FAST_ABOVE_BPM else "medium"


def _claims_in(lowered: str, layer: Layer) -> Iterable[Claim]:
    pattern, exact, prefixes = _matcher(layer)
    for match in pattern.finditer(lowered):
        phrase = match.group()
        tags = exact.get(phrase) or next(tags for prefix, tags in prefixes.items() if phrase.startswith(prefix))
        for tag in filter(None, tags):
            yield Claim(phrase=phrase, start=match.start(), layer=layer, tag=tag)


@cache
def _matcher(layer: Layer) -> tuple[re.Pattern[str], dict[str, list[str]], dict[str, list[str]]]:
    """Return a layer's pattern, longest phrases first, and its tags by whole phrase and by prefix."""
    exact: dict[str, list[str]] = {}
    prefixes: dict[str, list[str]] = {}
    for tag, phrases in _PHRASES[layer].items():
        for phrase in _split(phrases):
            table = prefixes if phrase.endswith("*") else exact
            table.setdefault(phrase.rstrip("*"), []).append(tag)
    ordered = sorted([*exact, *(f"{prefix}*" for prefix in prefixes)], key=len, reverse=True)
    words = "|".join(re.escape(phrase).replace(r"\*", r"\w*") for phrase in ordered)
    return re.compile(rf"\b(?:{words})\b"), exact, prefixes


def _split(phrases: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in phrases.split(","))


_STOP_WORDS = frozenset(
    "a an and the of at with for in on over by to from that is are as its it into through under while or this then but "
    "before after behind between up s".split()
)


def content_word(token: str) -> str | None:
    """Return what two uses of a content word have in common, None for stop words, punctuation and special tokens.

    Args:
        token: A token of `vocabulary.tokenize`.

    Returns:
        The token without a plural s: "synth" and "synths" are one content word.
    """
    if token in _STOP_WORDS or not token[:1].isalnum():
        return None
    plural = len(token) > 3 and token[-1] == "s" and token[-2] not in "su"
    return token[:-1] if plural else token


def article(word: str) -> str:
    """Return "a" or "an", whichever the sound of the next word needs; for words of music descriptions."""
    vowel = word[:1] in set("aeio") or word.startswith(("8", "un", "up", "ur"))
    return "an" if vowel else "a"
