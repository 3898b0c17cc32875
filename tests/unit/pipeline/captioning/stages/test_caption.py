"""The second stage: caption decoded tracks, with a stand-in and with a real model, without Ray."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from muscaps.caption import Caption
from muscaps.config import DecodingOptions
from muscaps.evidence import Evidence
from muscaps.tags import Tag
from pipeline.captioning.stages import CaptionTracks
from pipeline.output.schema import RESULT
from tests.stage_rows import catalogue_rows, decoded


class FakeCaptioner:
    """Names a track by its length in samples; cannot stand tracks of 16 000."""

    tagger = None

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


class TaggingCaptioner(FakeCaptioner):
    """The same with tag heads."""

    tagger = "heads"

    def caption_features(self, features: Sequence[np.ndarray], options: DecodingOptions) -> list[Caption]:
        evidence = (Evidence(word="cello", tag="strings", score=0.9),)
        return [replace(caption, evidence=evidence) for caption in super().caption_features(features, options)]

    def tags(self, features: Sequence[np.ndarray]) -> list[list[Tag]]:
        scores = {"strings": 0.9, "piano": 0.3, "harp": 0.02}
        tags = [Tag(facet="instrument", tag=tag, score=score) for tag, score in scores.items()]
        others = [Tag(facet="vocals", tag="none", score=0.02), Tag(facet="content", tag="music", score=0.4)]
        return [[*tags, *others] for _ in features]


def captioning(**settings: Any) -> CaptionTracks:
    return CaptionTracks("nowhere", DecodingOptions(), load=lambda path, device, precision: FakeCaptioner(), **settings)


def test_captions_keep_the_order_of_the_rows(tone_files: list[Path]) -> None:
    table = decoded(catalogue_rows("missing.mp3", *map(str, tone_files[1:])), "/")
    result = captioning(save_features=True)(table)
    assert result.schema.names == ["track_id", "uri", "etag", "mood", "attempt", *RESULT.names]
    assert result["caption"].to_pylist() == [None, "0.480", "0.720", "1.120", "2.080"]
    assert result["stage"].to_pylist() == ["fetch", None, None, None, None]
    assert np.frombuffer(result["features"][4].as_py(), "<f2").reshape(4, 2)[0, 0] == np.float16(2.08)
    assert result["feature_dim"].to_pylist() == [None, 2, 2, 2, 2]


def test_a_batch_that_fails_is_captioned_one_by_one(tone_files: list[Path]) -> None:
    result = captioning()(decoded(catalogue_rows(*map(str, tone_files)), "/"))
    assert result["caption"].to_pylist() == [None, "0.480", "0.720", "1.120", "2.080"]
    failure = result.select(["stage", "error_type", "message", "retryable"]).to_pylist()[0]
    assert failure == {
        "stage": "caption",
        "error_type": "runtime",
        "message": "a second is too short",
        "retryable": False,
    }
    assert result["features"].null_count == 5


def test_a_gpu_error_that_needs_a_restart_ends_the_worker_instead_of_failing_every_track(
    tone_files: list[Path],
) -> None:
    class Broken(FakeCaptioner):
        def features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    stage = CaptionTracks("nowhere", DecodingOptions(), load=lambda path, device, precision: Broken())
    with pytest.raises(RuntimeError, match="CUDA error"):
        stage(decoded(catalogue_rows(str(tone_files[1])), "/"))


def test_a_batch_without_audio_passes_through() -> None:
    table = decoded(catalogue_rows("missing.mp3"), "/")
    assert captioning()(table)["error_type"].to_pylist() == ["not_found"]


def test_a_checkpoint_gives_the_same_captions_from_its_directory_and_from_its_files(
    tiny_checkpoint: Path, tone_files: list[Path]
) -> None:
    options = DecodingOptions(beam_size=3, num_alternatives=2, attention=True, segment_seconds=6)
    table = decoded(catalogue_rows(*map(str, tone_files)), "/")
    files = {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()}
    here = CaptionTracks(str(tiny_checkpoint), options)(table)
    there = CaptionTracks(files, options)(table)
    columns = ["caption", "log_prob", "alternatives", "segments", "attention"]
    assert here.select(columns).equals(there.select(columns))
    row = here.to_pylist()[4]
    assert len(row["alternatives"]) == 2
    assert [segment["end_s"] for segment in row["segments"]] == [6.0, 12.0]
    assert all(len(weights) == 4 for weights in row["attention"])


def test_captions_do_not_depend_on_the_batch(tiny_checkpoint: Path, tone_files: list[Path]) -> None:
    stage = CaptionTracks(str(tiny_checkpoint), DecodingOptions())
    table = decoded(catalogue_rows(*map(str, tone_files)), "/")
    together = stage(table)
    alone = pa.concat_tables([stage(table.slice(index, 1)) for index in range(5)])
    assert together["caption"].equals(alone["caption"])
    np.testing.assert_allclose(together["log_prob"].to_numpy(), alone["log_prob"].to_numpy(), rtol=1e-5)


def test_segments_of_a_track_processed_in_part_span_all_of_it(tiny_checkpoint: Path, tone_files: list[Path]) -> None:
    base = str(tone_files[0].parent / "catalogue.csv")
    table = decoded(catalogue_rows("tone-4.wav"), base, max_chunks=2)  # 13 s: two of four chunks
    assert table["coverage"][0].as_py() == 0.5
    [row] = CaptionTracks(str(tiny_checkpoint), DecodingOptions(segment_seconds=3))(table).to_pylist()
    assert [(s["start_s"], s["end_s"]) for s in row["segments"]] == [(0.0, 6.0), (6.0, 12.0)]


def test_segments_of_a_cut_file_keep_their_times(tiny_checkpoint: Path, tone_files: list[Path]) -> None:
    """Half of the stated audio is missing; the segments of the other half are not stretched."""
    whole = tone_files[4].read_bytes()
    tone_files[4].write_bytes(whole[: len(whole) // 2])
    table = decoded(catalogue_rows(str(tone_files[4])), "/")
    assert table["coverage"][0].as_py() == pytest.approx(0.5, abs=0.01)
    assert "cut short" in table["damage"][0].as_py()
    [row] = CaptionTracks(str(tiny_checkpoint), DecodingOptions(segment_seconds=3))(table).to_pylist()
    assert [(s["start_s"], s["end_s"]) for s in row["segments"]] == [(0.0, 3.0), (3.0, 6.0)]


def test_tags_and_evidence_are_columns_where_the_checkpoint_has_tag_heads(tone_files: list[Path]) -> None:
    table = decoded(catalogue_rows(str(tone_files[1])), "/")
    stage = CaptionTracks("nowhere", DecodingOptions(), load=lambda path, device, precision: TaggingCaptioner())
    [row] = stage(table).to_pylist()
    assert row["evidence"] == [{"word": "cello", "tag": "strings", "score": 0.9}]
    assert [(tag["facet"], tag["tag"]) for tag in row["tags"]] == [("instrument", "strings"), ("instrument", "piano")]
    assert (row["has_vocals"], row["vocals_score"], row["music_score"]) == (True, 0.98, 0.4)
    [plain] = captioning()(table).to_pylist()
    assert [plain[name] for name in ("tags", "has_vocals", "vocals_score", "music_score", "evidence")] == [None] * 5


def test_the_lowest_score_of_a_tag_can_be_set(tone_files: list[Path]) -> None:
    settings = {"min_tag_score": 0.5, "load": lambda path, device, precision: TaggingCaptioner()}
    stage = CaptionTracks("nowhere", DecodingOptions(), **settings)
    [row] = stage(decoded(catalogue_rows(str(tone_files[1])), "/")).to_pylist()
    assert [tag["tag"] for tag in row["tags"]] == ["strings"]
