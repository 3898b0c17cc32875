"""What a run has to do: the catalogue minus captions and final failures, cut into shards."""

from typing import Any

import pyarrow as pa
import pytest

from pipeline.captioning import plan as planning
from pipeline.captioning.plan import Plan, select_tracks, shards
from pipeline.catalogue import Catalogue, read_catalogue
from pipeline.output.schema import FAILURE_SCHEMA

MODEL = "model-1"


@pytest.fixture
def catalogue(tmp_path) -> Catalogue:
    path = tmp_path / "catalogue.csv"
    path.write_text("track_id,uri\n" + "".join(f"t{number},{number}.wav\n" for number in range(6)))
    return read_catalogue(str(path))


def captioned(*track_ids: str) -> pa.Table:
    return pa.table({"track_id": pa.array(track_ids, pa.string()), "etag": pa.nulls(len(track_ids), pa.string())})


def failed(**tracks: dict[str, Any]) -> pa.Table:
    """The last failure of each track; `{}` is a final failure to decode, at the first attempt."""
    defaults = dict.fromkeys(FAILURE_SCHEMA.names) | {"stage": "decode", "retryable": False, "attempt": 1}
    rows = [defaults | {"track_id": name} | changes for name, changes in tracks.items()]
    nullable = pa.schema([field.with_nullable(True) for field in FAILURE_SCHEMA])
    return pa.Table.from_pylist(rows, schema=nullable)


def chosen(catalogue: Catalogue, plan: Plan) -> list[str]:
    return catalogue.rows["track_id"].filter(pa.array(plan.selected)).to_pylist()


def test_an_empty_output_leaves_the_whole_catalogue(catalogue: Catalogue) -> None:
    plan = select_tracks(catalogue, captioned(), failed(), model_id=MODEL)
    assert chosen(catalogue, plan) == ["t0", "t1", "t2", "t3", "t4", "t5"]
    assert (plan.num_tracks, plan.already_captioned, plan.already_failed) == (6, 0, 0)


def test_captioned_tracks_are_left_out(catalogue: Catalogue) -> None:
    plan = select_tracks(catalogue, captioned("t1", "t4"), failed(), model_id=MODEL)
    assert chosen(catalogue, plan) == ["t0", "t2", "t3", "t5"]
    assert plan.already_captioned == 2


def test_final_failures_are_left_out_and_passing_ones_are_tried_again(catalogue: Catalogue) -> None:
    plan = select_tracks(catalogue, captioned(), failed(t1={}, t2={"retryable": True}), model_id=MODEL)
    assert chosen(catalogue, plan) == ["t0", "t2", "t3", "t4", "t5"]
    assert plan.already_failed == 1


def test_a_failure_to_caption_counts_for_its_model_only(catalogue: Catalogue) -> None:
    failures = failed(t1={"stage": "caption", "model_id": MODEL}, t2={"stage": "caption", "model_id": "another"}, t3={})
    plan = select_tracks(catalogue, captioned(), failures, model_id=MODEL)
    assert chosen(catalogue, plan) == ["t0", "t2", "t4", "t5"]


def test_only_failed_chooses_failed_tracks_without_a_caption(catalogue: Catalogue) -> None:
    failures = failed(t1={}, t2={"retryable": True}, t3={})
    plan = select_tracks(catalogue, captioned("t3"), failures, model_id=MODEL, only_failed=True)
    assert chosen(catalogue, plan) == ["t1", "t2"]
    assert plan.already_failed == 0


def test_a_limit_keeps_the_first_tracks(catalogue: Catalogue) -> None:
    plan = select_tracks(catalogue, captioned("t0"), failed(), model_id=MODEL, limit=2)
    assert chosen(catalogue, plan) == ["t1", "t2"]


def test_rows_of_a_shard_count_the_coming_attempt(catalogue: Catalogue) -> None:
    plan = select_tracks(catalogue, captioned(), failed(t2={"retryable": True, "attempt": 4}), model_id=MODEL)
    [shard] = shards(catalogue, plan, num_cpus=2)
    assert shard.rows["attempt"].to_pylist() == [1, 1, 5, 1, 1, 1]


def test_shards_hold_the_planned_rows_in_order(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SHARD_TRACKS", (1, 2))
    plan = select_tracks(catalogue, captioned("t1"), failed(t4={"retryable": True}), model_id=MODEL)
    cut = [shard.rows for shard in shards(catalogue, plan, num_cpus=8)]
    assert [rows["track_id"].to_pylist() for rows in cut] == [["t0", "t2"], ["t3", "t4"], ["t5"]]
    assert [rows["attempt"].to_pylist() for rows in cut] == [[1, 1], [1, 2], [1]]
