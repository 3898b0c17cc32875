"""Search by a track, by columns and by tags."""

from pathlib import Path

import numpy as np
import pytest
import torch

from muscaps.captioner import Captioner
from muscaps.checkpoint import load_checkpoint, save_checkpoint
from muscaps.tagger import TagHeads
from pipeline.output.newest import OutputError
from pipeline.reading.search import SearchConfig, SearchResult, search
from tests.finished_output import caption_row, write_captions, write_features

EMBEDDINGS = {"a": [1.0, 0.0], "b": [1.0, 0.1], "c": [0.0, 1.0], "d": [0.6, 0.8]}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    rows = [
        caption_row(
            n, track_id=name, embedding=vector, bpm=str(60 + 20 * n), title=f"Song {name}", has_vocals=name == "b"
        )
        for n, (name, vector) in enumerate(EMBEDDINGS.items())
    ]
    write_captions(tmp_path, rows)
    return tmp_path


def found(output: Path, **query: object) -> SearchResult:
    return search(SearchConfig(output=str(output), **query))  # type: ignore[arg-type]


def ids(result: SearchResult) -> list[str]:
    return [hit.track_id for hit in result.hits]


def test_tracks_like_a_track_come_by_cosine_without_the_track(output: Path) -> None:
    result = found(output, like="a")
    assert ids(result) == ["b", "d", "c"]
    assert result.hits[1].score == pytest.approx(0.6)
    assert [hit.is_weak for hit in result.hits] == [False, False, True]


def test_a_condition_sees_text_columns_of_numbers_as_numbers(output: Path) -> None:
    assert ids(found(output, where="bpm < 100")) == ["a", "b"]
    assert ids(found(output, where="bpm < 100 and has_vocals = false")) == ["a"]
    assert ids(found(output, like="a", where="bpm >= 100")) == ["d", "c"]


def test_text_is_found_in_columns(output: Path) -> None:
    assert ids(found(output, query='title:"song C"')) == ["c"]
    assert ids(found(output, query="title:song", where="bpm > 100")) == ["d"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"where": "bmp < 3"}, "--where 'bmp < 3': .*columns: track_id"),
        ({"where": "bpm <"}, "--where 'bpm <'"),
        ({"where": " "}, "--where is empty"),
        ({"like": "nobody"}, "has no track 'nobody'"),
        ({}, "the query is empty"),
    ],
)
def test_a_wrong_query_is_named(output: Path, query: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        found(output, **query)


def test_an_output_without_embeddings_is_named(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(0, track_id="a")])
    with pytest.raises(OutputError, match="no embedding"):
        found(tmp_path, like="a")


@pytest.fixture
def tagging(tmp_path: Path, tiny_checkpoint: Path) -> tuple[Path, Path]:
    """An output and a checkpoint whose tags are the signs of the first features."""
    plain = load_checkpoint(tiny_checkpoint)
    width = plain.model.feature_extractor.feature_dim
    names = (("instrument", "piano"), ("instrument", "drums"))
    heads = TagHeads(names=names, weight=torch.eye(2, width) * 4, bias=torch.zeros(2), card={})
    directory = tmp_path / "tagging"
    save_checkpoint(directory, plain.model, plain.vocabulary, name="tagging", training={}, metrics={}, tagger=heads)
    model = Captioner.load(directory)
    signs = {"both": (1, 1), "piano": (1, -1), "drums": (-1, 1), "none": (-1, -1)}
    features = {name: np.zeros((2, width), np.float16) for name in signs}
    for name, values in signs.items():
        features[name][:, :2] = values
    write_features(tmp_path / "out", features, model_id=model.model_id)
    write_captions(
        tmp_path / "out",
        [
            caption_row(n, track_id=name, model_id=model.model_id, embedding=vector)
            for n, (name, vector) in enumerate(zip(signs, EMBEDDINGS.values(), strict=True))
        ],
    )
    return tmp_path / "out", directory


def test_excluded_tags_are_left_out(tagging: tuple[Path, Path]) -> None:
    output, checkpoint = tagging
    assert ids(found(output, query="piano, no drums", checkpoint=str(checkpoint))) == ["piano", "none"]


def test_a_track_without_a_wanted_tag_is_a_weak_match(tagging: tuple[Path, Path]) -> None:
    output, checkpoint = tagging
    result = found(output, query="piano with drums", checkpoint=str(checkpoint))
    assert ids(result)[0] == "both"
    assert [hit.is_weak for hit in result.hits] == [False, True, True, True]


def test_words_and_a_track_are_combined(tagging: tuple[Path, Path]) -> None:
    output, checkpoint = tagging
    assert ids(found(output, query="piano", like="both", checkpoint=str(checkpoint))) == ["piano", "none", "drums"]
    assert ids(found(output, query="drums", where="track_id <> 'both'", checkpoint=str(checkpoint)))[0] == "drums"
