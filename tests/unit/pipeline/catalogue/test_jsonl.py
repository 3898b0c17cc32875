"""JSONL catalogues: types of columns, and lines that are refused."""

from pathlib import Path

import pytest

from pipeline.catalogue import CatalogueError, read_catalogue


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_half_a_character_is_named_by_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", '{"uri":"a"}\n{"uri":"b","title":"party \\ud83d"}\n')
    with pytest.raises(CatalogueError, match=r"line 2: 'title' holds half of a character"):
        read_catalogue(path)


def test_characters_of_two_halves_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", '{"uri":"a","title":"party \\ud83c\\udf89"}\n')
    assert read_catalogue(path).rows["title"].to_pylist() == ["party 🎉"]


def test_whole_numbers_are_the_same_ids_however_they_are_written(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", '{"uri":"a","track_id":7.0}\n{"uri":"b","track_id":123456789012}\n')
    assert read_catalogue(path).rows["track_id"].to_pylist() == ["7", "123456789012"]


def test_large_integers_among_fractions_keep_every_digit(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", '{"uri":"a","track_id":9007199254740993}\n{"uri":"b","track_id":1.5}\n')
    assert read_catalogue(path).rows["track_id"].to_pylist() == ["9007199254740993", "1.5"]


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 100_000 + "]" * 100_000])
def test_values_that_python_does_not_parse_are_refused_with_the_line(tmp_path: Path, value: str) -> None:
    path = write(tmp_path / "c.jsonl", f'{{"uri":"a"}}\n{{"uri":"b","x":{value}}}\n')
    with pytest.raises(CatalogueError, match="line 2 "):
        read_catalogue(path)


def test_lists_of_one_and_audio_objects_are_their_values(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.jsonl", '{"audio":{"path":"a.mp3","bytes":null},"artist":["X"],"title":[],"moods":["y"]}\n'
    )
    assert read_catalogue(path).rows.select(["uri", "artist", "title", "moods"]).to_pylist() == [
        {"uri": "a.mp3", "artist": "X", "title": None, "moods": '["y"]'}
    ]


@pytest.mark.parametrize(
    ("value", "found"), [('["X", "Y"]', "a list of several values"), ('{"name": "X"}', "an object")]
)
def test_other_lists_and_objects_in_text_columns_are_refused(tmp_path: Path, value: str, found: str) -> None:
    path = write(tmp_path / "c.jsonl", f'{{"uri":"a"}}\n{{"uri":"b","artist":{value}}}\n')
    with pytest.raises(CatalogueError, match=f"line 2: 'artist' is {found}; give one value"):
        read_catalogue(path)


def test_objects_in_columns_that_are_not_used_as_uri_pass_through(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", '{"uri":"a.mp3","file":{"size":1},"location":["x","y"]}\n')
    assert read_catalogue(path).rows.select(["file", "location"]).to_pylist() == [
        {"file": '{"size": 1}', "location": '["x", "y"]'}
    ]
