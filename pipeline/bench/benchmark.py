"""What this machine could do, how near the whole job comes, and what a plain program would take.

Conventions: seconds are wall seconds; a rate counts all workers together. The parts of the job (decode,
features, search) are measured alone but with as many workers at once as the job has, alternating, and medians
are taken; half of the rounds run before the whole job and half after it, so that a machine that slows down
slows both. Start-up, until the first worker captions, is reported apart and belongs to no rate; what was decoded
meanwhile is added to the job's time as if it had been done afterwards.
"""

import contextlib
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muscaps.config import DecodingOptions, Precision, check_precision
from pipeline.bench.hardware import GpuWatch, describe_machine, flops_per_chunk, multiplying_rate
from pipeline.captioning import (
    GPU_BATCH_TRACKS,
    WORKERS_PER_GPU,
    CaptioningConfig,
    RunSummary,
    caption_catalogue,
    local_checkpoint,
    stages,
)
from pipeline.catalogue import Catalogue, read_catalogue
from pipeline.cluster.embedded_ray import cluster_size, ray_session

if TYPE_CHECKING:
    from muscaps.models.caption_model import EncodedAudio
    from muscaps.models.muscaps import MusCaps

logger = logging.getLogger(__name__)

PARTS = ("decode", "features", "search")
TRACKS_A_WORKER = 5
"""Tracks a worker does in one measurement: what one block of the job holds, at three minutes a track."""
SEARCH_BATCHES = (1, 8, 64, 256)
"""Tracks searched at once, to show what batching is worth."""
SEARCH_CHUNKS = 60
"""Chunks of a track there: three minutes of 3 s chunks."""
EXCERPT_SECONDS = 30
MEDLEY_RATE = 44_100


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is measured."""

    catalogue: str
    """Tracks to work on; see `pipeline.catalogue`."""
    checkpoint: str | None = None
    """Checkpoint directory; None for the bundled one."""
    options: DecodingOptions = field(default_factory=DecodingOptions)
    """How captions are searched for."""
    precision: Precision = "float32"
    """What the audio network multiplies in, the plain program's apart."""
    num_tracks: tuple[int, ...] = (60,)
    """Tracks of the whole job; with several numbers it is run for each, and the last counts."""
    repeats: int = 5
    """Measurements of each part; the median counts."""
    reference_words: int = 2
    """Words after `<sos>` the plain program is timed on; 0 leaves it out."""
    address: str | None = None
    """Ray cluster; None for an embedded Ray."""
    gpus: int | None = None
    """GPUs to use; None for all."""
    workers_per_gpu: int = WORKERS_PER_GPU
    """Captioning workers that share a GPU."""

    def __post_init__(self) -> None:
        if not self.num_tracks or min(self.num_tracks) < 1:
            raise ValueError(f"num_tracks must be one or more positive numbers, not {self.num_tracks}")
        check_precision(self.precision)
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1, not {self.repeats}")
        if self.reference_words < 0:
            raise ValueError(f"reference_words must be 0 or more, not {self.reference_words}")


