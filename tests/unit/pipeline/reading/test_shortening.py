"""Captions of limited length: sentences, with as many of their instruments as fit."""

import pytest

from pipeline.reading.shortening import shorten_caption

LONG = "Dark and somber soundtrack piece at a leisurely pace, with strings and choir."


def test_a_caption_that_fits_stays_unchanged() -> None:
    assert shorten_caption("A slow piano\n piece.", 20).text == "A slow piano\n piece."


def test_a_caption_that_fits_without_double_blanks_loses_only_these() -> None:
    assert shorten_caption("A slow piano  piece.", 19).text == "A slow piano piece."
    assert shorten_caption("A slow piano  piece.", 19).lost == ()


@pytest.mark.parametrize(
    ("caption", "max_chars", "expected"),
    [
        ("Intense percussion and synths in a cue at a slow tempo.", 36, "Intense percussion and synths."),
        ("Intense percussion and synths in a cue at a slow tempo.", 50, "Intense percussion and synths in a cue."),
        ("A bouncy piece played on piano, without any accompaniment.", 40, "A bouncy piece played on piano."),
        ("Synths on top of drums in a driving fast electronica track.", 40, "Synths on top of drums."),
        ("a fast house track built on drums", 26, "a fast house track"),
    ],
)
def test_the_last_phrases_are_left_out(caption: str, max_chars: int, expected: str) -> None:
    assert shorten_caption(caption, max_chars).text == expected


def test_an_alternative_is_preferred_to_a_part_of_the_caption() -> None:
    assert (
        shorten_caption(LONG, 40, ["Slow, dark strings and choir.", "Strings."]).text == "Slow, dark strings and choir."
    )


def test_of_several_sentences_the_one_with_the_most_instruments_is_taken_and_losses_are_named() -> None:
    found = shorten_caption(LONG, 60, ["A dark soundtrack piece.", "A dark soundtrack piece with strings."])
    assert found.text == "A dark soundtrack piece with strings."
    assert found.lost == ("choir",)


def test_where_no_sentence_fits_there_is_none() -> None:
    found = shorten_caption("Bouncy drums in a mid-tempo track.", 8)
    assert found.text is None
    assert found.lost == ("drums",)
