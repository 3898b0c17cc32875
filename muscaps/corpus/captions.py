"""Captions of a track, in the manner of production-music descriptions.

Every caption says only what the track's facts hold: each phrase that `muscaps.lexicon` counts as a claim is checked
against the facts before a sentence is used. Captions have 5 to 22 words and no content word twice.
"""

import re
from dataclasses import replace

import numpy as np

from muscaps import lexicon
from muscaps.corpus.facts import Facts, unsupported_claims
from muscaps.corpus.sentences import ENSEMBLE, PLAIN, SLOT, SOLO, Pattern
from muscaps.corpus.wording import Wording, content_stems

MIN_WORDS = 5
MAX_WORDS = 22
RICH_WORDS = 10
"""Captions of fewer words are written only where the facts do not fill more."""
FUNCTION_WORDS = frozenset(
    "a an and at by for from in of on over the then that to with where as first later one".split()
)
"""Words that may occur twice in a caption."""
MOOD_SHARE = 0.9
"""How often a sentence without a mood is dropped, where moods are known."""
_TRIES = 20
"""Sentences tried for each caption that is wanted."""


def tokens(text: str) -> list[str]:
    """Return the lower-case words of a sentence; a hyphen joins, other punctuation separates."""
    return re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*", text.lower())


def repeats_a_content_word(text: str) -> bool:
    """Return whether a content word occurs twice, plural forms and related words included."""
    stems = content_stems(text, FUNCTION_WORDS)
    return len(stems) != len(set(stems))


def write_sentence(facts: Facts, rng: np.random.Generator) -> str:
    """Write one sentence from a random choice of facts, words and pattern; empty when no pattern fits."""
    wording = Wording(facts, rng)
    patterns = SOLO if "solo" in wording.slots else ENSEMBLE if "all" in wording.slots else PLAIN
    usable = [pattern for pattern in patterns if pattern.slots <= wording.slots.keys()]
    if not usable:
        return ""
    weights = np.array([pattern.weight for pattern in usable])
    pattern = usable[int(rng.choice(len(usable), p=weights / weights.sum()))]
    text = _filled(pattern, wording)
    if facts.moods and rng.random() < MOOD_SHARE and not any(word in text.lower() for word in wording.mood_words):
        return ""
    return text


def _filled(pattern: Pattern, wording: Wording) -> str:
    text = SLOT.sub(lambda match: wording.filled(match[1], match[2] or ""), pattern.text)
    text = re.sub(r"\[a\] ([^ ,]+)", lambda match: f"{lexicon.article(match[1])} {match[1]}", text)
    return text[0].upper() + text[1:]


def describe(facts: Facts, rng: np.random.Generator, num_captions: int = 5) -> list[str]:
    """Write different captions of a track.

    Returns:
        At most `num_captions` distinct sentences; none when too little is known for five words.
    """
    found: list[str] = []
    unnamed = replace(facts, genres=())  # the name of a genre may claim what the clip lacks
    passes = [(facts, MIN_WORDS), (unnamed, MIN_WORDS)]
    if len(facts.instruments) > 1 or (facts.instruments and facts.moods):
        passes.insert(0, (facts, RICH_WORDS))
    for known, min_words in passes:
        for _ in range(num_captions * _TRIES):
            if len(found) == num_captions:
                return found
            text = write_sentence(known, rng)
            if len(tokens(text)) >= min_words and text not in found and is_acceptable(text, known):
                found.append(text)
    return found


def is_acceptable(text: str, facts: Facts) -> bool:
    """Return whether a sentence keeps the rules of length, repetition and truth."""
    return (
        MIN_WORDS <= len(tokens(text)) <= MAX_WORDS
        and not repeats_a_content_word(text)
        and sum(claim.layer == "tempo" for claim in lexicon.claims(text)) <= 1
        and not unsupported_claims(text, facts)
    )
