"""The first stage: fetch a track and decode it to PCM, without Ray."""

import pickle
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.captioning.stages import fetch_and_decode
from pipeline.output.schema import DECODED
from tests.stage_rows import catalogue_rows, decoded


def test_uris_become_pcm_with_properties_of_the_file(tone_files: list[Path]) -> None:
    table = decoded(catalogue_rows(*(path.name for path in tone_files)), str(tone_files[0].parent / "catalogue.csv"))
    assert table.schema.names == ["track_id", "uri", "etag", "mood", "attempt", *DECODED.names]
    assert table["uri"].to_pylist() == [str(path) for path in tone_files]
    samples = [len(pcm.as_buffer()) // 2 for pcm in table["pcm"]]
    assert samples == [16_000, 48_000, 72_000, 112_000, 208_000]
    assert table["num_chunks"].to_pylist() == [1, 1, 1, 2, 4]
    assert table["stage"].null_count == 5
    assert set(table["sample_rate"].to_pylist()) == {16_000}


def test_a_bad_track_fails_alone_with_its_stage(tone_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "page.mp3").write_bytes(b"<!DOCTYPE html><html></html>" * 20)
    (tmp_path / "folder.mp3").mkdir()
    table = decoded(
        catalogue_rows("missing.mp3", str(tone_files[1]), "page.mp3", "gopher://x/y.mp3", "folder.mp3"),
        str(tmp_path / "c.csv"),
    )
    failures = table.select(["stage", "error_type", "retryable"]).to_pylist()
    assert [tuple(row.values()) for row in failures] == [
        ("fetch", "not_found", False),
        (None, None, None),
        ("decode", "not_audio", False),
        ("fetch", "bad_uri", False),
        ("fetch", "bad_uri", False),
    ]
    assert table["pcm"].is_null().to_pylist() == [True, False, True, True, True]


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("https://me:pw@host/a.mp3?id=5", "https://host/a.mp3?id=5"),
        ("https://b.s3.amazonaws.com/a.mp3?X-Amz-Signature=abc", "https://b.s3.amazonaws.com/a.mp3"),
        ("https://host/a.mp3?id=5&access_token=abc", "https://host/a.mp3"),
        ("s3://KEY:SECRET@bucket/a?b.mp3", "s3://bucket/a?b.mp3"),
        ("music/what?.mp3", "music/what?.mp3"),
    ],
)
def test_no_secret_of_a_uri_reaches_a_table(uri: str, public: str, tmp_path: Path) -> None:
    assert storage.public_uri(uri) == public
    assert "SECRET" not in str(decoded(catalogue_rows("s3://KEY:SECRET@bucket/a.mp3"), "/").to_pylist())


def test_a_stopped_stage_drops_the_rest_of_its_rows(tone_files: list[Path]) -> None:
    answers = iter([False, False, True])
    table = decoded(catalogue_rows(*map(str, tone_files)), "/", stopped=lambda: next(answers))
    assert table["track_id"].to_pylist() == ["tone-0.wav", "tone-1.wav"]


@pytest.mark.parametrize("only_needed", [False, True])
def test_a_long_track_is_decoded_in_part(tone_files: list[Path], only_needed: bool) -> None:
    table = decoded(catalogue_rows(str(tone_files[4])), "/", max_chunks=2, only_needed=only_needed)
    assert table["num_chunks"].to_pylist() == [2]
    assert table["coverage"].to_pylist() == [0.5]
    assert table["decoded_duration_s"].to_pylist() == [13.0]


def test_the_decode_stage_pickles_with_its_settings(tone_files: list[Path]) -> None:
    function, settings = pickle.loads(
        pickle.dumps((fetch_and_decode, {"base": "/", "sample_rate": 16_000, "chunk_samples": 48_000}))
    )
    assert next(function(catalogue_rows(str(tone_files[0])), **settings))["stage"].null_count == 1
