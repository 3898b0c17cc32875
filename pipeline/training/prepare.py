"""Pairs of audio and captions -> a prepared dataset, audio decoded and features computed on Ray Data."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json

from muscaps.training.dataset.cleaning import CleaningReport, CleaningRules, clean
from muscaps.training.dataset.feature_cache import extractor_digest
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.splits import assign_splits
from muscaps.training.dataset.writer import DatasetWriter
from muscaps.training.pretrained_extractor import load_any_extractor
from pipeline import storage
from pipeline.captioning import stages
from pipeline.cluster.session import cluster_size, ray_session
from pipeline.training.feature_extraction import (
    ROWS_PER_TASK,
    ExtractFeatures,
    OnProgress,
)
from pipeline.training.pair_files import read_pairs

if TYPE_CHECKING:
    from ray.data import Dataset


SAMPLE_RATE = 16_000


DEFAULT_CHUNK_SECONDS = 3.0


MAX_TRACK_SECONDS = 1_800.0  # what is cached of one track at most: 58 MB


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    """How a dataset is prepared."""

    pairs: str
    """Pair file or folder, local or remote."""
    output: Path
    """Directory of the prepared dataset."""
    rules: CleaningRules = CleaningRules()  # noqa: RUF009  (frozen)
    """What is unsuitable."""
    seed: int = 0
    """Seeds the split of pairs that name none."""
    min_count: int = 2
    """Occurrences a word of the training captions needs to enter the vocabulary."""
    extractor: Path | None = None
    """Extractor or captioner checkpoint whose chunk features are cached; None caches none."""
    audio: bool = True
    """Cache the audio: for training an extractor, for fine-tuning one, for random excerpts."""
    address: str | None = None
    """Ray cluster; None starts Ray here."""
    num_cpus: int | None = None
    """CPUs of a Ray started here."""
    limit: int | None = None
    """Take only the first pairs."""

    def __post_init__(self) -> None:
        if self.extractor is None and not self.audio:
            raise ValueError("extractor=None and audio=False leave nothing to train on")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, not {self.limit}")


def decoded_tracks(
    pairs: Sequence[Pair], base: str, config: PreparationConfig, *, chunk_samples: int
) -> Iterator[Mapping[str, Any]]:
    """Yield what decoding (and the extractor) made of every pair, in any order."""
    import ray.data

    table = pa.table({"track_id": [pair.track_id for pair in pairs], "uri": [pair.uri for pair in pairs]})
    blocks = [table.slice(start, ROWS_PER_TASK).combine_chunks() for start in range(0, len(pairs), ROWS_PER_TASK)]
    dataset: Dataset = ray.data.from_arrow(blocks).map_batches(
        partial(
            stages.fetch_and_decode,
            base=base,
            sample_rate=SAMPLE_RATE,
            chunk_samples=chunk_samples,
            max_chunks=int(MAX_TRACK_SECONDS * SAMPLE_RATE / chunk_samples),
            allow_local=True,
        ),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=1,
    )
    if config.extractor is not None:
        cpus, gpus = cluster_size()
        dataset = dataset.map_batches(
            ExtractFeatures,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(str(config.extractor.resolve()),),
            fn_constructor_kwargs={"keep_audio": config.audio, "use_gpu": gpus > 0},
            compute=ray.data.ActorPoolStrategy(size=gpus or max(1, min(cpus - 1, len(blocks)))),
            num_gpus=1 if gpus else None,
        )
    batch: Any  # a pyarrow.Table, as asked for
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        for index in range(batch.num_rows):
            yield {name: batch[name][index] for name in batch.column_names}


def prepare_dataset(config: PreparationConfig, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Clean, split, decode and write a dataset; return its card.

    Args:
        config: What to prepare.
        on_progress: Told how many tracks were decoded, and of how many.

    Raises:
        DatasetError: The pairs cannot be used, or nothing is left of them.
        StorageError: The pair file cannot be fetched.
    """
    handed_in = read_pairs(config.pairs)[: config.limit]
    # Text rules need no audio, so what fails them is not decoded; the report counts from all pairs below.
    text_rules = replace(config.rules, min_seconds=None, max_seconds=None, unique_captions=False)
    hopeful, _ = clean(handed_in, text_rules)
    chunk_seconds, source = DEFAULT_CHUNK_SECONDS, None
    feature_dim = None
    if config.extractor is not None:
        extractor = load_any_extractor(config.extractor)
        chunk_seconds, feature_dim = extractor.chunk_seconds, extractor.feature_dim
        source = extractor_digest(extractor)
    writer = DatasetWriter(config.output, feature_dim=feature_dim)
    durations: dict[str, float] = {}
    failures: Counter[str] = Counter()
    failed: list[dict[str, str]] = []
    base = storage.join(config.pairs, "") if storage.is_folder(config.pairs) else config.pairs
    with ray_session(config.address, num_cpus=config.num_cpus):
        decoded = decoded_tracks(hopeful, base, config, chunk_samples=round(chunk_seconds * SAMPLE_RATE))
        for done, row in enumerate(decoded, start=1):
            if on_progress is not None:
                on_progress(done, len(hopeful))
            track = row["track_id"].as_py()
            if row["stage"].as_py() is not None:
                failures[row["error_type"].as_py()] += 1
                failed.append({"track_id": track, "reason": row["message"].as_py()})
                continue
            durations[track] = row["decoded_duration_s"].as_py()
            audio = np.frombuffer(row["pcm"].as_buffer(), dtype="<i2") if config.audio else None
            features = None
            if "features" in row and feature_dim is not None:
                features = np.frombuffer(row["features"].as_buffer(), dtype="<f2").reshape(-1, feature_dim)
            writer.store(track, audio=audio, features=features)
    unheard = {row["track_id"] for row in failed}
    heard = [pair for pair in handed_in if pair.track_id not in unheard]
    kept, report = clean([replace(pair, duration_s=durations.get(pair.track_id)) for pair in heard], config.rules)
    report = _with_failures(report, handed_in, failures)
    kept = assign_splits(kept, config.seed)
    card = {
        "pairs": config.pairs.rpartition("/")[2] or config.pairs,
        "cleaning": asdict(report),
        "rules": asdict(config.rules),
        "unreadable": failed[:100],
        "seed": config.seed,
        "chunk_seconds": chunk_seconds,
        "extractor": source,
    }
    return writer.finish(kept, min_count=config.min_count, card=card)


def _with_failures(report: CleaningReport, pairs: Sequence[Pair], failures: Mapping[str, int]) -> CleaningReport:
    dropped = {**report.dropped_pairs, **{f"audio_{reason}": count for reason, count in failures.items()}}
    return replace(report, pairs=len(pairs), captions=sum(len(pair.captions) for pair in pairs), dropped_pairs=dropped)
