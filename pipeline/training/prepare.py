"""Preparation of a dataset from pairs of audio and captions: audio is decoded and features are computed on Ray Data."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from muscaps.training.dataset.cleaning import CleaningReport, CleaningRules, clean
from muscaps.training.dataset.feature_cache import extractor_digest
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.splits import assign_splits
from muscaps.training.dataset.writer import DatasetWriter
from muscaps.training.pretrained_extractor import load_any_extractor
from pipeline import storage
from pipeline.cluster.address import check_address
from pipeline.cluster.session import cluster_size, ray_session
from pipeline.training.excerpts import decode_excerpts, excerpt_table
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
"""Chunk length without an extractor."""
MAX_TRACK_SECONDS = 1_800.0  # maximum length of the stored audio of a track: 58 MB
MAX_LISTED_FAILURES = 100


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    """How a dataset is prepared."""

    pairs: str
    """Pair file or folder, local or remote."""
    output: Path
    """Directory of the prepared dataset."""
    rules: CleaningRules = CleaningRules()  # noqa: RUF009  (frozen)
    """Which pairs are unsuitable."""
    seed: int = 0
    """Seed of the split of pairs without a split."""
    min_count: int = 2
    """Minimum number of occurrences of a word of the vocabulary."""
    extractor: Path | None = None
    """Extractor or captioner checkpoint whose chunk features are stored; None for none."""
    audio: bool = True
    """Whether audio is stored, for training or fine-tuning an extractor and for random excerpts."""
    address: str | None = None
    """Ray cluster; None to start Ray on this machine."""
    num_cpus: int | None = None
    """CPUs of Ray if it is started on this machine."""
    limit: int | None = None
    """Use only the first pairs; None for all."""
    caption_column: str | None = None
    """Column of the captions; None for `caption` or `captions`."""

    def __post_init__(self) -> None:
        check_address(self.address)
        if self.extractor is None and not self.audio:
            raise ValueError("extractor=None and audio=False leave nothing to train on")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, not {self.limit}")


def decoded_tracks(
    pairs: Sequence[Pair], base: str, config: PreparationConfig, *, chunk_samples: int
) -> Iterator[Mapping[str, Any]]:
    """Yield the decoded row of every pair, with features if there is an extractor, in any order."""
    import ray.data

    table = excerpt_table(pairs)
    blocks = [table.slice(start, ROWS_PER_TASK).combine_chunks() for start in range(0, len(pairs), ROWS_PER_TASK)]
    dataset: Dataset = ray.data.from_arrow(blocks).map_batches(
        partial(
            decode_excerpts,
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
    batch: Any  # a pyarrow.Table
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        for index in range(batch.num_rows):
            yield {name: batch[name][index] for name in batch.column_names}


def prepare_dataset(config: PreparationConfig, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Clean, split, decode and write a dataset; return its card.

    Args:
        config: Settings of the preparation.
        on_progress: Called with the number of decoded tracks, and the total.

    Raises:
        DatasetError: The pairs cannot be used, or none is left after cleaning.
        StorageError: The pair file cannot be fetched.
    """
    pairs = read_pairs(config.pairs, config.caption_column)[: config.limit]
    # Pairs with unsuitable captions are not decoded; the report below counts all pairs.
    text_rules = replace(config.rules, min_seconds=None, max_seconds=None, unique_captions=False)
    suitable, _ = clean(pairs, text_rules)
    extractor = load_any_extractor(config.extractor) if config.extractor is not None else None
    chunk_seconds = extractor.chunk_seconds if extractor is not None else DEFAULT_CHUNK_SECONDS
    feature_dim = extractor.feature_dim if extractor is not None else None
    writer = DatasetWriter(config.output, feature_dim=feature_dim)
    base = storage.absolute_base(storage.join(config.pairs, "") if storage.is_folder(config.pairs) else config.pairs)
    with ray_session(config.address, num_cpus=config.num_cpus):
        rows = decoded_tracks(suitable, base, config, chunk_samples=round(chunk_seconds * SAMPLE_RATE))
        outcome = _store_tracks(_with_progress(rows, len(suitable), on_progress), writer, config.audio, feature_dim)
    kept, report = outcome.clean(pairs, config.rules)
    card = {
        "pairs": config.pairs.rpartition("/")[2] or config.pairs,
        "cleaning": asdict(report),
        "rules": asdict(config.rules),
        "unreadable": outcome.failed[:MAX_LISTED_FAILURES],
        "seed": config.seed,
        "chunk_seconds": chunk_seconds,
        "extractor": extractor_digest(extractor) if extractor is not None else None,
    }
    return writer.finish(assign_splits(kept, config.seed), min_count=config.min_count, card=card)


@dataclass(kw_only=True)
class _Decoding:
    """Results of decoding."""

    durations: dict[str, float] = field(default_factory=dict)
    """Seconds of every decoded track."""
    failed: list[dict[str, str]] = field(default_factory=list)
    """`track_id` and `reason` of every track that failed."""
    failures: Counter[str] = field(default_factory=Counter)
    """Failed tracks by error."""

    def clean(self, pairs: Sequence[Pair], rules: CleaningRules) -> tuple[list[Pair], CleaningReport]:
        """Remove unsuitable pairs with known durations; the report also counts tracks that cannot be decoded."""
        failed = {row["track_id"] for row in self.failed}
        decodable = [
            replace(pair, duration_s=self.durations.get(pair.track_id)) for pair in pairs if pair.track_id not in failed
        ]
        kept, report = clean(decodable, rules)
        dropped = report.dropped_pairs | {f"audio_{reason}": count for reason, count in self.failures.items()}
        num_captions = sum(len(pair.captions) for pair in pairs)
        return kept, replace(report, pairs=len(pairs), captions=num_captions, dropped_pairs=dropped)


def _store_tracks(
    rows: Iterable[Mapping[str, Any]], writer: DatasetWriter, keep_audio: bool, feature_dim: int | None
) -> _Decoding:
    """Write the audio and features of decoded tracks."""
    outcome = _Decoding()
    for row in rows:
        track_id = row["track_id"].as_py()
        if row["stage"].as_py() is not None:
            outcome.failures[row["error_type"].as_py()] += 1
            outcome.failed.append({"track_id": track_id, "reason": row["message"].as_py()})
            continue
        outcome.durations[track_id] = row["decoded_duration_s"].as_py()
        audio = np.frombuffer(row["pcm"].as_buffer(), dtype="<i2") if keep_audio else None
        features = None
        if "features" in row and feature_dim is not None:
            features = np.frombuffer(row["features"].as_buffer(), dtype="<f2").reshape(-1, feature_dim)
        writer.store(track_id, audio=audio, features=features)
    return outcome


def _with_progress(
    rows: Iterable[Mapping[str, Any]], total: int, on_progress: OnProgress | None
) -> Iterator[Mapping[str, Any]]:
    """Yield rows, and report the progress before each row."""
    for done, row in enumerate(rows, start=1):
        if on_progress is not None:
            on_progress(done, total)
        yield row
