"""The parts of the job (decode, features, search), measured separately with as many workers as the job has."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from muscaps.config import DecodingOptions, Precision
from pipeline.bench.config import BenchmarkConfig
from pipeline.bench.hardware import flops_per_chunk, matmul_flops_per_second
from pipeline.bench.rates import PARTS, Arithmetic, PartTotals
from pipeline.captioning import stages
from pipeline.captioning.checkpoint_transfer import checkpoint_directory, checkpoint_for_workers
from pipeline.captioning.dataset import GPU_BATCH_TRACKS
from pipeline.captioning.rows import input_rows
from pipeline.catalogue import Catalogue
from pipeline.cluster.session import cluster_size

TRACKS_PER_WORKER = 5
"""Tracks that a worker processes in one measurement: a block of the job, with tracks of three minutes."""


class DecodeWorker:
    """A decode worker on one core."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Create a worker with the keyword arguments of `stages.fetch_and_decode`."""
        self._settings = settings
        self._waveforms: list[np.ndarray] = []

    def decode(self, rows: pa.Table) -> tuple[int, float]:
        """Fetch and decode tracks and keep their PCM; return their number and their total length in seconds."""
        tables = list(stages.fetch_and_decode(rows, **self._settings))
        good = [table for table in tables if table["pcm"][0].is_valid]
        self._waveforms = [np.frombuffer(table["pcm"][0].as_buffer(), dtype="<i2") for table in good]
        return len(good), sum(table["decoded_duration_s"][0].as_py() for table in good)


class PartWorker(DecodeWorker):
    """A captioning worker. It runs every part and keeps the results that the next part needs."""

    def __init__(
        self,
        checkpoint: str | dict[str, bytes],
        options: DecodingOptions,
        settings: dict[str, Any],
        precision: Precision,
        use_gpu: bool = False,
    ) -> None:
        """Load the checkpoint (a local directory, or its files by name); like workers of the job, use one thread."""
        import torch  # in the workers only

        from muscaps.captioner import Captioner  # imports torch

        super().__init__(settings)
        torch.set_num_threads(1)
        with checkpoint_directory(checkpoint) as directory:
            device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
            self._captioner = Captioner.load(directory, device, precision)
        self._options = options
        self._features: list[Any] = []

    def features(self) -> int:
        """Extract the features of the tracks just decoded; return the number of chunks."""
        self._features = self._captioner.features(self._waveforms)
        return sum(len(track) for track in self._features)

    def search(self) -> int:
        """Search captions for the tracks; return their number."""
        return len(self._captioner.caption_features(self._features, self._options))

    def arithmetic(self) -> tuple[float, float]:
        """Return FLOP per second of a large matrix product, and FLOP of one chunk's features."""
        return matmul_flops_per_second(self._captioner), flops_per_chunk(self._captioner)

    def model_id(self) -> str:
        """Return the model id of the checkpoint."""
        return self._captioner.model_id