def benchmark(config: BenchmarkConfig, say: Callable[[str], None] = lambda step: None) -> dict[str, Any]:
    """Measure the parts, the ceiling they set, the whole job and the plain program, in one run.

    Args:
        config: What to measure.
        say: Told what goes on.

    Returns:
        What was measured, ready for JSON; `efficiency` is job / ceiling, `speedup_over_reference` job / reference.

    Raises:
        CatalogueError: The catalogue cannot be used.
        CheckpointError: The checkpoint cannot be read.
        ValueError: There is no track that can be decoded.
        RuntimeError: The job failed.
    """
    catalogue = read_catalogue(config.catalogue)
    with local_checkpoint(config.checkpoint) as directory:
        say("starting Ray")
        began = time.perf_counter()
        with ray_session(config.address):
            ray_seconds = time.perf_counter() - began
            say("loading the checkpoint in every worker")
            workers = _Workers(config, catalogue, directory)
            before = (config.repeats + 1) // 2
            say("decode, features and search, each alone")
            rounds = [workers.measure() for _ in range(before)]
            workers.stop()
            runs = []
            for count in config.num_tracks:
                say(f"the whole job, {min(count, catalogue.num_tracks)} tracks")
                runs.append(_whole_job(config, directory, count))
            say("decode, features and search once more")
            workers.start()
            rounds += [workers.measure() for _ in range(config.repeats - before)]
            workers.stop()
            on_gpu = workers.num_gpus > 0
        parts = _parts(rounds, workers.totals, workers.pace)
        jobs = [_job(run, parts, on_gpu) for run in runs]
        job = jobs[-1]
        found: dict[str, Any] = {
            "machine": describe_machine(workers.num_gpus),
            "checkpoint": workers.model_id,
            "beam_size": config.options.beam_size,
            "precision": config.precision,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "parts": parts,
            "ceiling": _rates(job["captioned"], job["audio_seconds"], job["ceiling_seconds"]),
            "job": job | {"ray_start_seconds": round(ray_seconds, 2)},
            "efficiency": job["efficiency"],
        }
        if len(jobs) > 1:
            found["by_size"] = [
                {
                    name: one[name]
                    for name in ("captioned", "seconds", "seconds_per_track", "efficiency", "peak_memory_bytes")
                }
                for one in jobs
            ]
        say("beam search by batch size")
        found["search_by_batch"] = search_by_batch(directory, config.options, config.repeats, on_gpu=on_gpu)
        if config.reference_words:
            say("the plain program")
            reference = _reference(config, catalogue, directory)
            found["reference"] = reference
            found["speedup_over_reference"] = round(
                job["times_real_time"] / (reference["audio_seconds"] / reference["seconds_per_track"]), 1
            )
    return found


# The parts


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
        seconds = sum(table["heard_duration_s"][0].as_py() for table in good)
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
        with stages._directory_of(checkpoint) as directory:
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


class _Workers:
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
        chosen = stages.input_rows(self._catalogue.rows.take(pa.array(every)), pa.array(np.ones(wanted, np.int32)))
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


