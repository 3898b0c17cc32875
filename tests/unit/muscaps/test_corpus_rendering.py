"""A corpus on disk: complete shards, tables, and a second run that renders nothing twice."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from muscaps.corpus.clip import ClipSpec
from muscaps.corpus.isolation import IsolatedRenderer, RenderError
from muscaps.corpus.scores import excerpt, find_scores, read_licences
from pipeline.training.rendering import PAIRS_SCHEMA, RenderingConfig, render_corpus, shards_to_do


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> RenderingConfig:
    folder = tmp_path_factory.mktemp("corpus")
    clip = ClipSpec(index=0, seed=1, seconds=3.0)
    config = RenderingConfig(output=str(folder), num_clips=5, clip=clip, shard_clips=3, time_limit_s=60)
    summary = render_corpus(config)
    assert (summary.num_clips, summary.rendered, summary.failed) == (5, 5, 0)
    assert summary.clips_per_s > 0
    return config


def test_the_table_of_pairs_points_at_audio_of_the_stated_length(corpus: RenderingConfig) -> None:
    table = pq.read_table(Path(corpus.output) / "pairs.parquet")
    assert table.schema.equals(PAIRS_SCHEMA)
    for row in table.to_pylist():
        audio, sample_rate = soundfile.read(Path(corpus.output) / row["uri"])
        assert sample_rate == 16_000
        assert len(audio) / sample_rate == row["duration_s"] == 3.0
        assert row["captions"][0] == row["caption"]
        assert set(row["families"]) <= set(row["tags"])
        assert row["licence"] == "Apache-2.0"


def test_the_summary_counts_tags_and_names_no_folders(corpus: RenderingConfig) -> None:
    document = json.loads((Path(corpus.output) / "corpus.json").read_text())
    assert document["num_clips"] == 5
    assert sum(document["splits"].values()) == 5
    assert all(0 < share <= 1 for share in document["tags"].values())
    assert document["settings"]["seed"] == 1


def test_a_second_run_renders_only_what_is_missing(corpus: RenderingConfig) -> None:
    assert shards_to_do(corpus) == []
    before = (Path(corpus.output) / "pairs.parquet").read_bytes()
    (Path(corpus.output) / "rows" / "0000003-0000005.jsonl").unlink()
    assert shards_to_do(corpus) == [(3, 5)]
    assert render_corpus(corpus).rendered == 2
    assert (Path(corpus.output) / "pairs.parquet").read_bytes() == before


def test_a_folder_keeps_to_its_corpus(corpus: RenderingConfig) -> None:
    with pytest.raises(
        ValueError, match=r"has another corpus .seconds was 3.0, is 4.0; seed was 1, is 2.; choose another"
    ):
        render_corpus(replace(corpus, clip=replace(corpus.clip, seed=2, seconds=4.0)))
    assert render_corpus(corpus).num_clips == 5


def test_a_score_that_cannot_be_read_fails_alone(corpus: RenderingConfig, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"no music")
    clip = replace(corpus.clip, scores=(str(broken),), score_share=0.5)
    config = replace(corpus, output=str(tmp_path / "out"), num_clips=6, shard_clips=6, clip=clip)
    summary = render_corpus(config)
    assert summary.failed > 0 and summary.rendered > 0
    failures = [json.loads(line) for line in (tmp_path / "out" / "failures.jsonl").read_text().splitlines()]
    assert len(failures) == summary.failed
    assert all(failure["error_type"] == "unrenderable" for failure in failures)
    assert all("broken.mid" in failure["message"] for failure in failures)


def test_a_clip_over_its_time_is_given_up_and_the_next_one_rendered() -> None:
    spec = ClipSpec(index=0, seconds=3.0)
    with IsolatedRenderer(time_limit_s=0.01) as renderer:
        with pytest.raises(RenderError, match="took more than") as raised:
            renderer.render(spec)
        assert raised.value.error_type == "timed_out"
        renderer.time_limit_s = 60
        assert renderer.render(spec).clip_id == "c0-000000"


def test_an_excerpt_keeps_the_score_and_changes_its_players(tmp_path: Path) -> None:
    symusic = pytest.importorskip("symusic")
    score = symusic.Score(480)
    track = symusic.Track("", 0, False)
    for beat in range(64):
        track.notes.append(symusic.Note(beat * 480, 240, 60 + (0, 4, 7, 12)[beat % 4], 90))
    score.tracks.append(track)
    folder = tmp_path / "scores"
    folder.mkdir()
    score.dump_midi(str(folder / "c_major.mid"))
    (tmp_path / "manifest.csv").write_text("path,licence\nscores/c_major.mid,CC0\n")
    assert find_scores([folder]) == [folder / "c_major.mid"]
    assert read_licences(folder) == {str(folder / "c_major.mid"): "CC0"}
    import numpy as np

    arrangements = [excerpt(folder / "c_major.mid", 6.0, np.random.default_rng(seed)) for seed in range(12)]
    assert {arrangement.mode for arrangement in arrangements} == {"major"}
    assert len({arrangement.parts[0].instrument for arrangement in arrangements}) > 3
    assert all(80 < arrangement.bpm < 180 for arrangement in arrangements)
    with pytest.raises(ValueError, match="no folder of scores"):
        find_scores([tmp_path / "none"])


@pytest.mark.parametrize("change", [{"num_clips": 0}, {"num_workers": 0}, {"shard_clips": 0}])
def test_impossible_runs_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RenderingConfig(output="out", clip=ClipSpec(index=0), **change)  # type: ignore[arg-type]
