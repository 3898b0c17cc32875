"""Which tags of a track count, and whether there are vocals."""

import pytest

from muscaps.tags import MUSIC, Tag, counted_tags, has_vocals, music_score, vocals_score


def tag(facet: str, name: str, score: float) -> Tag:
    return Tag(facet=facet, tag=name, score=score)


def test_tags_count_from_a_score_on_and_keep_their_order() -> None:
    tags = [tag("genre", "jazz", 0.6), tag("genre", "pop", 0.2), tag("instrument", "piano", 0.9)]
    assert counted_tags(tags) == [tags[0], tags[2]]
    assert counted_tags(tags, 0.1) == tags


def test_of_tags_that_exclude_each_other_the_most_probable_counts() -> None:
    tags = [
        tag("tempo", "slow", 0.55),
        tag("tempo", "medium", 0.7),
        tag("mood", "dark", 0.6),
        tag("mood", "eerie", 0.5),
    ]
    assert [one.tag for one in counted_tags(tags)] == ["medium", "dark", "eerie"]


@pytest.mark.parametrize(("instrumental", "expected"), [(0.9, False), (0.6, None), (0.5, True), (0.1, True)])
def test_vocals_are_unknown_between_no_and_yes(instrumental: float, expected: bool | None) -> None:
    score = vocals_score([tag("vocals", "none", instrumental), tag("vocals", "choir", 0.4)])
    assert has_vocals(score) is expected


def test_without_a_tag_about_vocals_they_are_unknown() -> None:
    assert vocals_score([tag("genre", "jazz", 0.6)]) is None
    assert has_vocals(None) is None


def test_the_score_of_music_is_that_of_its_head() -> None:
    assert music_score([tag("genre", "jazz", 0.6), tag(*MUSIC, 0.2)]) == 0.2
    assert music_score([tag("genre", "jazz", 0.6)]) is None