def _parts(
    rounds: Sequence[dict[str, float]], totals: dict[str, dict[str, float]], pace: tuple[float, float]
) -> dict[str, Any]:
    """Medians of the rounds as rates, and how far the rounds lie apart."""
    parts: dict[str, Any] = {}
    for name in PARTS:
        seconds, total = [one[name] for one in rounds], totals[name]
        middle = statistics.median(seconds)
        parts[name] = _rates(total["tracks"], total["audio_seconds"], middle) | {
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


def _rates(tracks: float, audio_seconds: float, seconds: float) -> dict[str, float]:
    return {
        "tracks_per_second": round(tracks / seconds, 4),
        "times_real_time": round(audio_seconds / seconds, 1),
    }


def _ceiling_seconds(parts: dict[str, Any], audio_seconds: float, tracks: int, on_gpu: bool) -> float:
    """Least time for some tracks: on CPUs the parts share the cores, with GPUs decoding runs beside the rest.

    Decoding and features are scaled by the length of the audio, the search by the number of tracks.
    """
    decode = audio_seconds / parts["decode"]["times_real_time"]
    rest = audio_seconds / parts["features"]["times_real_time"] + tracks / parts["search"]["tracks_per_second"]
    return round(float(max(decode, rest) if on_gpu else decode + rest), 3)


# The whole job


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run of the whole job."""

    summary: RunSummary
    startup_seconds: float
    """Until the first worker began to caption."""
    seconds: float
    """From there to the end."""
    early_audio_seconds: float
    """Length of the tracks that were decoded before: there were idle cores."""
    gpu_busy: float | None
    """Share of the time a GPU computed."""


def _whole_job(config: BenchmarkConfig, directory: Path, num_tracks: int) -> _Run:
    """Caption tracks as `muscaps caption` does, into a folder that is thrown away."""
    arrivals: list[tuple[float, pa.Table]] = []

    def note(rows: pa.Table) -> None:
        costs = ["feature_seconds", "search_seconds", "decoded_at", "heard_duration_s"]
        arrivals.append((time.time(), rows.select(costs)))

    with tempfile.TemporaryDirectory(prefix="muscaps-bench-") as output, GpuWatch() as gpus:
        began = time.time()
        summary = caption_catalogue(
            CaptioningConfig(
                catalogue=config.catalogue,
                output=output,
                checkpoint=str(directory),
                options=config.options,
                precision=config.precision,
                limit=num_tracks,
                max_error_rate=1.0,
                address=config.address,
                gpus=config.gpus,
                workers_per_gpu=config.workers_per_gpu,
            ),
            on_results=note,
        )
        ended = time.time()
    if not summary.captioned or not arrivals:
        raise RuntimeError(f"the job captioned nothing: {summary.reason or summary.failures_by_reason}")
    # The first worker began when its first batch came out, less the time that batch took.
    first, rows = arrivals[0]
    start = max(began, first - sum(pc.sum(rows[f"{name}_seconds"]).as_py() or 0.0 for name in ("feature", "search")))
    decoded = pa.concat_tables([rows for _, rows in arrivals])
    early = decoded.filter(pc.less(decoded["decoded_at"], start))
    return _Run(
        summary=summary,
        startup_seconds=start - began,
        seconds=ended - start,
        early_audio_seconds=pc.sum(early["heard_duration_s"]).as_py() or 0.0,
        gpu_busy=gpus.busy_since(start),
    )


def _job(run: _Run, parts: dict[str, Any], on_gpu: bool) -> dict[str, Any]:
    """What a run took, beside the least it could have taken."""
    summary, busy = run.summary, sum(run.summary.stage_seconds.values())
    # What start-up has decoded already is not work saved.
    seconds = run.seconds + run.early_audio_seconds / parts["decode"]["times_real_time"]
    ceiling = _ceiling_seconds(parts, summary.audio_seconds, summary.captioned, on_gpu)
    return _rates(summary.captioned, summary.audio_seconds, seconds) | {
        "captioned": summary.captioned,
        "failed": summary.failed,
        "audio_seconds": summary.audio_seconds,
        "startup_seconds": round(run.startup_seconds, 2),
        "seconds": round(seconds, 2),
        "of_them_for_what_was_decoded_during_startup": round(seconds - run.seconds, 2),
        "seconds_per_track": round(seconds / summary.captioned, 4),
        "ceiling_seconds": ceiling,
        "efficiency": round(ceiling / seconds, 3),
        "stage_seconds": summary.stage_seconds,
        "stage_shares": {name: round(value / busy, 3) for name, value in summary.stage_seconds.items()},
        "peak_memory_bytes": summary.peak_memory_bytes,
        "gpu_busy": run.gpu_busy,
    }


# Beam search by batch size


def search_by_batch(
    directory: Path,
    options: DecodingOptions,
    repeats: int,
    batches: Sequence[int] = SEARCH_BATCHES,
    on_gpu: bool = False,
) -> dict[str, float]:
    """Time the search alone, on one thread or one GPU, at several batch sizes in alternation.

    Returns:
        Batch size -> captions a second, the median of `repeats`.
    """
    import torch

    from muscaps.captioner import Captioner

    captioner = Captioner.load(directory, "cuda" if on_gpu and torch.cuda.is_available() else "cpu")
    rng = np.random.default_rng(0)
    tracks = [
        rng.standard_normal((SEARCH_CHUNKS, captioner.feature_dim)).astype(np.float32) for _ in range(max(batches))
    ]
    seconds: dict[int, list[float]] = {size: [] for size in batches}
    with _threads(1), torch.inference_mode():
        for number in range(repeats + 1):
            for size in batches:
                times = max(1, min(16, 64 // size))
                started = time.perf_counter()
                for at in range(times):
                    captioner.caption_features(tracks[at * size % len(tracks) :][:size], options)
                if number:  # the first round warms up
                    seconds[size].append((time.perf_counter() - started) / times / size)
    return {str(size): round(1 / statistics.median(values), 1) for size, values in seconds.items()}


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# The program to beat


class PlainProgram:
    """How the published program captions, told again plainly: one track at a time, hearing it anew for every word.

    Every word of every hypothesis runs the audio network over all chunks of the track, one copy a hypothesis. The
    weights are the job's; nothing is folded, rearranged or kept.
    """

    def __init__(self, model: "MusCaps") -> None:
        """Take a model in evaluation mode, as its checkpoint holds it."""
        self._model = model.eval()
        self.copies = 0
        """Copies of a track the audio network has been run over."""

    def _heard(self, chunks: Any, copies: int) -> "EncodedAudio":
        """Run the audio network over copies of a track, (chunks, samples)."""
        import torch

        repeated = chunks.repeat(copies, 1)
        self.copies += copies
        features = self._model.feature_extractor(repeated).view(copies, len(chunks), -1)
        return self._model.encode(features, torch.ones(copies, len(chunks), dtype=torch.bool))

    def caption(
        self, chunks: Any, options: DecodingOptions, *, max_words: int | None = None, features: Any = None
    ) -> tuple[list[int], float]:
        """Search a caption for one track.

        Args:
            chunks: Audio, (chunks, samples).
            options: Beam size and longest caption.
            max_words: Words after which to give up, for timing a part of the work.
            features: Stand-ins for what the audio network would say, (chunks, feature): the same search without
                hearing anything, to count what it would have heard.

        Returns:
            The words of the best hypothesis and its log-probability; the best unfinished one if none finished.
        """
        import torch

        from muscaps.vocabulary import EOS, SOS

        live: list[tuple[list[int], float]] = [([SOS], 0.0)]
        finished: list[tuple[list[int], float]] = []
        state = None
        with torch.inference_mode():
            for _ in range(max_words or options.max_words):
                copies = len(live)
                if features is None:
                    encoded = self._heard(chunks, copies)
                else:
                    self.copies += copies
                    mask = torch.ones(copies, len(features), dtype=torch.bool)
                    encoded = self._model.encode(features.expand(copies, -1, -1), mask)
                state = self._model.start(encoded) if state is None else state
                said = torch.tensor([words[-1] for words, _ in live])
                log_probs, state = self._model.step(encoded, state, said)
                scores = log_probs.double() + torch.tensor([score for _, score in live], dtype=torch.float64)[:, None]
                best = scores.flatten().topk(min(options.beam_size - len(finished), scores.numel()))
                grown = [
                    (index // scores.shape[1], index % scores.shape[1], score)
                    for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
                ]
                going = [(row, word, score) for row, word, score in grown if word != EOS]
                finished += [(live[row][0], score) for row, word, score in grown if word == EOS]
                live = [([*live[row][0], word], score) for row, word, score in going]
                if not live:
                    break
                state = state.select(torch.tensor([row for row, _, _ in going]))
        words, score = max(finished or live, key=lambda one: one[1])
        return words[1:], score


def _reference(config: BenchmarkConfig, catalogue: Catalogue, directory: Path) -> dict[str, Any]:
    """Time the plain program on a few words of one track with all cores, and reckon what the whole would take."""
    import torch

    from muscaps.audio import to_chunks
    from muscaps.checkpoint import load_checkpoint

    loaded = load_checkpoint(directory)
    audio, rows = loaded.audio_config, catalogue.rows
    how: dict[str, Any] = {
        "base": catalogue.base,
        "sample_rate": audio.sample_rate,
        "chunk_samples": audio.chunk_samples,
    }
    for index in range(catalogue.num_tracks):
        [row] = stages.fetch_and_decode(stages.input_rows(rows.slice(index, 1), pa.array([1], pa.int32())), **how)
        if row["pcm"][0].is_valid:
            break
    else:
        raise ValueError(f"{config.catalogue}: none of the tracks can be decoded")
    pcm = np.frombuffer(row["pcm"][0].as_buffer(), dtype="<i2")
    chunks = torch.from_numpy(to_chunks(pcm, audio.chunk_samples).astype(np.float32) / 32768)
    decode_seconds = row["fetch_seconds"][0].as_py() + row["decode_seconds"][0].as_py()
    with _threads(len(os.sched_getaffinity(0))), torch.inference_mode():
        features = torch.cat([loaded.model.eval().feature_extractor(part) for part in torch.split(chunks, 4)])
        whole = PlainProgram(loaded.model)
        words, _ = whole.caption(chunks, config.options, features=features)
        timed = PlainProgram(loaded.model)
        started = time.perf_counter()
        timed.caption(chunks, config.options, max_words=config.reference_words)
        seconds = time.perf_counter() - started
    per_copy = seconds / timed.copies
    return {
        "how": (
            f"one track of {len(chunks)} chunks, the first {config.reference_words} of its words timed; the rest "
            "reckoned by copies of the track heard, which an untimed search with kept features counts"
        ),
        "threads": len(os.sched_getaffinity(0)),
        "audio_seconds": round(len(chunks) * audio.chunk_seconds, 1),
        "words": len(words),
        "copies_heard": whole.copies,
        "copies_timed": timed.copies,
        "seconds_timed": round(seconds, 2),
        "seconds_per_copy": round(per_copy, 3),
        "seconds_per_track": round(decode_seconds + per_copy * whole.copies, 2),
    }


# Tracks to work on where the user brings none


def write_medleys(excerpts: Sequence[Path], folder: Path, num_tracks: int, seconds: int = 180) -> Path:
    """Write MP3 tracks, each a different order of given excerpts, and a catalogue of them.

    An excerpt is encoded once, 30 s of it (looped if shorter); a track is its MP3 streams one after the other.

    Args:
        excerpts: Audio files.
        folder: Where to; made if need be. Tracks already there are kept.
        num_tracks: How many.
        seconds: Length of each, a multiple of 30.

    Returns:
        The catalogue's path.
    """
    import csv

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    streams = [_as_mp3(path) for path in excerpts]
    names = []
    for number in range(num_tracks):
        order = [int(at) for at in rng.permutation(len(streams))]
        wanted = [order[at % len(order)] for at in range(max(1, seconds // EXCERPT_SECONDS))]
        names.append(f"medley-{number:05d}.mp3")
        (folder / names[-1]).write_bytes(b"".join(streams[index] for index in wanted))
    catalogue = folder / "catalogue.csv"
    with catalogue.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["track_id", "uri"])
        writer.writerows([Path(name).stem, name] for name in names)
    return catalogue


def _as_mp3(path: Path) -> bytes:
    """The first 30 s of a file, stereo, as a bare MP3 stream of 192 kbit/s."""
    import io

    import av

    resampler = av.AudioResampler(format="s16p", layout="stereo", rate=MEDLEY_RATE)
    with av.open(str(path)) as source:
        frames = [part for frame in source.decode(audio=0) for part in resampler.resample(frame)]
    pcm = np.concatenate([frame.to_ndarray() for frame in frames + resampler.resample(None)], axis=1)
    length = EXCERPT_SECONDS * MEDLEY_RATE
    stereo = np.ascontiguousarray(np.tile(pcm, (1, -(-length // pcm.shape[1])))[:, :length])
    buffer = io.BytesIO()
    bare = {"write_xing": "0", "id3v2_version": "0"}  # so that streams may follow one another
    with av.open(buffer, "w", format="mp3", options=bare) as container:
        # The fastest of LAME's settings: sound is not the point here.
        stream = container.add_stream(
            "libmp3lame", rate=MEDLEY_RATE, layout="stereo", options={"compression_level": "9"}
        )
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(stereo, format="s16p", layout="stereo")
        frame.sample_rate = MEDLEY_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
