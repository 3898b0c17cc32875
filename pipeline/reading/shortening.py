"""Captions of limited length: another hypothesis, or the caption without its last phrases; never a piece of a sentence.

Conventions: the shorter caption names as many of the instruments as possible, and what it does not name is reported.
Phrases end before the words of `_PHRASE_STARTS`: "Dark cue | with strings | at a slow tempo". The grammar is English.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from muscaps.lexicon import tags_in

_PHRASE_STARTS = (
    "at", "in", "with", "without", "for", "over", "under", "from", "by", "built", "played", "led", "carried", "driven",
    "featuring", "while", "where",
)  # fmt: skip
"""Words that begin a phrase which a sentence can do without. "on" and "of" do not: "on top of", "a blend of"."""
_START = re.compile(rf",? (?=(?:{'|'.join(_PHRASE_STARTS)}) )")
_MIN_WORDS = 2


@dataclass(frozen=True, kw_only=True)
class Shortened:
    """A caption of at most so many characters."""

    text: str | None
    """The caption; None if no sentence fits."""
    lost: tuple[str, ...] = ()
    """Instruments and families that the longer caption names and this one does not."""


def shorten_caption(caption: str, max_chars: int, alternatives: Sequence[str] = ()) -> Shortened:
    """Find a sentence of at most `max_chars` characters.

    Args:
        caption: A sentence.
        max_chars: Most characters, at least 1.
        alternatives: Other hypotheses of the track, best first; they are preferred to a caption without a phrase.

    Returns:
        The caption itself where it is short enough, otherwise the first sentence that fits and names the most of its
        instruments.
    """
    if len(caption) <= max_chars:
        return Shortened(text=caption)
    caption = " ".join(caption.split())
    if len(caption) <= max_chars:
        return Shortened(text=caption)
    candidates = [text for text in (*alternatives, *_without_last_phrases(caption)) if len(text) <= max_chars]
    if not candidates:
        return Shortened(text=None, lost=_instruments(caption))
    named = _instruments(caption)
    losses = [tuple(sorted(set(named) - set(_instruments(text)))) for text in candidates]
    best = min(range(len(candidates)), key=lambda index: len(losses[index]))
    return Shortened(text=candidates[best], lost=losses[best])


def _without_last_phrases(caption: str) -> Iterator[str]:
    """Yield the caption without its last phrase, its last two, and so on."""
    body = caption.rstrip(".")
    stop = caption[len(body) :]
    for match in reversed(list(_START.finditer(body))):
        if len(body[: match.start()].split()) >= _MIN_WORDS:
            yield body[: match.start()] + stop


def _instruments(text: str) -> tuple[str, ...]:
    """Return the instruments and families that a text names, sorted."""
    return tuple(sorted(tags_in(text, "instrument") | tags_in(text, "family")))
