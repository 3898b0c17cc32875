"""A customer's words for tags: what a file says, what a track gets, mistakes by line."""

import csv
import io
from pathlib import Path

import pytest

from muscaps.tags import Tag
from pipeline.reading.taxonomy import Taxonomy, Term
from pipeline.reading.taxonomy_files import read_taxonomy, template

TAGS = [
    Tag(facet="genre", tag="techno", score=0.6),
    Tag(facet="genre", tag="house", score=0.9),
    Tag(facet="genre", tag="jazz", score=0.7),
    Tag(facet="mood", tag="calm", score=0.8),
    Tag(facet="mood", tag="epic", score=0.3),
]


def words(taxonomy: Taxonomy) -> list[tuple[str, str]]:
    return [(one.facet, one.term.name) for one in taxonomy.terms_of(TAGS)]


def test_without_a_taxonomy_the_tags_that_count_keep_their_names() -> None:
    assert words(Taxonomy()) == [("genre", "house"), ("genre", "jazz"), ("genre", "techno"), ("mood", "calm")]


def test_tags_of_one_term_are_one_with_the_highest_score() -> None:
    club = Term(name="Club")
    taxonomy = Taxonomy(terms={("genre", "house"): club, ("genre", "techno"): club})
    first = taxonomy.terms_of(TAGS)[0]
    assert (first.term.name, first.score) == ("Club", 0.9)
    assert words(taxonomy).count(("genre", "Club")) == 1


def test_tags_are_dropped_and_a_facet_keeps_its_best_terms() -> None:
    assert words(Taxonomy(dropped=frozenset({("genre", "house")}), top={"genre": 1})) == [
        ("genre", "jazz"),
        ("mood", "calm"),
    ]
    assert words(Taxonomy(only_listed=frozenset({"genre"}))) == [("mood", "calm")]


CSV = """facet,tag,term,synonyms,parent,drop,top
genre,*,,,,,2
genre,house,Deep & House,club; four-on-the-floor,Electronic > Dance,,
genre,jazz,,,,yes,
"""
YAML = """
genre:
  "*": {top: 2}
  house: {term: "Deep & House", synonyms: [club, four-on-the-floor], parent: Electronic > Dance}
  jazz: {drop: yes}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", CSV),
        ("t.csv", CSV.replace(",", "\x01").replace(";", "|").replace("\x01", ";").replace("|", ",")),
        ("t.yaml", YAML),
    ],
)
def test_csv_and_yaml_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    taxonomy = read_taxonomy(str(tmp_path / name))
    term = taxonomy.terms[("genre", "house")]
    assert (term.name, term.parents) == ("Deep & House", ("Electronic", "Dance"))
    assert taxonomy.dropped == {("genre", "jazz")}
    assert taxonomy.top == {"genre": 2}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("genre,jaz,Jazz,,,,", r"line 2: no tag 'jaz' in facet genre; similar tags: jazz"),
        ("style,jazz,Jazz,,,,", r"line 2: no facet 'style'; the facets are genre, mood"),
        ("genre,jazz,Jazz,,,,\ngenre,jazz,Swing,,,,", r"line 3: genre 'jazz' is there twice; see .*line 2"),
        ("genre,jazz,Jazz,,,maybe,", "line 2: drop must be yes or empty"),
        ("genre,*,,,,,none", "line 2: top must be a whole number"),
        ("genre,jazz,Jazz,,,,3", "line 2: top belongs to the row of all tags"),
        ("genre,jazz,Jazz, Swing,,,,", "line 2: more cells than columns"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "t.csv").write_text("facet,tag,term,synonyms,parent,drop,top\n" + rows + "\n")
    with pytest.raises(ValueError, match=message):
        read_taxonomy(str(tmp_path / "t.csv"))


def test_the_template_lists_every_tag_and_changes_nothing(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(template())))
    assert {"facet": "instrument", "tag": "strings", "term": "strings"}.items() <= {
        key: value for row in rows if row["tag"] == "strings" for key, value in row.items()
    }.items()
    (tmp_path / "t.csv").write_text(template())
    assert words(read_taxonomy(str(tmp_path / "t.csv"))) == words(Taxonomy())
