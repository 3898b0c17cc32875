"""Which track of a group is captioned, and which share its caption."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.captioning.masters import NO_GROUPS, group_column
from pipeline.captioning.plan import Plan, copies, select_tracks, shards
from pipeline.catalogue import Catalogue, read_catalogue
from pipeline.output.schema import FAILURE_SCHEMA

SONG = "track_id,uri,master_id,duration_s\nm,m.wav,,60\nedit,e.wav,m,30\nstem,s.wav,m,60\nother,o.wav,,10\n"


def catalogue_of(folder: Path, text: str) -> Catalogue:
    path = folder / "catalogue.csv"
    path.write_text(text)
    return read_catalogue(str(path))


def captioned(*rows: tuple[str, str | None]) -> pa.Table:
    """Captions of the output, with the track that each is shared from."""
    ids, shared = [row[0] for row in rows], [row[1] for row in rows]
    nothing = pa.nulls(len(rows), pa.string())
    names = {"track_id": ids, "shared_from": shared}
    columns = {name: pa.array(values, pa.string()) for name, values in names.items()}
    return pa.table({**columns, "etag": nothing, "group": nothing})


def failed(*track_ids: str, retryable: bool = False) -> pa.Table:
    values = {"stage": "decode", "retryable": retryable, "attempt": 1}
    rows = [dict.fromkeys(FAILURE_SCHEMA.names) | values | {"track_id": name} for name in track_ids]
    return pa.Table.from_pylist(rows, schema=pa.schema([field.with_nullable(True) for field in FAILURE_SCHEMA]))


def plan_of(catalogue: Catalogue, done: pa.Table | None = None, failures: pa.Table | None = None, **more: Any) -> Plan:
    done, failures = done if done is not None else captioned(), failures if failures is not None else failed()
    return select_tracks(catalogue, done, failures, model_id="m-1", group_by="master_id", **more)


def passes(catalogue: Catalogue, plan: Plan, *failing: str) -> list[tuple[list[str], dict[str, str]]]:
    """The tracks of each shard, and the source of each version, if some tracks fail."""
    return [
        (shard.rows["track_id"].to_pylist(), _shared(shard.versions))
        for shard in shards(catalogue, plan, 2, lambda: failing)
    ]


def _shared(versions: pa.Table | None) -> dict[str, str]:
    assert versions is not None
    return dict(zip(versions["track_id"].to_pylist(), versions["shared_from"].to_pylist(), strict=True))


def copied(catalogue: Catalogue, plan: Plan) -> dict[str, str]:
    return {track: source for rows in copies(catalogue, plan) for track, source in _shared(rows).items()}


def test_the_master_is_captioned_and_its_versions_share_the_caption(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, SONG)
    plan = plan_of(catalogue)
    assert plan.num_tracks == 4
    assert passes(catalogue, plan) == [(["m", "other"], {"edit": "m", "stem": "m"})]


def test_without_a_master_the_longest_track_is_captioned_and_of_equal_ones_the_first(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, SONG.replace("m,m.wav,,60", "k,k.wav,m,60"))
    assert passes(catalogue, plan_of(catalogue)) == [(["k", "other"], {"edit": "k", "stem": "k"})]


def test_if_the_master_fails_the_next_version_is_captioned(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, SONG)
    assert passes(catalogue, plan_of(catalogue), "m", "stem") == [
        (["m", "other"], {"edit": "m", "stem": "m"}),
        (["stem"], {"edit": "stem"}),
        (["edit"], {}),
    ]


def test_new_versions_share_a_caption_of_the_output(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, SONG)
    plan = plan_of(catalogue, captioned(("m", None), ("edit", "m")))
    assert copied(catalogue, plan) == {"stem": "m"}
    assert passes(catalogue, plan) == [(["other"], {})]


def test_versions_find_a_master_that_only_the_output_has(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, SONG.replace("m,m.wav,,60\n", ""))
    assert copied(catalogue, plan_of(catalogue, captioned(("m", None)))) == {"edit": "m", "stem": "m"}


def test_a_master_that_arrives_after_its_versions_is_captioned_itself(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, SONG)
    plan = plan_of(catalogue, captioned(("stem", None), ("edit", "stem")))
    assert copied(catalogue, plan) == {}
    assert passes(catalogue, plan) == [(["m", "other"], {})]


def test_a_file_that_failed_for_good_is_not_given_the_caption_of_another(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, SONG)
    plan = plan_of(catalogue, failures=failed("m", "edit"))
    assert (passes(catalogue, plan), plan.already_failed) == ([(["stem", "other"], {})], 2)
    retried = plan_of(catalogue, captioned(("stem", None), ("other", None)), failed("m", "edit"), only_failed=True)
    assert passes(catalogue, retried) == [(["m", "edit"], {})]


def test_a_limit_counts_captioned_tracks(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, SONG)
    plan = plan_of(catalogue, limit=1)
    assert plan.num_tracks == 3
    assert passes(catalogue, plan) == [(["m"], {"edit": "m", "stem": "m"})]


def test_random_groups_give_every_track_one_row_whatever_fails(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [f"t{n},{n}.wav,{rng.choice(['', 'a', 'b', 't1', 't7'])},{rng.integers(9)}" for n in range(40)]
    catalogue = catalogue_of(tmp_path, "track_id,uri,master_id,duration_s\n" + "\n".join(rows) + "\n")
    for _ in range(20):
        failing = {f"t{n}" for n in range(40) if rng.random() < 0.4}
        with_row: list[str] = []
        for tracks, shared in passes(catalogue, plan_of(catalogue), *failing):
            with_row += [*tracks, *(track for track, source in shared.items() if source not in failing)]
        assert sorted(with_row) == sorted(f"t{n}" for n in range(40))


@pytest.mark.parametrize(
    ("group_by", "header", "found"),
    [
        (None, "uri,Master ID", "Master ID"),
        (None, "uri,album", None),
        ("album", "uri,album", "album"),
        (NO_GROUPS, "uri,master_id", None),
    ],
)
def test_the_column_is_master_id_or_is_named(
    tmp_path: Path, group_by: str | None, header: str, found: str | None
) -> None:
    assert group_column(catalogue_of(tmp_path, f"{header}\na.wav,x\n"), group_by) == found


def test_a_column_that_the_catalogue_lacks_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--group-by work: .* has no such column to group by; it has: album"):
        group_column(catalogue_of(tmp_path, "uri,album\na.wav,x\n"), "work")
