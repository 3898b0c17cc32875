"""The parts of the job (decode, features, search), each measured alone with as many workers as the job has."""

import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from muscaps.config import DecodingOptions, Precision
from pipeline.bench.config import BenchmarkConfig
from pipeline.bench.hardware import flops_per_chunk, multiplying_rate
from pipeline.captioning import stages
from pipeline.captioning.checkpoint_transfer import checkpoint_directory
from pipeline.captioning.dataset import GPU_BATCH_TRACKS
from pipeline.captioning.rows import input_rows
from pipeline.catalogue import Catalogue
from pipeline.cluster.session import cluster_size

PARTS = ("decode", "features", "search")
TRACKS_A_WORKER = 5
"""Tracks a worker does in one measurement: what one block of the job holds, at three minutes a track."""


class DecodeWorker:
    """One core's share of the decoding."""

    def __init__(self, how: dict[str, Any]) -> None:
        """Keep how tracks are decoded, the keyword arguments of `stages.fetch_and_decode`."""
        self._how = how
        self._waveforms: list[np.ndarray] = []

    def decode(self, rows: pa.Table) -> dict[str, float]:
        """Fetch and decode tracks, keeping the PCM; the tracks and their seconds."""
        tables = list(stages.fetch_and_decode(rows, **self._how))
        good = [table for table in tables if table["pcm"][0].is_valid]
        self._waveforms = [np.frombuffer(table["pcm"][0].as_buffer(), dtype="<i2") for table in good]
        seconds = sum(table["decoded_duration_s"][0].as_py() for table in good)
        return {"tracks": len(good), "audio_seconds": seconds}


class PartWorker(DecodeWorker):
    """One captioning worker's share of every part: keeps of each what the next part needs."""

    def __init__(
        self,
        checkpoint: str | dict[str, bytes],
        options: DecodingOptions,
        how: dict[str, Any],
        precision: Precision,
        use_gpu: bool = False,
    ) -> None:
        """Load the checkpoint, a directory here or its files by name, on one thread as the job's workers do."""
        import torch

        from muscaps.captioner import Captioner

        super().__init__(how)
        torch.set_num_threads(1)
        with checkpoint_directory(checkpoint) as directory:
            device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
            self._captioner = Captioner.load(directory, device, precision)
        self._options = options
        self._features: list[Any] = []

    def features(self) -> int:
        """Extract the features of the tracks just decoded; how many chunks there were."""
        self._features = self._captioner.features(self._waveforms)
        return sum(len(track) for track in self._features)

    def search(self) -> int:
        """Search captions for them; how many."""
        return len(self._captioner.caption_features(self._features, self._options))

    def pace(self) -> tuple[float, float]:
        """FLOP a second in a large product of matrices, and FLOP of a chunk's features."""
        return multiplying_rate(self._captioner), flops_per_chunk(self._captioner)

    def model_id(self) -> str:
        """Which checkpoint this is."""
        return self._captioner.model_id


