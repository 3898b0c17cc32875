"""Sentences of a text, for captions that are longer than a caption may be."""

import re

_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(]*[A-Z0-9])")


def sentences(text: str) -> list[str]:
    """Split a text after `.`, `!` and `?` where a capital letter or a digit follows."""
    return [part for sentence in _END.split(text) if (part := sentence.strip())]
