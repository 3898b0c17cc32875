"""The Ray Data graph: rows -> fetch and decode (CPU tasks) -> caption (actors).

No other module of captioning calls `map_batches` or assigns CPUs and GPUs.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from muscaps.config import AudioConfig
from pipeline.captioning import stages
from pipeline.captioning.checkpoint_transfer import checkpoint_for_workers
from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.retries import MAX_ATTEMPTS
from pipeline.cluster.drain_flag import DrainFlag
from pipeline.cluster.session import Session

if TYPE_CHECKING:
    import ray.data

BLOCK_BYTES = 32 * 2**20
"""PCM of one block, which is also one batch of the captioner: five or six tracks of three minutes."""
GPU_BLOCK_BYTES = 128 * 2**20
"""PCM of one block with GPUs, which need larger batches."""
GPU_BATCH_TRACKS = 32
"""Maximum number of tracks in a batch of a GPU: with three minutes each, 1,920 chunks and 184 MB of PCM."""
TRACKS_PER_TASK = 16
"""Maximum number of tracks of a decode task. A task takes about 10 ms to start, and a track about 100 ms to decode."""
ACTOR_CPUS, DECODE_CPUS = 0.75, 0.25
"""Fractions of a core without GPUs: one captioning actor and one decode task per core. Captioning takes several times
as long as decoding, and the operating system balances the two."""


@dataclass(frozen=True, kw_only=True)
class CaptioningGraph:
    """Builds the dataset of each round."""

    config: CaptioningConfig
    """Configuration of the run."""
    base: str
    """Location at which relative URIs of the catalogue start."""
    audio: AudioConfig
    """Sample rate and chunk length of the checkpoint."""
    checkpoint: Path
    """Checkpoint directory on the driver."""
    run_id: str
    """Name of the run; it identifies the flag that drains decode tasks."""

    def dataset(self, rows: pa.Table, session: Session, *, isolated: bool) -> "ray.data.Dataset":
        """Build the graph of the stages for the rows of one round.

        Args:
            rows: Rows for the first stage, see `rows.input_rows`.
            session: The Ray session.
            isolated: One track per task and no repetition by Ray, so that a crash affects only one track.
        """
        # Retries cannot be limited in another way; Ray 2.60 announces a separate argument for that.
        warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated", category=DeprecationWarning)
        per_task = tracks_per_task(rows.num_rows, session.num_cpus, isolated=isolated)
        return self._captioned(
            self._decoded(rows, per_task, session, isolated), rows.num_rows, per_task, session, isolated
        )

    def _decoded(self, rows: pa.Table, per_task: int, session: Session, isolated: bool) -> "ray.data.Dataset":
        import ray.data  # the import takes seconds, and a run with nothing to do does not need it

        retries = 0 if isolated else MAX_ATTEMPTS
        # Ray passes a block to one task, regardless of its number of rows.
        blocks = [rows.slice(start, per_task).combine_chunks() for start in range(0, rows.num_rows, per_task)]
        return ray.data.from_arrow(blocks).map_batches(
            stages.fetch_and_decode,  # type: ignore[arg-type]  # Ray's stub knows no keyword arguments
            batch_size=None,
            batch_format="pyarrow",
            fn_kwargs={
                "base": self.base,
                "sample_rate": self.audio.sample_rate,
                "chunk_samples": self.audio.chunk_samples,
                "max_chunks": self.config.chunks_per_track,
                "only_needed": self.config.only_needed,
                "allow_local": self.config.allow_local,
                "stopped": DrainFlag(self.run_id),
            },
            num_cpus=1 if session.num_gpus else DECODE_CPUS,
            ray_remote_args_fn=lambda: {"max_retries": retries},
        )

    def _captioned(
        self, decoded: "ray.data.Dataset", num_tracks: int, per_task: int, session: Session, isolated: bool
    ) -> "ray.data.Dataset":
        import ray.data  # see above

        config, retries, on_gpu = self.config, 0 if isolated else MAX_ATTEMPTS, session.num_gpus > 0
        actors = session.num_gpus * config.workers_per_gpu or max(
            1, min(session.num_cpus, math.ceil(num_tracks / per_task))
        )
        return decoded.map_batches(
            stages.CaptionTracks,
            # On a core, a block is a batch. For a GPU, Ray requires a number of rows and concatenates blocks.
            batch_size=tracks_per_batch(num_tracks, actors, isolated=isolated) if on_gpu else None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            fn_constructor_args=(checkpoint_for_workers(self.checkpoint, config.address), config.options),
            fn_constructor_kwargs={
                "use_gpu": on_gpu,
                "precision": config.precision,
                "save_features": config.save_features,
                "min_tag_score": config.min_tag_score,
            },
            # Batches that wait for an actor are lost if it crashes. In an isolated round only one may wait.
            compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1 if isolated else None),
            # Actors with a GPU wait most of the time, and a machine with few cores and many GPUs must also decode.
            num_cpus=0 if on_gpu else ACTOR_CPUS,
            num_gpus=1 / config.workers_per_gpu if on_gpu else None,
            ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": retries},
        )


def tracks_per_task(num_tracks: int, num_cpus: int, *, isolated: bool = False) -> int:
    """Return the number of tracks of a decode task, so that every core gets at least four tasks if possible."""
    return 1 if isolated else max(1, min(TRACKS_PER_TASK, num_tracks // (4 * num_cpus)))


def tracks_per_batch(num_tracks: int, num_actors: int, *, isolated: bool = False) -> int:
    """Return the number of tracks of a batch on a GPU, so that every actor gets at least four batches if possible."""
    return 1 if isolated else max(1, min(GPU_BATCH_TRACKS, num_tracks // (4 * num_actors)))


def block_bytes(num_gpus: int) -> int:
    """Return the size of the blocks between the stages, in bytes of PCM."""
    return GPU_BLOCK_BYTES if num_gpus else BLOCK_BYTES
