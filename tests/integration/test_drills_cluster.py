"""Several nodes with pretend GPUs, as processes of this machine, reached by address as a cluster is.

Covered here:

- decode tasks run on the nodes without GPUs, each caption actor on a node with one, on the CPU where CUDA lacks
- a node removed early, midway and late, with its decode tasks or its caption actor: nothing lost, nothing doubled
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import soundfile
from ray.cluster_utils import Cluster

from muscaps.config import DecodingOptions
from pipeline.captioning import CaptioningConfig, RunSummary, caption_catalogue, stages
from pipeline.output.verification import verify
from tests.conftest import save_tiny_checkpoint, tones

pytestmark = [pytest.mark.drills, pytest.mark.slow]

NUM_FILES = 5
NUM_TRACKS = 300
NODE = {"num_cpus": 1, "object_store_memory": 150_000_000}
GPU_NODE = {**NODE, "num_gpus": 1}


class Nodes:
    """A head with a core, a node with a core, and two with a core and a GPU each."""

    def __init__(self) -> None:
        self._cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        self.address: str = self._cluster.address
        self._without_gpu = [self._cluster.add_node(**NODE)]
        self._with_gpu = [self._cluster.add_node(**GPU_NODE) for _ in range(2)]
        self._cluster.wait_for_nodes(timeout=60)

    def remove(self, kind: str) -> None:
        """Kill a node that decodes or one that captions, and with it every worker there."""
        nodes = self._without_gpu if kind == "decode" else self._with_gpu
        self._cluster.remove_node(nodes.pop(), allow_graceful=False)

    def complete(self) -> None:
        """Put a new node in the place of one that was removed."""
        while not self._without_gpu:
            self._without_gpu.append(self._cluster.add_node(**NODE))
        while len(self._with_gpu) < 2:
            self._with_gpu.append(self._cluster.add_node(**GPU_NODE))
        self._cluster.wait_for_nodes(timeout=60)

    def close(self) -> None:
        """Stop all its processes."""
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers record on which node they ran."""
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module")
def nodes(marks: Path) -> Iterator[Nodes]:
    """The cluster of this module; an environment variable gives its workers the folder for their marks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUSCAPS_DRILL_MARKS", str(marks))
        patch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        nodes = Nodes()
        yield nodes
        nodes.close()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    for index in range(NUM_FILES):
        soundfile.write(folder / f"{index}.flac", tones(3.0 + 4 * index, index), 16_000)
    lines = [f"t{number:03d},{number % NUM_FILES}.flac\n" for number in range(NUM_TRACKS)]
    (folder / "catalogue.csv").write_text("track_id,uri\n" + "".join(lines))
    return folder / "catalogue.csv"


def run(nodes: Nodes, catalogue: Path, checkpoint: Path, output: Path, **callbacks: Any) -> RunSummary:
    config = CaptioningConfig(
        catalogue=str(catalogue),
        output=str(output),
        checkpoint=str(checkpoint),
        options=DecodingOptions(beam_size=2),
        address=nodes.address,
        commit_seconds=0.5,
    )
    return caption_catalogue(config, **callbacks)


def captions_of(output: Path) -> list[tuple[str, str]]:
    rows = pq.read_table(output / "captions", columns=["track_id", "caption"]).to_pylist()
    return sorted((row["track_id"], row["caption"]) for row in rows)


def leave_a_mark(stage: str) -> None:
    node, gpus = ray.get_runtime_context().get_node_id(), len(ray.get_gpu_ids())
    Path(os.environ["MUSCAPS_DRILL_MARKS"], f"{stage} {node} {gpus}").touch()


_fetch_and_decode = stages.fetch_and_decode


def decode_and_leave_a_mark(rows: pa.Table, **settings: Any) -> Iterator[pa.Table]:
    leave_a_mark("decode")
    yield from _fetch_and_decode(rows, **settings)


class CaptionAndLeaveAMark(stages.CaptionTracks):
    """The real stage, which also records where it ran."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        leave_a_mark("caption")
        return super().__call__(batch)


@pytest.fixture(scope="module")
def undisturbed(
    nodes: Nodes, catalogue: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[float, list[tuple[str, str]]]:
    """Seconds and captions of a run on all nodes, whose workers leave marks."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "fetch_and_decode", decode_and_leave_a_mark)
        patch.setattr(stages, "CaptionTracks", CaptionAndLeaveAMark)
        started = time.monotonic()
        summary = run(nodes, catalogue, checkpoint, output)
    assert (summary.status, summary.captioned) == ("done", NUM_TRACKS)
    return time.monotonic() - started, captions_of(output)


def test_decode_spreads_over_cores_and_captions_take_the_gpus(
    undisturbed: tuple[float, Any], marks: Path, note_result: Callable[[str], None]
) -> None:
    ran = [path.name.split() for path in marks.iterdir()]
    decoding = {node for stage, node, _ in ran if stage == "decode"}
    captioning = {node for stage, node, _ in ran if stage == "caption"}
    assert len(captioning) == 2
    assert {gpus for stage, _, gpus in ran if stage == "caption"} == {"1"}
    assert len(decoding) == 4  # the cores beside a GPU as well
    assert captioning < decoding
    note_result(
        f"{NUM_TRACKS} tracks in {undisturbed[0]:.0f} s: decoded on all four nodes, captioned on the two with a GPU"
    )


@pytest.mark.parametrize(("moment", "share"), [("early", 0.0), ("midway", 0.5), ("late", 0.75)])
@pytest.mark.parametrize("kind", ["decode", "caption"])
def test_a_node_removed_at_any_moment_loses_and_doubles_nothing(
    nodes: Nodes,
    undisturbed: tuple[float, list[tuple[str, str]]],
    catalogue: Path,
    checkpoint: Path,
    tmp_path: Path,
    moment: str,
    share: float,
    kind: str,
    note_result: Callable[[str], None],
) -> None:
    nodes.complete()
    came, removed = 0, []

    def remove(rows: pa.Table) -> None:
        nonlocal came
        came += rows.num_rows
        if not removed and came > share * NUM_TRACKS:
            removed.append(came)
            nodes.remove(kind)

    started = time.monotonic()
    summary = run(nodes, catalogue, checkpoint, tmp_path / "out", on_results=remove)
    seconds = time.monotonic() - started
    assert summary.status == "done"
    checked = verify(str(catalogue), str(tmp_path / "out"))
    assert (checked.captioned, checked.missing, checked.doubled) == (NUM_TRACKS, 0, 0)
    assert captions_of(tmp_path / "out") == undisturbed[1]
    note_result(
        f"removed after {removed[0]} of {NUM_TRACKS} tracks, {summary.rounds} rounds, {seconds:.0f} s; "
        f"undisturbed {undisturbed[0]:.0f} s"
    )
