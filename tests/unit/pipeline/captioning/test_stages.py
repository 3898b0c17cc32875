"""The stages as plain functions over Arrow batches, with and without a real model."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from muscaps.caption import Caption
from muscaps.config import DecodingOptions
from pipeline import storage
from pipeline.captioning import stages
from pipeline.captioning.rows import input_rows
from pipeline.output.schema import DECODED, RESULT


def rows(*uris: str) -> pa.Table:
    table = pa.table(
        {
            "track_id": [Path(uri).name for uri in uris],
            "uri": list(uris),
            "etag": pa.nulls(len(uris), pa.string()),
            "mood": ["calm"] * len(uris),
        }
    )
    return input_rows(table, pa.array([1] * len(uris)))


def decoded(table: pa.Table, base: str, **settings: Any) -> pa.Table:
    how = {"sample_rate": 16_000, "chunk_samples": 48_000, **settings}
    return pa.concat_tables(list(stages.fetch_and_decode(table, base=base, **how)))


class FakeCaptioner:
    """Names a track by its length in samples; cannot stand tracks of 16 000."""

    def features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        assert all(waveform.dtype == np.int16 for waveform in waveforms)
        if any(len(waveform) == 16_000 for waveform in waveforms):
            raise RuntimeError("a second is too short")
        return [
            np.full((max(1, len(waveform) // 48_000), 2), len(waveform) / 1e5, np.float32) for waveform in waveforms
        ]

    def caption_features(self, features: Sequence[np.ndarray], options: DecodingOptions) -> list[Caption]:
        return [
            Caption(text=f"{track[0, 0]:.3f}", words=(), word_ids=(), log_prob=-float(options.beam_size))
            for track in features
        ]


def captioning(**settings: Any) -> stages.CaptionTracks:
    return stages.CaptionTracks(
        "nowhere", DecodingOptions(), load=lambda path, device, precision: FakeCaptioner(), **settings
    )


def test_uris_become_pcm_with_what_is_known_of_the_file(tone_files: list[Path]) -> None:
    table = decoded(rows(*(path.name for path in tone_files)), str(tone_files[0].parent / "catalogue.csv"))
    assert table.schema.names == ["track_id", "uri", "etag", "mood", "attempt", *DECODED.names]
    assert table["uri"].to_pylist() == [str(path) for path in tone_files]
    samples = [len(pcm.as_buffer()) // 2 for pcm in table["pcm"]]
    assert samples == [16_000, 48_000, 72_000, 112_000, 208_000]
    assert table["num_chunks"].to_pylist() == [1, 1, 1, 2, 4]
    assert table["stage"].null_count == 5
    assert set(table["sample_rate"].to_pylist()) == {16_000}


def test_a_bad_track_fails_alone_and_says_at_which_stage(tone_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "page.mp3").write_bytes(b"<!DOCTYPE html><html></html>" * 20)
    (tmp_path / "folder.mp3").mkdir()
    table = decoded(
        rows("missing.mp3", str(tone_files[1]), "page.mp3", "gopher://x/y.mp3", "folder.mp3"), str(tmp_path / "c.csv")
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
    assert "SECRET" not in str(decoded(rows("s3://KEY:SECRET@bucket/a.mp3"), "/").to_pylist())


def test_a_stopped_stage_drops_the_rest_of_its_rows(tone_files: list[Path]) -> None:
    answers = iter([False, False, True])
    table = decoded(rows(*map(str, tone_files)), "/", stopped=lambda: next(answers))
    assert table["track_id"].to_pylist() == ["tone-0.wav", "tone-1.wav"]


@pytest.mark.parametrize("only_needed", [False, True])
def test_a_long_track_is_heard_in_part(tone_files: list[Path], only_needed: bool) -> None:
    table = decoded(rows(str(tone_files[4])), "/", max_chunks=2, only_needed=only_needed)
    assert table["num_chunks"].to_pylist() == [2]
    assert table["coverage"].to_pylist() == [0.5]
    assert table["decoded_duration_s"].to_pylist() == [13.0]


def test_the_decode_stage_pickles_with_its_settings(tone_files: list[Path]) -> None:
    function, settings = pickle.loads(
        pickle.dumps((stages.fetch_and_decode, {"base": "/", "sample_rate": 16_000, "chunk_samples": 48_000}))
    )
    assert next(function(rows(str(tone_files[0])), **settings))["stage"].null_count == 1


def test_captions_come_in_the_order_of_the_rows(tone_files: list[Path]) -> None:
    table = decoded(rows("missing.mp3", *map(str, tone_files[1:])), "/")
    result = captioning(save_features=True)(table)
    assert result.schema.names == ["track_id", "uri", "etag", "mood", "attempt", *RESULT.names]
    assert result["caption"].to_pylist() == [None, "0.480", "0.720", "1.120", "2.080"]
    assert result["stage"].to_pylist() == ["fetch", None, None, None, None]
    assert np.frombuffer(result["features"][4].as_py(), "<f2").reshape(4, 2)[0, 0] == np.float16(2.08)
    assert result["feature_dim"].to_pylist() == [None, 2, 2, 2, 2]


def test_a_batch_that_fails_is_done_one_by_one(tone_files: list[Path]) -> None:
    result = captioning()(decoded(rows(*map(str, tone_files)), "/"))
    assert result["caption"].to_pylist() == [None, "0.480", "0.720", "1.120", "2.080"]
    failure = result.select(["stage", "error_type", "message", "retryable"]).to_pylist()[0]
    assert failure == {
        "stage": "caption",
        "error_type": "runtime",
        "message": "a second is too short",
        "retryable": False,
    }
    assert result["features"].null_count == 5


def test_a_broken_gpu_takes_the_worker_down_instead_of_failing_every_track(tone_files: list[Path]) -> None:
    class Broken(FakeCaptioner):
        def features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    stage = stages.CaptionTracks("nowhere", DecodingOptions(), load=lambda path, device, precision: Broken())
    with pytest.raises(RuntimeError, match="CUDA error"):
        stage(decoded(rows(str(tone_files[1])), "/"))


def test_a_batch_without_audio_passes_through() -> None:
    table = decoded(rows("missing.mp3"), "/")
    assert captioning()(table)["error_type"].to_pylist() == ["not_found"]


def test_a_real_checkpoint_captions_alike_from_its_folder_and_from_its_files(
    tiny_checkpoint: Path, tone_files: list[Path]
) -> None:
    options = DecodingOptions(beam_size=3, num_alternatives=2, attention=True, segment_seconds=6)
    table = decoded(rows(*map(str, tone_files)), "/")
    files = {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()}
    here = stages.CaptionTracks(str(tiny_checkpoint), options)(table)
    there = stages.CaptionTracks(files, options)(table)
    columns = ["caption", "log_prob", "alternatives", "segments", "attention"]
    assert here.select(columns).equals(there.select(columns))
    row = here.to_pylist()[4]
    assert len(row["alternatives"]) == 2
    assert [segment["end_s"] for segment in row["segments"]] == [6.0, 12.0]
    assert all(len(weights) == 4 for weights in row["attention"])


def test_captions_do_not_depend_on_the_batch(tiny_checkpoint: Path, tone_files: list[Path]) -> None:
    stage = stages.CaptionTracks(str(tiny_checkpoint), DecodingOptions())
    table = decoded(rows(*map(str, tone_files)), "/")
    together = stage(table)
    alone = pa.concat_tables([stage(table.slice(index, 1)) for index in range(5)])
    assert together["caption"].equals(alone["caption"])
    np.testing.assert_allclose(together["log_prob"].to_numpy(), alone["log_prob"].to_numpy(), rtol=1e-5)


def test_segments_of_a_track_heard_in_part_span_all_of_it(tiny_checkpoint: Path, tone_files: list[Path]) -> None:
    base = str(tone_files[0].parent / "catalogue.csv")
    table = decoded(rows("tone-4.wav"), base, max_chunks=2)  # 13 s: two of four chunks
    assert table["coverage"][0].as_py() == 0.5
    [row] = stages.CaptionTracks(str(tiny_checkpoint), DecodingOptions(segment_seconds=3))(table).to_pylist()
    assert [(s["start_s"], s["end_s"]) for s in row["segments"]] == [(0.0, 6.0), (6.0, 12.0)]
