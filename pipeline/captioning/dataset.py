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
"""PCM handed over at a time: five or six tracks of three minutes; also what one forward pass works on."""
GPU_BLOCK_BYTES = 128 * 2**20
"""The same where GPUs caption, which want more tracks at once."""
GPU_BATCH_TRACKS = 32
"""Tracks a GPU is given at a time: of three minutes each they are 1,920 chunks and 184 MB of PCM."""
TRACKS_PER_TASK = 16
"""Most tracks of one decode task: starting a task costs some 10 ms, decoding a track some 100 ms."""
ACTOR_CPUS, DECODE_CPUS = 0.75, 0.25
"""Shares of a core without GPUs: one captioning actor and one decode task a core, since captioning takes
several times as long as decoding and the operating system balances the two."""


@dataclass(frozen=True, kw_only=True)
class CaptioningGraph:
    """Builds the dataset of each round."""

    config: CaptioningConfig
    """How tracks are decoded and captioned."""
    base: str
    """What relative URIs of the catalogue count from."""
    audio: AudioConfig
    """The checkpoint's sample rate and chunk length."""
    checkpoint: Path
    """Checkpoint directory on the driver."""
    run_id: str
    """Names the flag that drains the decode tasks."""

    def dataset(self, rows: pa.Table, session: Session, *, isolated: bool) -> "ray.data.Dataset":
        """Join the stages over the rows of one round.

        Args:
            rows: For the first stage, see `rows.input_rows`.
            session: The Ray to work on.
            isolated: One track per task, and no repetition by Ray, so that a crash concerns one track.
        """
        # Retries can be limited in no other way; Ray 2.60 announces an argument of its own for that.
        warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated", category=DeprecationWarning)
        per_task = tracks_per_task(rows.num_rows, session.num_cpus, isolated=isolated)
        return self._captioned(
            self._decoded(rows, per_task, session, isolated), rows.num_rows, per_task, session, isolated
        )

    def _decoded(self, rows: pa.Table, per_task: int, session: Session, isolated: bool) -> "ray.data.Dataset":
        import ray.data  # takes seconds to import; a run with nothing to do needs none of it

        retries = 0 if isolated else MAX_ATTEMPTS
        # Ray gives a block to one task, however many rows it holds.
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
                "only_needed": self.config.decode_only_needed,
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
            # A core takes blocks as they come; for a GPU, Ray requires a number and puts blocks together to reach it.
            batch_size=tracks_per_batch(num_tracks, actors, isolated=isolated) if on_gpu else None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            fn_constructor_args=(checkpoint_for_workers(self.checkpoint, config.address), config.options),
            fn_constructor_kwargs={
                "use_gpu": on_gpu,
                "precision": config.precision,
                "save_features": config.save_features,
            },
            # Batches that wait for an actor are lost with it: in an isolated round only one may wait.
            compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1 if isolated else None),
            # On a GPU an actor waits most of the time: a machine of few cores and many GPUs must decode as well.
            num_cpus=0 if on_gpu else ACTOR_CPUS,
            num_gpus=1 / config.workers_per_gpu if on_gpu else None,
            ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": retries},
        )


def tracks_per_task(num_tracks: int, num_cpus: int, *, isolated: bool = False) -> int:
    """Tracks of one decode task: few enough that every core gets at least four tasks."""
    return 1 if isolated else max(1, min(TRACKS_PER_TASK, num_tracks // (4 * num_cpus)))


def tracks_per_batch(num_tracks: int, num_actors: int, *, isolated: bool = False) -> int:
    """Tracks of one batch on a GPU: few enough that every actor gets at least four batches."""
    return 1 if isolated else max(1, min(GPU_BATCH_TRACKS, num_tracks // (4 * num_actors)))


def block_bytes(num_gpus: int) -> int:
    """Size of the blocks between the stages."""
    return GPU_BLOCK_BYTES if num_gpus else BLOCK_BYTES