class PartWorkers:
    """As many workers as the job has, on the same Ray: one a core, or some a GPU and one a core to decode for them."""

    def __init__(self, config: BenchmarkConfig, catalogue: Catalogue, directory: Path) -> None:
        self.num_cpus, found = cluster_size()
        self.num_gpus = found if config.gpus is None else config.gpus
        self._config, self._catalogue, self._directory = config, catalogue, directory
        if self.num_gpus:
            self._heard = self._shares(self.num_gpus * config.workers_per_gpu, GPU_BATCH_TRACKS)
            self._decoded = self._shares(self.num_cpus, TRACKS_A_WORKER)
        else:
            self._heard = self._decoded = self._shares(self.num_cpus, TRACKS_A_WORKER)
        self._captioners: list[Any] = []
        self._decoders: list[Any] = []
        self.model_id = ""
        self.totals: dict[str, dict[str, float]] = {}
        """Per part the workers, and the tracks, seconds of audio and chunks they work on together."""
        self.pace = 0.0, 0.0
        """FLOP a second of all processors in large products of matrices, and FLOP of a chunk."""
        self.start()

    def _shares(self, num_workers: int, each: int) -> list[pa.Table]:
        """Tracks for every worker, spread over the whole catalogue."""
        wanted = min(self._catalogue.num_tracks, num_workers * each)
        every = np.linspace(0, self._catalogue.num_tracks - 1, wanted).astype(int)
        chosen = input_rows(self._catalogue.rows.take(pa.array(every)), pa.array(np.ones(wanted, np.int32)))
        shares = np.array_split(np.arange(wanted), min(num_workers, wanted))
        return [chosen.take(pa.array(share)).combine_chunks() for share in shares]

    def start(self) -> None:
        """Start the workers and let each do everything once, unmeasured."""
        import ray

        from muscaps.checkpoint import load_checkpoint

        audio = load_checkpoint(self._directory).audio_config
        how = {
            "base": self._catalogue.base,
            "sample_rate": audio.sample_rate,
            "chunk_samples": audio.chunk_samples,
        }
        on_gpu = self.num_gpus > 0
        needs = {"num_cpus": 0, "num_gpus": 1 / self._config.workers_per_gpu} if on_gpu else {"num_cpus": 1}
        checkpoint: str | dict[str, bytes] = str(self._directory.resolve())
        if self._config.address is not None:  # other machines do not have the directory
            checkpoint = {path.name: path.read_bytes() for path in self._directory.iterdir() if path.is_file()}
        actor = ray.remote(PartWorker).options(**needs)
        arguments = (checkpoint, self._config.options, how, self._config.precision, on_gpu)
        self._captioners = [actor.remote(*arguments) for _ in self._heard]
        heard = ray.get([one.decode.remote(rows) for one, rows in zip(self._captioners, self._heard, strict=True)])
        chunks = ray.get([one.features.remote() for one in self._captioners])
        ray.get([one.search.remote() for one in self._captioners])
        self.model_id = ray.get(self._captioners[0].model_id.remote())
        paces = ray.get(
            [one.pace.remote() for one in self._captioners[:: self._config.workers_per_gpu if on_gpu else 1]]
        )
        self.pace = sum(rate for rate, _ in paces), paces[0][1]
        self._decoders, decoded = self._captioners, heard
        if on_gpu:
            self._decoders = [ray.remote(DecodeWorker).options(num_cpus=1).remote(how) for _ in self._decoded]
            decoded = ray.get(
                [one.decode.remote(rows) for one, rows in zip(self._decoders, self._decoded, strict=True)]
            )
        self.totals = {name: _summed(decoded if name == "decode" else heard) for name in PARTS}
        self.totals["features"]["chunks"] = sum(chunks)
        if not self.totals["decode"]["tracks"] or not self.totals["features"]["tracks"]:
            raise ValueError(f"{self._config.catalogue}: none of the tracks tried can be decoded")

    def measure(self) -> dict[str, float]:
        """Seconds each part takes, all of its workers at once."""
        import ray

        def timed(calls: list[Any]) -> float:
            started = time.perf_counter()
            ray.get([call() for call in calls])
            return time.perf_counter() - started

        shares = zip(self._decoders, self._decoded, strict=True)
        seconds = {"decode": timed([partial(one.decode.remote, rows) for one, rows in shares])}
        for name in ("features", "search"):
            seconds[name] = timed([getattr(one, name).remote for one in self._captioners])
        return seconds

    def stop(self) -> None:
        """Give their cores back."""
        import ray

        for one in {*self._captioners, *self._decoders}:
            ray.kill(one)
        self._captioners = self._decoders = []


def _summed(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    return {"workers": len(shares)} | {name: sum(share[name] for share in shares) for name in shares[0]}


def part_rates(
    rounds: Sequence[dict[str, float]], totals: dict[str, dict[str, float]], pace: tuple[float, float]
) -> dict[str, Any]:
    """Medians of the rounds as rates, and how far the rounds lie apart."""
    parts: dict[str, Any] = {}
    for name in PARTS:
        seconds, total = [one[name] for one in rounds], totals[name]
        middle = statistics.median(seconds)
        parts[name] = rates(total["tracks"], total["audio_seconds"], middle) | {
            "workers": int(total["workers"]),
            "tracks": int(total["tracks"]),
            "seconds_per_track_and_worker": round(middle * total["workers"] / total["tracks"], 4),
            "fastest_and_slowest_seconds": [round(min(seconds), 3), round(max(seconds), 3)],
        }
    rate = totals["features"]["chunks"] / statistics.median(one["features"] for one in rounds)
    parts["features"] |= {
        "chunks_per_second": round(rate, 1),
        "of_them_a_worker": round(rate / totals["features"]["workers"], 1),
        "gflop_per_chunk": round(pace[1] / 1e9, 3),
        "peak_gflops": round(pace[0] / 1e9, 1),
        "of_peak": round(rate * pace[1] / pace[0], 3),
    }
    return parts | {"rounds": len(rounds)}


def rates(tracks: float, audio_seconds: float, seconds: float) -> dict[str, float]:
    return {
        "tracks_per_second": round(tracks / seconds, 4),
        "times_real_time": round(audio_seconds / seconds, 1),
    }


def ceiling_seconds(parts: dict[str, Any], audio_seconds: float, tracks: int, on_gpu: bool) -> float:
    """Least time for some tracks: on CPUs the parts share the cores, with GPUs decoding runs beside the rest.

    Decoding and features are scaled by the length of the audio, the search by the number of tracks.
    """
    decode = audio_seconds / parts["decode"]["times_real_time"]
    rest = audio_seconds / parts["features"]["times_real_time"] + tracks / parts["search"]["tracks_per_second"]
    return round(float(max(decode, rest) if on_gpu else decode + rest), 3)
