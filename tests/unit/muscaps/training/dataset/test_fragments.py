"""Texts that are no captions: they end in the middle of a phrase, or describe nothing."""

import pytest

from muscaps.training.dataset.fragments import is_fragment


@pytest.mark.parametrize(
    "text",
    [
        "a piece of rock with",
        "A piece of rock with.",
        "slow strings and",
        "piano, guitar and the",
        "music to dance to",
        "like you solve puzzles in a...",
    ],
)
def test_a_text_that_ends_in_a_preposition_article_or_conjunction_is_a_fragment(text: str) -> None:
    assert is_fragment(text)


@pytest.mark.parametrize("text", ["No such thing!", "Why not go all the way?", "4 of 8.", "It certainly is.", ""])
def test_a_text_without_content_is_a_fragment(text: str) -> None:
    assert is_fragment(text)


@pytest.mark.parametrize(
    "text",
    [
        "Something to dance to.",
        "One version with trumpets and one without.",
        "Light and fast.",
        "Ska!",
        "Walkin' along blues shuffle",
        "calm piano",
    ],
)
def test_a_caption_is_no_fragment(text: str) -> None:
    assert not is_fragment(text)