class PartWorkers:
    """As many workers as the job has: one per core; with GPUs, `workers_per_gpu` per GPU and one decoder per core."""

    def __init__(self, config: BenchmarkConfig, catalogue: Catalogue, directory: Path) -> None:
        """Start the workers.

        Args:
            config: Configuration of the benchmark.
            catalogue: Tracks of the measurements.
            directory: Checkpoint directory on this machine.

        Raises:
            ValueError: No track can be decoded.
        """
        self.num_cpus, found = cluster_size()
        self.num_gpus = found if config.gpus is None else config.gpus
        self._config, self._catalogue, self._directory = config, catalogue, directory
        self._decoder_rows = self._captioner_rows = self._shares(self.num_cpus, TRACKS_PER_WORKER)
        if self.num_gpus:
            self._captioner_rows = self._shares(self.num_gpus * config.workers_per_gpu, GPU_BATCH_TRACKS)
        self._captioners: list[Any] = []
        self._decoders: list[Any] = []
        self.model_id = ""
        self.totals: dict[str, PartTotals] = {}
        """Amounts that all workers of each part process."""
        self.arithmetic = Arithmetic(flops_per_second=0.0, flops_per_chunk=0.0)
        self.start()

    def _shares(self, num_workers: int, tracks_per_worker: int) -> list[pa.Table]:
        """Return tracks for every worker, evenly spaced over the catalogue."""
        count = min(self._catalogue.num_tracks, num_workers * tracks_per_worker)
        spread = np.linspace(0, self._catalogue.num_tracks - 1, count).astype(int)
        chosen = input_rows(self._catalogue.rows.take(pa.array(spread)), pa.array(np.ones(count, np.int32)))
        shares = np.array_split(np.arange(count), min(num_workers, count))
        return [chosen.take(pa.array(share)).combine_chunks() for share in shares]

    def start(self) -> None:
        """Start the workers and run every part once as a warm-up."""
        import ray  # takes seconds to import

        self._start_actors()
        decoded = ray.get(self._decode_calls(self._captioners, self._captioner_rows))
        num_chunks = sum(ray.get([one.features.remote() for one in self._captioners]))
        ray.get([one.search.remote() for one in self._captioners])
        self.model_id = ray.get(self._captioners[0].model_id.remote())
        step = self._config.workers_per_gpu if self.num_gpus else 1  # workers that share a GPU measure it once
        measured = ray.get([one.arithmetic.remote() for one in self._captioners[::step]])
        self.arithmetic = Arithmetic(flops_per_second=sum(rate for rate, _ in measured), flops_per_chunk=measured[0][1])
        captioned = _totals(decoded, num_chunks)
        self.totals = dict.fromkeys(PARTS, captioned)
        if self.num_gpus:
            self.totals["decode"] = _totals(ray.get(self._decode_calls(self._decoders, self._decoder_rows)))
        if not self.totals["decode"].num_tracks or not captioned.num_tracks:
            raise ValueError(f"{self._config.catalogue}: none of the selected tracks can be decoded")

    def _start_actors(self) -> None:
        import ray  # see above

        from muscaps.checkpoint import load_checkpoint  # imports torch

        config, on_gpu = self._config, self.num_gpus > 0
        audio = load_checkpoint(self._directory).audio_config
        settings = {
            "base": self._catalogue.base,
            "sample_rate": audio.sample_rate,
            "chunk_samples": audio.chunk_samples,
            **config.decoding,  # as the job
        }
        resources = {"num_cpus": 0, "num_gpus": 1 / config.workers_per_gpu} if on_gpu else {"num_cpus": 1}
        checkpoint = checkpoint_for_workers(self._directory, config.address)
        actor = ray.remote(PartWorker).options(**resources)
        arguments = (checkpoint, config.options, settings, config.precision, on_gpu)
        self._captioners = self._decoders = [actor.remote(*arguments) for _ in self._captioner_rows]
        if on_gpu:
            decoder = ray.remote(DecodeWorker).options(num_cpus=1)
            self._decoders = [decoder.remote(settings) for _ in self._decoder_rows]

    def _decode_calls(self, workers: Sequence[Any], shares: Sequence[pa.Table]) -> list[Any]:
        return [one.decode.remote(rows) for one, rows in zip(workers, shares, strict=True)]

    def measure(self) -> dict[str, float]:
        """Return the seconds of each part, with all of its workers in parallel."""
        import ray  # see above

        def timed(calls: list[Any]) -> float:
            started = time.perf_counter()
            ray.get([call() for call in calls])
            return time.perf_counter() - started

        shares = zip(self._decoders, self._decoder_rows, strict=True)
        seconds = {"decode": timed([partial(one.decode.remote, rows) for one, rows in shares])}
        for name in ("features", "search"):
            seconds[name] = timed([getattr(one, name).remote for one in self._captioners])
        return seconds

    def stop(self) -> None:
        """Stop the workers, so that their cores are free."""
        import ray  # see above

        for one in {*self._captioners, *self._decoders}:
            ray.kill(one)
        self._captioners = self._decoders = []


def _totals(decoded: Sequence[tuple[int, float]], num_chunks: int = 0) -> PartTotals:
    """Sum the (number of tracks, seconds) of all workers."""
    return PartTotals(
        num_workers=len(decoded),
        num_tracks=sum(tracks for tracks, _ in decoded),
        audio_seconds=sum(seconds for _, seconds in decoded),
        num_chunks=num_chunks,
    )
