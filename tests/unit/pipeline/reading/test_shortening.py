"""Captions cut between words."""

import pytest

from pipeline.reading.shortening import shorten_caption


@pytest.mark.parametrize(
    ("caption", "max_chars", "expected"),
    [
        ("a slow piano piece", 18, "a slow piano piece"),
        ("a slow piano piece", 17, "a slow piano"),
        ("a slow piano piece", 12, "a slow piano"),
        ("a slow piano, with a soft flute", 22, "a slow piano"),
        ("strings and the brass", 15, "strings"),
        ("a fast house track built on drums", 26, "a fast house track"),
        ("extraordinarily long", 6, "extrao"),
        ("a  spaced\tout caption", 11, "a spaced"),
        ("a spaced out", 12, "a spaced out"),
        ("the", 2, "th"),
    ],
)
def test_captions_are_cut_between_words(caption: str, max_chars: int, expected: str) -> None:
    assert shorten_caption(caption, max_chars) == expected
    assert len(expected) <= max_chars
