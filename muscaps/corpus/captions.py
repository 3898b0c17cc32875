"""Sentences about a clip, in the manner of production-music descriptions.

Every word that says something about instruments, mood, energy or tempo is listed here or in `truth.FEELS` with what it
claims, and a sentence is only built from words whose claims hold. Sentences have 5 to 22 words.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from muscaps.corpus.instruments import INSTRUMENTS
from muscaps.corpus.truth import FEELS, Truth

MAX_WORDS = 22

_TEMPO_ADVERBS = {
    "slow": ("at a slow tempo", "at a slow pace", "at a leisurely pace"),
    "medium": ("at a moderate tempo", "at a medium tempo", "at a moderate pace"),
    "fast": ("at a fast tempo", "at a quick pace", "at a brisk tempo"),
}
_TEMPO_ADJECTIVES = {
    "slow": ("slow", "leisurely"),
    "medium": ("mid-tempo", "moderate"),
    "fast": ("fast", "quick", "brisk"),
}
_ENERGY_WORDS = {"high": ("energetic", "lively"), "low": ("gentle", "soft", "quiet"), "medium": ()}
_CLAIMED_ENERGY = {
    "fast": "high",
    "slow": "low",
    "lively": "high",
    "energetic": "high",
    "gentle": "low",
    "soft": "low",
    "quiet": "low",
}
"""Words that claim an energy beside the one they are listed for."""

_NOUN_CLAIMS = {
    "orchestral": "strings",
    "electronica": "synth",
    "electronic": "synth",
    "choral": "choir",
    "percussion": "drums",
    "mallet": "mallets",
}
"""Words in names of styles that claim an instrument family."""
_NOUN_TEMPO = {"ballad": "slow"}
_WHOLE = (
    "polka",
    "waltz",
    "march",
    "lullaby",
    "electronica",
    "solo",
    "ballad",
    "duet",
    "soundscape",
    "bossa nova",
    "underscore",
    "synthwave",
)
"""Names of styles that need no 'track' or 'piece' after them."""
_ENDINGS = ("track", "piece", "music", "cue", "theme", "tune")


def tokens(text: str) -> list[str]:
    """Lower-case words of a sentence; a hyphen joins, other punctuation parts."""
    return re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*", text.lower())


def repeats_a_bigram(text: str) -> bool:
    """Whether two neighbouring words come again."""
    words = tokens(text)
    pairs = list(zip(words, words[1:], strict=False))
    return len(pairs) != len(set(pairs))


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _joined(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _article(phrase: str) -> str:
    word = phrase.split()[0].lower()
    vowel = word[0] in "aeio" or word.startswith(("8", "up", "un", "ur")) or word == "ep"
    return f"{'an' if vowel else 'a'} {phrase}"


def _instrument_names(truth: Truth, rng: np.random.Generator) -> list[str]:
    """Two to four names, the most prominent family first, each family once and rarely twice."""
    nameable = [name for name in truth.instruments if INSTRUMENTS[name].nameable] or list(truth.instruments)
    by_family: dict[str, list[str]] = {}
    for name in nameable:
        by_family.setdefault(INSTRUMENTS[name].family, []).append(name)
    for name in truth.instruments:  # a family heard only through an unnameable part is named all the same
        by_family.setdefault(INSTRUMENTS[name].family, [name])
    wanted = int(rng.choice([2, 3, 3, 4]))
    families = [family for family in truth.families if family in by_family][:wanted]
    chosen = [_pick(by_family[family], rng) for family in families]
    spare = [name for name in nameable if name not in chosen and INSTRUMENTS[name].family in families]
    if spare and len(chosen) < wanted and rng.random() < 0.4:
        chosen.append(_pick(spare, rng))
    phrases: list[str] = []
    used: set[str] = set()
    for name in chosen:
        options = [p for p in INSTRUMENTS[name].names if not used & {w.rstrip("s") for w in tokens(p)}]
        if options:
            weights = np.array([2.0 if index == 0 else 1.0 for index in range(len(options))])
            phrase = options[int(rng.choice(len(options), p=weights / weights.sum()))]
            phrases.append(phrase)
            used |= {word.rstrip("s") for word in tokens(phrase)}
    return phrases


def _adjectives(truth: Truth, rng: np.random.Generator, wanted: int) -> list[str]:
    words: list[str] = []
    for feel in truth.feels[:wanted]:
        options = [word for word in FEELS[feel].words if word not in words]
        if options:
            words.append(options[0] if rng.random() < 0.5 else _pick(options, rng))
    claimed = {FEELS[feel].energy for feel in truth.feels[:wanted]}
    if truth.energy != "medium" and truth.energy not in claimed and rng.random() < 0.7:
        words.append(_pick(_ENERGY_WORDS[truth.energy], rng))
    return words[:3]


def _noun(truth: Truth, rng: np.random.Generator) -> str:
    def holds(noun: str) -> bool:
        return all(
            _NOUN_CLAIMS.get(word, truth.families[0]) in truth.families
            and _NOUN_TEMPO.get(word, truth.tempo) == truth.tempo
            for word in noun.split()
        )

    options = [
        noun
        for noun in (truth.nouns or (truth.style,))
        if holds(noun) and not (noun in ("solo", "duet") and not _fits(noun, truth))
    ]
    noun = _pick(options, rng) if options and rng.random() < 0.85 else ""
    if noun in _WHOLE or noun == "piece":
        return noun
    return f"{noun} {_pick(_ENDINGS, rng)}".strip()


def _fits(noun: str, truth: Truth) -> bool:
    return truth.solo if noun == "solo" else len(truth.instruments) == 2


def _tempo(truth: Truth, rng: np.random.Generator, table: Mapping[str, tuple[str, ...]]) -> str:
    options = [
        phrase
        for phrase in table[truth.tempo]
        if all(_CLAIMED_ENERGY.get(word, truth.energy) == truth.energy for word in tokens(phrase))
    ]
    return _pick(options, rng) if options else ""


def _sentence(truth: Truth, rng: np.random.Generator) -> str:
    names = _instrument_names(truth, rng)
    adjectives = _adjectives(truth, rng, int(rng.choice([1, 2, 2, 3])))
    noun = _noun(truth, rng)
    adverb = _tempo(truth, rng, _TEMPO_ADVERBS) if rng.random() < 0.75 else ""
    adjective = _tempo(truth, rng, _TEMPO_ADJECTIVES)
    listed = ", ".join(adjectives)
    paired = _joined(adjectives) if adjectives else ""
    described = f"{listed} {noun}".strip()
    tail = f" {adverb}" if adverb else ""
    every = _joined(names)
    forms: list[str] = []
    if truth.solo and len(names) == 1:
        forms += [
            f"{listed} solo {every}{tail}",
            f"{_article(described)} for solo {every}{tail}",
            f"{_article(f'{listed} solo {every} piece'.strip())}{tail}",
        ]
        if adjective:
            forms.append(
                f"{adjective}, {listed} {every} {noun if noun != 'solo' else 'piece'}".replace(", ,", ",").replace(
                    ",  ", " "
                )
            )
    else:
        forms += [
            f"{_article(described)} with {every}{tail}",
            f"{described} featuring {every}{tail}",
            f"{listed} {every}{tail}",
            f"{described} built on {every}{tail}",
            f"{every} in {_article(described)}{tail}",
        ]
        if len(names) > 1:
            forms.append(f"{described} led by {names[0]} over {_joined(names[1:])}{tail}")
        if adjective and adjectives:
            forms += [
                f"{adjective}, {described} with {every}",
                f"{_article(f'{adjective} {noun}')} that is {paired}, with {every}",
            ]
    text = re.sub(r"\s+", " ", _pick(forms, rng)).strip(" ,")
    return text[0].upper() + text[1:]


def describe(truth: Truth, rng: np.random.Generator, num_captions: int = 5) -> list[str]:
    """Write different sentences, each true, without repeated bigrams and of at most `MAX_WORDS` words.

    Returns:
        One to `num_captions` distinct sentences.

    Raises:
        ValueError: Nothing audible to name.
    """
    if not truth.instruments:
        raise ValueError("no audible instrument to describe")
    found: list[str] = []
    for _ in range(num_captions * 12):
        text = _sentence(truth, rng)
        if 3 <= len(tokens(text)) <= MAX_WORDS and not repeats_a_bigram(text) and text not in found:
            found.append(text)
        if len(found) == num_captions:
            break
    return found or [f"Music with {_joined(_instrument_names(truth, rng)[:2])}"]
