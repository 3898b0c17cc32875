"""Facts about a track: everything that a caption of it may say.

Rendered clips and catalogue rows are described from the same facts. Conventions: an empty field means unknown, never
absent. Names of instruments are keys of `instrument_phrases.PHRASES`, moods of `mood_words.MOODS`, genres of
`genres.GENRES`; tempos and energies are the tags of `muscaps.lexicon`.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from muscaps import lexicon
from muscaps.corpus.genres import GENRES
from muscaps.corpus.instrument_phrases import PHRASES, played_phrases
from muscaps.corpus.mood_words import MOODS

Function = Literal["melody", "harmony", "rhythm", ""]


@dataclass(frozen=True, kw_only=True)
class InstrumentFact:
    """One instrument of a track."""

    name: str
    playings: tuple[str, ...] = ()
    """How it is played, keys of `instrument_phrases.PLAYED`; empty when unknown."""
    function: Function = ""
    """What it contributes: melody, harmony or rhythm; empty when unknown."""
    enters_late: bool = False
    """Whether it is known to be silent in the first quarter."""

    @cached_property
    def families(self) -> frozenset[str]:
        """Instrument families as the lexicon names them."""
        return lexicon.tags_in(PHRASES[self.name][0], "family")

    @cached_property
    def phrases(self) -> tuple[str, ...]:
        """Every phrase that names the instrument, with its playing or without."""
        family = next(iter(sorted(self.families)), "")
        played = (phrase for playing in self.playings for phrase in played_phrases(self.name, family, playing))
        return (*PHRASES[self.name], *played)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a track."""

    instruments: tuple[InstrumentFact, ...] = ()
    ranked: bool = False
    """Whether the most prominent instrument comes first."""
    complete: bool = False
    """Whether `instruments` lists every instrument, so that "solo" and "duet" may be said."""
    solo_is_clear: bool = True
    """False where the audio leaves it open whether others play too; then "solo" and "duet" are not said."""
    genres: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    energies: frozenset[str] = frozenset()
    """low, medium or high; two of them where the sources give both."""
    tempo: str = ""
    """slow, medium or fast."""
    bpm: float = 0.0
    """Beats per minute; 0 when unknown."""
    vocals: str = ""
    """none, female, male, choir or empty."""
    texture: str = ""
    """sparse, busy or empty."""
    triple_meter: bool = False

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Instrument families, in the order of the instruments."""
        found = [family for fact in self.instruments for family in sorted(fact.families)]
        return tuple(dict.fromkeys(found))

    @property
    def solo(self) -> bool:
        """Whether one pitched instrument is all there is."""
        alone = self.complete and self.solo_is_clear and len(self.instruments) == 1
        return alone and self.families[:1] not in (("drums",), ("synth",))

    @property
    def duet(self) -> bool:
        """Whether two pitched instruments are all there is."""
        unpitched = ("drums", "synth")
        together = self.complete and self.solo_is_clear and len(self.instruments) == 2
        return together and not any(f in unpitched for f in self.families)

    @property
    def feels(self) -> frozenset[str]:
        """Finer moods as the lexicon names them."""
        return frozenset(tag for mood in self.moods for tag in lexicon.tags_in(MOODS[mood].words[0], "feel"))

    @property
    def coarse_moods(self) -> frozenset[str]:
        """dark, bright, both or neither."""
        return frozenset(tag for mood in self.moods for tag in lexicon.tags_in(MOODS[mood].words[0], "mood"))

    def tags_of_genres(self, layer: lexicon.Layer) -> frozenset[str]:
        """Tags of a layer that the names of the genres claim."""
        phrases = [phrase for genre in self.genres for phrase in (*GENRES[genre].counted, *GENRES[genre].uncounted)]
        return frozenset(tag for phrase in phrases for tag in lexicon.tags_in(phrase, layer))


def unsupported_claims(text: str, facts: Facts) -> list[lexicon.Claim]:
    """Return the claims of a text that the facts do not hold.

    A word of a mood may claim the energy and the coarse mood that come with it: "bouncy" is bright and energetic. The
    name of a genre may claim a family ("electronica" claims synths) where the list of instruments is not complete.
    """
    supported = _supported_tags(facts)
    return [claim for claim in lexicon.claims(text) if claim.tag not in supported.get(claim.layer, (claim.tag,))]


@lru_cache(maxsize=16)
def _supported_tags(facts: Facts) -> dict[lexicon.Layer, frozenset[str]]:
    """The tags that may be claimed, by layer; a layer that is missing is not checked."""
    phrases = ", ".join(phrase for fact in facts.instruments for phrase in fact.phrases)
    moods = ", ".join(word for mood in facts.moods for word in MOODS[mood].words)
    energies = facts.energies | lexicon.tags_in(moods, "energy")
    if not facts.energies:  # unknown: what slow, fast and sparse imply
        implied = {"slow": "low", "fast": "high"}.get(facts.tempo, "")
        energies |= {implied, "low" if facts.texture == "sparse" else ""} - {""}
    return {
        "family": frozenset(facts.families) | (frozenset() if facts.complete else facts.tags_of_genres("family")),
        "mood": facts.coarse_moods,
        "feel": lexicon.tags_in(moods, "feel"),
        "energy": energies,
        "tempo": frozenset((facts.tempo,)),
        "genre": facts.tags_of_genres("genre") | lexicon.tags_in(phrases, "genre"),
        "vocals": frozenset((facts.vocals, "choir" if "choir" in facts.families else facts.vocals)),
    }
