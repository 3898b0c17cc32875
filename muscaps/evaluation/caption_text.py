"""Captions as text for the metrics: special tokens, the two conventions, tokenization."""

import re
from collections.abc import Sequence
from typing import Literal

from muscaps.evaluation.java_scorers import one_line, ptb_tokenize

ConventionName = Literal["default", "published"]


TokenizerName = Literal["ptb", "whitespace"]


_SPECIAL = re.compile(r"<(?:pad|unk|sos|eos)>")


_START_OR_END = re.compile(r"<(?:sos|eos)>")


# Tried in this order: special tokens, words PTB cuts in two, initials, numbers, clitics, words with inner
# marks, and the marks that PTB keeps as tokens of their own.
_PLAIN_TOKEN = re.compile(
    r"<\w+>|can(?=not\b)|(?:gon|wan)(?=na\b)|got(?=ta\b)|r&b\b|etc\.|(?:[a-z]\.){2,}"
    r"|\d+(?:[.,/:]\d+)+|\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b"
    r"|\w+(?:[-/.]\w+)*|[&/()\[\]$%+=*@]"
)


_BRACKET_NAMES = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-"}


def strip_special_tokens(text: str) -> str:
    """Remove `<pad>`, `<unk>`, `<sos>` and `<eos>`, and the white space they leave."""
    return one_line(_SPECIAL.sub(" ", text))


def plain_words(text: str) -> list[str]:
    """Split a caption into lower-case words without punctuation; special tokens stay whole."""
    tokens = _PLAIN_TOKEN.findall(text.lower().replace("\u2019", "'"))
    return [_BRACKET_NAMES.get(token, token) for token in tokens]


def apply_convention(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    convention: ConventionName,
    notes: list[str],
) -> tuple[list[str], list[list[str]]]:
    if convention == "default":
        return (
            [strip_special_tokens(text) for text in predictions],
            [[strip_special_tokens(text) for text in truths] for truths in references],
        )
    everything = [*predictions, *(text for truths in references for text in truths)]
    if any(_START_OR_END.search(text) for text in everything):
        return list(predictions), [list(truths) for truths in references]
    notes.append("no caption held <sos> or <eos>: for the published convention both were added to every caption")
    return (
        [f"<sos> {text} <eos>" for text in predictions],
        [[f"<sos> {text} <eos>" for text in truths] for truths in references],
    )


def tokenize_all(
    predictions: list[str],
    references: list[list[str]],
    tokenizer: Literal["ptb", "whitespace", "plain"],
    java: str | None,
) -> tuple[list[str], list[list[str]]]:
    flat = [*predictions, *(text for truths in references for text in truths)]
    if tokenizer == "ptb":
        assert java is not None
        tokens = ptb_tokenize(flat, java)
    elif tokenizer == "plain":
        tokens = [" ".join(plain_words(text)) for text in flat]
    else:
        tokens = [one_line(text) for text in flat]
    rest = iter(tokens[len(predictions) :])
    return tokens[: len(predictions)], [[next(rest) for _ in truths] for truths in references]
