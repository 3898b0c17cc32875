"""Choice of words for one caption: which facts it mentions and how each is phrased."""

import re
from collections.abc import Sequence

import numpy as np

from muscaps.corpus.facts import Facts, InstrumentFact
from muscaps.corpus.genres import GENRES, UNNAMED
from muscaps.corpus.instrument_phrases import PHRASES, attributive, is_plural, played_phrases
from muscaps.corpus.mood_words import (
    ENERGY_ADJECTIVES,
    MOODS,
    TEMPO_ADJECTIVES,
    TEMPO_ADVERBIALS,
    TEXTURE_ADJECTIVES,
)

PLAYING_SHARE = 0.6
"""How often an instrument is named with its playing, where that is known."""
SECTION_SHARE = 0.75
"""How often several instruments of a section are named as a section."""
_ORCHESTRA = frozenset({"string section", "brass section", "woodwinds"})
_SECTIONS: tuple[tuple[frozenset[str], int, str], ...] = (
    (frozenset({"violin", "violins", "viola", "violas", "cello", "cellos", "basses"}), 3, "string section"),
    (
        frozenset({"trumpet", "trumpets", "trombone", "trombones", "tuba", "tubas", "french horn", "french horns"}),
        2,
        "brass section",
    ),
    (
        frozenset({"flute", "flutes", "oboe", "oboes", "clarinet", "clarinets", "bassoon", "piccolo", "bass clarinet"}),
        3,
        "woodwinds",
    ),
)
"""Instruments, and how many of them a caption sums up as a section."""
_DRUMS = frozenset({"drums", "percussion", "drum kit", "brushed kit", "drum machine"})
_THIRD_PERSON = {"carry": "carries"}


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """Draw one option, the first with half of the probability."""
    return options[0] if len(options) == 1 or rng.random() < 0.5 else options[int(rng.integers(len(options)))]


