"""What a query asks for: exclusions, columns, tags, unknown words."""

import pytest

from muscaps.vocabulary import SPECIAL_TOKENS, Vocabulary
from pipeline.reading.search.query_text import parse_query
from pipeline.reading.search.terms import SearchTerms, search_terms

VOCABULARY = Vocabulary([*SPECIAL_TOKENS, *"a piece with and piano guitar drums slow dark calm warm".split()])
TAGS = [
    ("instrument", "piano"), ("instrument", "drums"), ("instrument", "choir"), ("tempo", "slow"), ("mood", "dark"),
    ("mood", "somber"), ("vocals", "none"), ("vocals", "choir"),
]  # fmt: skip
TITLES = ("track_id", "title", "Artist")


def terms(text: str, tags: list[tuple[str, str]] = TAGS) -> SearchTerms:
    return search_terms(parse_query(text, TITLES), VOCABULARY, tags)


def test_a_word_and_a_sentence_around_it_are_one_query() -> None:
    assert terms("piano") == terms("a piano piece") == terms("Some piano music.")
    assert terms("piano").wanted == (("instrument", "piano"),)


@pytest.mark.parametrize(
    "text", ["slow piano, no drums", "slow piano without any drums", "slow -drums piano", "no drums but slow piano"]
)
def test_tags_are_excluded(text: str) -> None:
    found = terms(text)
    assert found.unwanted == (("instrument", "drums"),)
    assert set(found.wanted) == {("instrument", "piano"), ("tempo", "slow")}
    assert "drums" not in found.sentence


def test_an_exclusion_ends_at_with_and_not_at_or() -> None:
    assert terms("without drums or piano with guitar").unwanted == (("instrument", "drums"), ("instrument", "piano"))
    assert terms("not too dark").unwanted == (("mood", "dark"),)


def test_no_vocals_and_instrumental_are_one_query() -> None:
    assert terms("piano, no singing").wanted == terms("piano instrumental").wanted
    assert terms("piano, no choir").unwanted == (("instrument", "choir"), ("vocals", "choir"))


def test_what_no_tag_is_about_is_not_excluded_silently() -> None:
    with pytest.raises(ValueError, match="'kazoo' cannot be excluded: no tag"):
        terms("piano, no kazoo")
    with pytest.raises(ValueError, match="'drums' cannot be excluded: the model has no tags"):
        terms("piano without drums", tags=[])
    assert terms("piano, not bad").unwanted == ()


def test_a_word_that_only_the_tags_know_is_known() -> None:
    found = terms("sorrowful piano")
    assert (found.wanted, found.unknown) == ((("mood", "somber"), ("instrument", "piano")), {})


def test_unknown_words_are_read_as_known_ones_or_left_out() -> None:
    found = terms("slow dark pianno with a kazoo")
    assert found.read_as == {"pianno": "piano"}
    assert found.unknown == {"kazoo": ()}
    assert ("instrument", "piano") in found.wanted


def test_a_query_that_is_mostly_unknown_is_refused_with_similar_words() -> None:
    with pytest.raises(ValueError, match=r"does not know 2 of 3 words .* drmz \(drums\); kazoo"):
        terms("drmz kazoo slow")
    with pytest.raises(ValueError, match="says nothing about the music"):
        terms("a piece of music")


def test_without_tags_the_sentence_is_scored_as_it_stands() -> None:
    assert terms("a slow piano piece", tags=[]).sentence == "a slow piano piece"


def test_text_in_columns() -> None:
    parsed = parse_query('slow title:"blue ska" ARTIST:Zoë', TITLES)
    assert (parsed.words, parsed.filters) == ("slow", (("title", "blue ska"), ("Artist", "Zoë")))
    with pytest.raises(ValueError, match="no column 'genre' to search; there are track_id, title"):
        parse_query("genre:jazz", TITLES)
