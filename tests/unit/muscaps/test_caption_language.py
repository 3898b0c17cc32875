"""How captions read: repeated content words, unknown words, opening patterns."""

import pytest

from muscaps.evaluation.language import caption_language, opening_pattern, repeated_words


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("Driving, grooving, grooving electronica", ["grooving"]),
        ("Accordion and accordion", ["accordion"]),
        ("A synth pad, a bass and a choir of synths", ["synth"]),
        ("The sound of the piano at the end of the day, a, a, a", []),
        ("Bass with brass and basses", []),
    ],
)
def test_content_words_said_twice_are_found_and_stop_words_are_not(text, repeated):
    assert repeated_words(text) == repeated


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("A moderate piece that is bright", "a <tempo> piece"),
        ("An eerie piece with bells", "a <mood> piece"),
        ("Dark, driving techno", "<mood> <feel> <genre>"),
        ("Finger-picked acoustic guitar over strings", "finger-picked <instrument> over"),
        ("Piano.", "<family>"),
        ("", ""),
    ],
)
def test_an_opening_pattern_replaces_claims_by_their_layer(text, pattern):
    assert opening_pattern(text) == pattern


def test_statistics_counted_by_hand():
    captions = [
        "A dark piece with synth, synths",
        "A bright piece",
        "A bright piece",
        "<unk> music with <unk> music with",
    ]
    found = caption_language(captions)
    assert (found.num_captions, found.distinct_captions) == (4, 3)
    assert (found.repeated_word_captions, found.repeated_bigram_captions, found.unknown_word_captions) == (2, 1, 1)
    assert found.mean_words == (6 + 3 + 3 + 6) / 4
    assert (found.opening_pattern, found.opening_share) == ("a <mood> piece", 0.75)
    assert found.vocabulary_size == 9


def test_no_captions_are_an_error():
    with pytest.raises(ValueError, match="no captions"):
        caption_language([])