def joined(items: Sequence[str]) -> str:
    """Join phrases with commas and a final "and"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


class Wording:
    """The slots of a sentence, filled by chance from a track's facts.

    A slot that the facts cannot fill is missing from `slots`.
    """

    def __init__(self, facts: Facts, rng: np.random.Generator) -> None:
        self.facts = facts
        self.rng = rng
        self.slots: dict[str, str] = {}
        self.mood_words: tuple[str, ...] = ()
        self._count: dict[str, int] = {}
        self._fill_adjectives()
        self._fill_nouns()
        self._fill_instruments()

    def filled(self, slot: str, verb: str = "") -> str:
        """Return a slot's words, with a verb that agrees with them."""
        words = self.slots[slot]
        if not verb:
            return words
        plural = self._count[slot] > 1 or is_plural(words)
        return f"{words} {verb if plural else _THIRD_PERSON.get(verb, verb + 's')}"

    def _fill_adjectives(self) -> None:
        facts, rng = self.facts, self.rng
        num_moods = int(rng.choice([1, 2, 2, 3]))
        chosen = [facts.moods[i] for i in rng.permutation(len(facts.moods))[:num_moods]]
        words = [(MOODS[mood].rank, pick(MOODS[mood].words, rng)) for mood in chosen]
        said = {tag for mood in chosen for tag in facts.energies if MOODS[mood].rank >= 4 or tag == "medium"}
        if len(facts.energies) == 1 and not said and len(words) < 2 and rng.random() < 0.4:
            (energy,) = facts.energies
            if energy in ENERGY_ADJECTIVES:
                words.append((4, pick(ENERGY_ADJECTIVES[energy], rng)))
        self.mood_words = tuple(word for _, word in words)
        ordered = [word for _, word in sorted(dict.fromkeys(words), key=lambda pair: pair[0])]
        if ordered:
            self.slots["moods"] = ", ".join(ordered)
            self.slots["moods_and"] = joined(ordered)
            self.slots["mood"] = ordered[0]
        if len(ordered) > 1:
            self.slots["two_moods"] = joined(ordered)
        if facts.tempo:
            self.slots["tempo"] = pick(TEMPO_ADJECTIVES[facts.tempo], rng)
            self.slots["at_tempo"] = pick(TEMPO_ADVERBIALS[facts.tempo], rng)
        if facts.triple_meter:
            self.slots["in_three"] = pick(("in three-four time", "in triple time"), rng)
        if facts.texture:
            self.slots["texture"] = pick(TEXTURE_ADJECTIVES[facts.texture], rng)

    def _fill_nouns(self) -> None:
        facts, rng = self.facts, self.rng
        genre = GENRES[facts.genres[int(rng.integers(len(facts.genres)))]] if facts.genres else UNNAMED
        if genre.counted:
            self.slots["piece"] = genre.counted[int(rng.integers(len(genre.counted)))]
        if genre.uncounted:
            self.slots["music"] = genre.uncounted[int(rng.integers(len(genre.uncounted)))]
            if facts.genres:
                self.slots["style"] = self.slots["music"]
        self.slots["plain_piece"] = ("piece", "tune")[int(rng.integers(2))]
        adjectives = self._adjectives_of_piece()
        if "piece" in self.slots and (adjectives or facts.genres):
            self.slots["described"] = f"{adjectives} {self.slots['piece']}".strip()

    def _adjectives_of_piece(self) -> str:
        """Moods, a tempo, both or a texture: "fast, driving", "dark, epic mid-tempo"."""
        moods = self.slots["moods"] if "moods" in self.slots and self.rng.random() < 0.75 else ""
        if "tempo" in self.slots and self.rng.random() < (0.35 if moods else 0.6):
            tempo = self.slots["tempo"]
            if not moods:
                return tempo
            return f"{moods} {tempo}" if self.facts.tempo == "medium" else f"{tempo}, {moods}"
        if "texture" in self.slots and not moods and self.rng.random() < 0.3:
            return self.slots["texture"]
        return moods

    def _fill_instruments(self) -> None:
        facts, rng = self.facts, self.rng
        if facts.solo:
            only = facts.instruments[0]
            self.slots["solo"] = pick(PHRASES[only.name], rng)
            played = self._played(only)
            if played:
                self.slots["played_solo"] = played
            return
        chosen = self._chosen()
        if not chosen:
            return
        phrases = [self._phrase(fact) for fact in chosen]
        self._put("all", phrases)
        if facts.energies <= {"low", "medium"}:
            self._put("calm_all", phrases)
        by_function = {
            function: [phrase for phrase, fact in zip(phrases, chosen, strict=True) if function_of(fact) == function]
            for function in ("melody", "harmony", "rhythm")
        }
        tonal = by_function["melody"] + by_function["harmony"]
        if tonal and by_function["rhythm"]:
            self._put("melodic", tonal)
            self._put("rhythm", by_function["rhythm"])
        leads = [index for index, fact in enumerate(chosen) if fact.function == "melody"]
        if leads and len(chosen) > 1:
            self._put("lead", [phrases[leads[0]]])
            self._put("rest", [phrase for index, phrase in enumerate(phrases) if index != leads[0]])
        if facts.duet and len(chosen) == 2:
            self._put("duet", [PHRASES[fact.name][0] for fact in chosen])
        late = [phrase for phrase, fact in zip(phrases, chosen, strict=True) if fact.enters_late]
        early = [phrase for phrase, fact in zip(phrases, chosen, strict=True) if not fact.enters_late]
        if late and early:
            self._put("late", late)
            self._put("early", early)

    def _put(self, slot: str, phrases: list[str]) -> None:
        self.slots[slot] = joined(phrases)
        self._count[slot] = len(phrases)

    def _chosen(self) -> list[InstrumentFact]:
        """Two to four instruments; sections stand for their members in some captions."""
        facts, rng = self.facts, self.rng
        instruments = list(facts.instruments)
        for members, least, section in _SECTIONS:
            inside = [fact for fact in instruments if fact.name in members]
            if len(inside) >= least and rng.random() < SECTION_SHARE:
                place = instruments.index(inside[0])
                instruments = [fact for fact in instruments if fact not in inside]
                functions = {fact.function for fact in inside}
                function = functions.pop() if len(functions) == 1 else ""
                instruments.insert(place, InstrumentFact(name=section, function=function))
        if {fact.name for fact in instruments} >= _ORCHESTRA and rng.random() < 0.4:
            instruments = [fact for fact in instruments if fact.name not in _ORCHESTRA]
            instruments.insert(0, InstrumentFact(name="orchestra"))
        instruments = _drums_once(instruments)
        wanted = int(rng.choice([2, 3, 3, 3, 4]))
        if facts.ranked:
            return self._most_prominent(instruments, wanted)
        kept = sorted(rng.permutation(len(instruments))[:wanted])
        return [instruments[index] for index in kept]

    def _most_prominent(self, instruments: list[InstrumentFact], wanted: int) -> list[InstrumentFact]:
        """The first instruments, each family once; some captions name a second one, except of synths."""
        families: set[str] = set()
        kept: list[InstrumentFact] = []
        for fact in instruments:
            known = bool(fact.families & families)
            if not known or ("synth" not in fact.families and self.rng.random() < 0.4):
                kept.append(fact)
                families |= fact.families
        return kept[:wanted]

    def _phrase(self, fact: InstrumentFact) -> str:
        played = self._played(fact) if self.rng.random() < PLAYING_SHARE else ""
        return played or pick(PHRASES[fact.name], self.rng)

    def _played(self, fact: InstrumentFact) -> str:
        if not fact.playings:
            return ""
        playing = fact.playings[int(self.rng.integers(len(fact.playings)))]
        family = next(iter(sorted(fact.families)), "")
        options = played_phrases(fact.name, family, playing)
        return pick(options, self.rng) if options else ""


def _drums_once(instruments: Sequence[InstrumentFact]) -> list[InstrumentFact]:
    """Keep the first of several names for drums: "percussion over drums" says one thing twice."""
    drums = [fact for fact in instruments if fact.name in _DRUMS]
    return [fact for fact in instruments if fact not in drums[1:]]


def function_of(fact: InstrumentFact) -> str:
    """Return an instrument's function, guessed from its family only for drums and basses."""
    if fact.function:
        return fact.function
    return "rhythm" if fact.families <= {"drums", "bass"} and fact.families else "harmony"


def content_stems(text: str, function_words: frozenset[str]) -> list[str]:
    """Return the content words of a sentence, cut to a common stem: plural endings and what follows five letters."""
    words = re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*", text.lower())
    parts = [part for word in words for part in word.split("-") if word not in function_words]
    return [attributive(part)[:5] for part in parts if part not in function_words]
