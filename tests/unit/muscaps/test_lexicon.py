"""The lexicon: which phrases claim what, whole words only, the longest phrase first."""

import re

import pytest

from muscaps.lexicon import (
    FACETS,
    LAYERS,
    claims,
    content_word,
    exclude_each_other,
    phrases_of,
    tags_in,
    tags_of,
    tempo_class,
)

CAPTION = "Dark, driving techno with staccato violins, a bass clarinet and drum machine at a fast tempo"


def found(text):
    return [(claim.phrase, claim.layer, claim.tag) for claim in claims(text)]


def test_every_claim_of_a_caption_is_found_in_order():
    assert found(CAPTION) == [
        ("dark", "mood", "dark"),
        ("driving", "feel", "driving"),
        ("driving", "energy", "high"),
        ("techno", "genre", "techno"),
        ("violins", "family", "strings"),
        ("violins", "instrument", "violin"),
        ("bass", "family", "bass"),
        ("bass clarinet", "instrument", "bass clarinet"),
        ("clarinet", "family", "woodwind"),
        ("drum", "family", "drums"),
        ("drum machine", "instrument", "drum machine"),
        ("fast", "energy", "high"),
        ("fast", "tempo", "fast"),
    ]


def test_claims_know_their_facet_and_their_place_in_the_text():
    for claim in claims(CAPTION):
        assert claim.facet in FACETS
        assert CAPTION.lower().startswith(claim.phrase, claim.start)
    assert {claim.facet for claim in claims("violin")} == {"instrument"}


@pytest.mark.parametrize("text", ["fundamental", "pianola", "basso", "harpoon", "keynote", "trapped", "rocker", ""])
def test_parts_of_words_claim_nothing(text):
    assert claims(text) == []


def test_the_longest_phrase_wins_within_a_layer():
    assert tags_in("a bass clarinet", "instrument") == {"bass clarinet"}
    assert tags_in("an english horn", "instrument") == {"english horn"}
    assert tags_in("drum and bass", "genre") == {"drum and bass"}
    assert tags_in("silent film score", "genre") == {"silent film"}


def test_families_follow_single_words_whatever_phrase_they_stand_in():
    assert tags_in("bass clarinet, French Horns, Full Orchestra", "family") == {"bass", "woodwind", "brass", "strings"}


def test_a_longer_phrase_can_take_a_word_out_of_a_layer():
    assert tags_in("acoustic guitar over electronic drums", "genre") == set()
    assert tags_in("acoustic folk", "genre") == {"acoustic", "folk"}
    assert "" not in tags_of("genre")


def test_a_phrase_can_claim_several_facets():
    assert {(claim.facet, claim.tag) for claim in claims("aggressive")} == {
        ("mood", "dark"),
        ("mood", "aggressive"),
        ("energy", "high"),
    }


def test_a_starred_phrase_matches_longer_words():
    assert tags_in("Suspenseful synthesizers, saxophones", "family") == {"synth", "sax"}
    assert tags_in("suspenseful", "mood") == {"dark"}


@pytest.mark.parametrize(
    ("text", "tempo"),
    [
        ("slow intro, then fast", {"slow"}),
        ("a fast piece with a moderate bridge", {"fast"}),
        ("mid-tempo", {"medium"}),
        ("at a medium tempo", {"medium"}),
        ("medium-sized band", set()),
    ],
)
def test_a_text_has_one_tempo_at_most(text, tempo):
    assert tags_in(text, "tempo") == tempo


@pytest.mark.parametrize(("bpm", "name"), [(84.9, "slow"), (85, "medium"), (128, "medium"), (128.1, "fast")])
def test_tempo_classes_of_beats_per_minute(bpm, name):
    assert tempo_class(bpm) == name


def test_every_phrase_claims_its_tag():
    for layer in LAYERS:
        for tag in tags_of(layer):
            for phrase in phrases_of(layer, tag):
                assert tag in tags_in(phrase.rstrip("*"), layer), (layer, tag, phrase)


def test_phrases_are_lower_case_words_without_spaces_at_their_ends():
    for layer in LAYERS:
        for tag in tags_of(layer):
            for phrase in phrases_of(layer, tag):
                assert re.fullmatch(r"[a-z0-9][a-z0-9'&.\- ]*[a-z0-9]\*?", phrase), phrase


def test_an_unknown_tag_is_an_error():
    with pytest.raises(KeyError):
        phrases_of("tempo", "sideways")


@pytest.mark.parametrize("token", ["a", "and", "with", "the", "of", "at", ",", "<unk>"])
def test_stop_words_and_marks_are_no_content_words(token):
    assert content_word(token) is None


@pytest.mark.parametrize(
    ("one", "other"), [("synth", "synths"), ("string", "strings"), ("piano", "pianos"), ("8-bit", "8-bit")]
)
def test_a_plural_is_the_same_content_word_as_its_singular(one, other):
    assert content_word(one) == content_word(other)


@pytest.mark.parametrize("word", ["bass", "brass", "bus", "gas"])
def test_an_s_that_is_no_plural_stays(word):
    assert content_word(word) == word


@pytest.mark.parametrize(
    ("one", "other", "contradiction"),
    [
        (("tempo", "slow"), ("tempo", "fast"), True),
        (("tempo", "slow"), ("tempo", "slow"), False),
        (("energy", "high"), ("energy", "low"), True),
        (("mood", "dark"), ("mood", "bright"), True),
        (("mood", "dark"), ("mood", "eerie"), False),
        (("mood", "calm"), ("energy", "high"), False),
        (("vocals", "none"), ("vocals", "female"), True),
        (("vocals", "male"), ("vocals", "female"), False),
        (("instrument", "piano"), ("instrument", "harp"), False),
        (("genre", "rock"), ("genre", "jazz"), False),
    ],
)
def test_tags_that_cannot_both_be_true(one, other, contradiction):
    assert exclude_each_other(*one, *other) == exclude_each_other(*other, *one) == contradiction
