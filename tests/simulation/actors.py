"""The processes of a simulation: runs, compactions, reviewers and readers, each with the code that users call.

A run is `pipeline.captioning.run._Run` with its lease, plan, commits and record. Only the Ray graph is replaced:
results are made up in the order of the catalogue, and each is committed alone.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from muscaps.config import AudioConfig
from pipeline.captioning import record
from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.plan import Plan, shards
from pipeline.captioning.run import _Run
from pipeline.catalogue import Catalogue, read_catalogue
from pipeline.output.anti_join import captioned_tracks
from pipeline.output.compaction import compact
from pipeline.output.lease import Lease
from pipeline.output.newest import open_table
from pipeline.output.runs import new_run_id
from pipeline.output.verification import verify
from pipeline.review.apply import apply_reviews
from tests.committed_output import MODEL_ID, OPTIONS, result_rows
from tests.simulation.processes import Behaviour
from tests.simulation.store import ROOT, Files, perform

OUTPUT = f"{ROOT}output"
TRACKS = ("a", "b", "c", "d")
"""Tracks of the catalogue; the output of every simulation begins with captions of the first two."""
FAILING = "d"
"""The track that fails in every run."""
WITH_FEATURES = "c"
"""The track whose features are saved."""
CHECKPOINT = SimpleNamespace(model_id=MODEL_ID, audio_config=AudioConfig(), model=SimpleNamespace(embedding_dim=None))


@dataclass(frozen=True)
class Catalogues:
    """Catalogues and reviews on disk."""

    folder: Path

    def write(self) -> "Catalogues":
        """Write the files."""
        catalogues = {"start": (TRACKS[:2], 7), "plain": (TRACKS, 7), "typed": (TRACKS, "calm")}
        for name, (tracks, mood) in catalogues.items():
            rows = [{"track_id": track, "uri": f"/music/{track}.mp3", "mood": mood} for track in tracks]
            (self.folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        line = {"verdict": "rejected", "caption": None, "machine_caption": "A song."}
        for name, track in (("first", "a"), ("second", "b")):
            decision = {**line, "track_id": track, "created_at": "2026-11-25T12:00:00Z"}
            (self.folder / f"{name}.reviews.jsonl").write_text(json.dumps(decision))
        return self

    def path(self, name: str) -> str:
        """Return the path of a catalogue: plain, typed (text in a column of numbers) or start (two tracks)."""
        return str(self.folder / f"{name}.jsonl")

    @functools.lru_cache(maxsize=4)  # noqa: B019
    def read(self, name: str) -> Catalogue:
        """Return a catalogue."""
        return read_catalogue(self.path(name))

    def reviews(self, name: str) -> str:
        """Return the path of a file with one decision: first or second."""
        return str(self.folder / f"{name}.reviews.jsonl")


class _SimulatedRun(_Run):
    """A run whose results are made up."""

    def _process(self, plan: Plan) -> None:
        self._sink._max_rows = 1
        for shard in shards(self._catalogue, plan, 1):
            for number in range(shard.rows.num_rows):
                self._add_results(_result(shard.rows.slice(number, 1)))
                self._commit_and_record()


def _result(row: pa.Table) -> pa.Table:
    [track_id] = row["track_id"].to_pylist()
    changes: dict[str, Any] = {} if track_id == WITH_FEATURES else {"features": None, "feature_dim": None}
    result = _made_up(track_id, track_id == FAILING, tuple(changes.items()))
    for name in ("mood", "attempt", "etag"):
        result = result.set_column(result.column_names.index(name), row.field(name), row[name])
    return result


@functools.cache
def _made_up(track_id: str, failed: bool, changes: tuple[tuple[str, Any], ...]) -> pa.Table:
    return result_rows(track_id, failed=failed, **dict(changes))


def caption(catalogues: Catalogues, name: str = "plain") -> str:
    """Caption a catalogue; return how the run ended."""
    config = CaptioningConfig(catalogue=catalogues.path(name), output=OUTPUT, options=OPTIONS, commit_seconds=1e9)
    with Lease(OUTPUT, new_run_id()) as lease:
        return _SimulatedRun(config, catalogues.read(name), CHECKPOINT, Path(), lease).execute().status  # type: ignore[arg-type]


def begin(behaviour: Behaviour, catalogues: Catalogues) -> Files:
    """Return the store with which simulations begin: a run has captioned the first two tracks."""
    node, files, time = behaviour.root(functools.partial(caption, catalogues, "start"), "o"), Files({}), 0.0
    while node.pending:
        thread, request = min(node.pending.items(), key=lambda item: (item[1].until, item[0]))
        answer: Any = request.woken
        if request.operation is None:
            time = max(time, request.until)
        else:
            files, answer = perform(files, request.operation, time, page=behaviour.page)
        node = behaviour.after(node, thread, answer, time)
    assert node.outcome == "done", node.outcome
    return files


def merge() -> int:
    """Compact the output; return the number of files left."""
    return compact(OUTPUT).files_after


def review(catalogues: Catalogues, name: str = "first") -> int:
    """Write one decision; return the number of new ones."""
    return apply_reviews(OUTPUT, catalogues.reviews(name)).written


def read_ids() -> tuple[str, ...]:
    """Read the captioned tracks as the anti-join does."""
    return tuple(captioned_tracks(OUTPUT, MODEL_ID, OPTIONS)["track_id"].to_pylist())


def read_rows() -> tuple[str, ...]:
    """Read the captioned tracks as exports do, without choosing the newest row of each."""
    batches = open_table(OUTPUT, "captions").batches(["track_id"])
    return tuple(name for _, batch in batches for name in batch["track_id"].to_pylist())


def finish(catalogues: Catalogues) -> bool:
    """Caption, compact and verify; return whether every track has exactly one result."""
    caption(catalogues)
    compact(OUTPUT)
    return verify(catalogues.path("plain"), OUTPUT, model_id=MODEL_ID, options=OPTIONS).is_complete


record.installed_versions = functools.cache(record.installed_versions)  # takes milliseconds, and does not change
