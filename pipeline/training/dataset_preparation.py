"""Pairs of audio and captions -> a prepared dataset, audio decoded and features computed on Ray Data.

Conventions: a pair file is CSV, TSV, JSONL or Parquet, or a folder of Parquet files, with `uri` and `caption` (or
`captions`, a list), and if it likes `track_id`, `split` and `tags`. Rows of one track are one pair with several
captions. In text files `tags` and `captions` are JSON lists or separated by `|`. Relative URIs count from the file.
"""

import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from muscaps.models.musicnn import Musicnn
from muscaps.training.dataset import (
    CleaningReport,
    CleaningRules,
    DatasetError,
    DatasetWriter,
    FeatureCache,
    Pair,
    PreparedDataset,
    assign_splits,
    clean,
    extractor_digest,
    split_name,
)
from pipeline import storage
from pipeline.captioning import stages
from pipeline.cluster.embedded_ray import cluster_size, ray_session

if TYPE_CHECKING:
    from ray.data import Dataset

    from muscaps.config import ExtractorConfig
    from muscaps.models.feature_extractor import FeatureExtractor

logger = logging.getLogger(__name__)

ROWS_PER_TASK = 8
SAMPLE_RATE = 16_000
DEFAULT_CHUNK_SECONDS = 3.0
MAX_TRACK_SECONDS = 1_800.0  # what is cached of one track at most: 58 MB

OnProgress = Callable[[int, int], None]
"""Told how many tracks are done, and of how many."""


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


def _table(source: str) -> pa.Table:
    """Read a pair file into Arrow."""
    if storage.is_folder(source):
        files = [file.uri for file in storage.list_files(source, ".parquet")]
        if not files:
            raise DatasetError(f"{source}: no Parquet file in this folder")
        tables = [pq.read_table(io.BytesIO(storage.read_bytes(uri))) for uri in sorted(files)]
        return pa.concat_tables(tables, promote_options="permissive")
    suffix = source.lower().rpartition(".")[2]
    if suffix not in ("csv", "tsv", "jsonl", "ndjson", "parquet"):
        raise DatasetError(f"{source}: pairs come as .csv, .tsv, .jsonl or .parquet, or a folder of Parquet files")
    data = storage.read_bytes(source)
    try:
        if suffix == "parquet":
            return pq.read_table(io.BytesIO(data))
        if suffix in ("jsonl", "ndjson"):
            return pyarrow.json.read_json(io.BytesIO(data))
        return pyarrow.csv.read_csv(
            io.BytesIO(data),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if suffix == "tsv" else ",", newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(("track_id", "uri", "caption", "captions", "tags", "split"), pa.string()),
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{source}: not readable as {suffix}: {error}") from error


def _texts(value: object) -> list[str]:
    """A list of texts from a list, a JSON list or text separated by `|`."""
    if value is None:
        return []
    if isinstance(value, str):
        stripped = value.strip()
        if stripped.startswith("["):
            try:
                value = json.loads(stripped)
            except json.JSONDecodeError:
                value = [stripped]
        else:
            value = stripped.split("|")
    if not isinstance(value, list):
        value = [value]
    return [text for item in value if (text := " ".join(str(item).split()))]


def read_pairs(source: str) -> list[Pair]:
    """Read a pair file; rows that name the same track become one pair.

    Raises:
        DatasetError: The file is unreadable or empty, a column or a value is missing, a split is unknown or
            differs between rows of one track.
        StorageError: The file cannot be fetched.
    """
    table = _table(source)
    names = table.column_names
    if "uri" not in names or not {"caption", "captions"} & set(names):
        raise DatasetError(
            f"{source}: needs the columns `uri` and `caption` (or `captions`); it has {', '.join(names) or 'none'}"
        )
    pairs: dict[str, Pair] = {}
    wanted = [name for name in ("track_id", "uri", "caption", "captions", "tags", "split") if name in names]
    for line, row in enumerate(table.select(wanted).to_pylist(), start=1):
        uri = row["uri"]
        captions = _texts(row.get("captions"))
        # A single caption is one sentence whatever it contains.
        captions += [text for text in ([" ".join(str(row["caption"]).split())] if row.get("caption") else []) if text]
        if not uri or not captions:
            raise DatasetError(f"{source}, pair {line}: has no {'uri' if not uri else 'caption'}")
        split = split_name(str(row["split"])) if row.get("split") else None
        track = str(row.get("track_id") or uri)
        known = pairs.get(track)
        if known is None:
            pairs[track] = Pair(
                track_id=track,
                uri=str(uri),
                captions=tuple(dict.fromkeys(captions)),
                tags=tuple(dict.fromkeys(_texts(row.get("tags")))),
                split=split,
            )
            continue
        if known.uri != uri or known.split != split:
            raise DatasetError(f"{source}, pair {line}: track {track!r} appears twice with another uri or split")
        pairs[track] = replace(known, captions=tuple(dict.fromkeys([*known.captions, *captions])))
    if not pairs:
        raise DatasetError(f"{source}: there are no pairs in it")
    return list(pairs.values())


class ExtractFeatures:
    """Adds chunk features to batches of decoded tracks, with an extractor that is loaded once."""

    def __init__(
        self, directory: str, *, keep_audio: bool, use_gpu: bool = False, threads: int = 1, version: int = 0
    ) -> None:
        """Load the extractor of an extractor or captioner checkpoint.

        Args:
            directory: The checkpoint.
            keep_audio: Whether to hand on the PCM.
            use_gpu: Whether a GPU was set aside for this.
            threads: CPU threads.
            version: 0 for the tracks as they are; else which disturbed copy, drawn from it and `index`.
        """
        import torch

        from muscaps.inference import prepare_extractor

        torch.set_num_threads(threads)
        self._device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
        self._batch = 256 if self._device == "cuda" else 4  # a CPU's cache holds a small batch only
        self._extractor = prepare_extractor(load_any_extractor(Path(directory))).to(self._device)
        self._keep_audio, self._version = keep_audio, version

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Add `features`, float16 as binary, and `feature_dim`; null where decoding failed."""
        import torch

        from muscaps.audio import to_chunks
        from muscaps.training.augmentation import disturbed_chunks

        rows: list[bytes | None] = []
        pcm = batch["pcm"]
        for index in range(batch.num_rows):
            if not pcm[index].is_valid:
                rows.append(None)
                continue
            chunks = to_chunks(np.frombuffer(pcm[index].as_buffer(), dtype="<i2"), self._extractor.chunk_samples)
            with torch.inference_mode():
                spectrograms = [
                    self._extractor.spectrogram(part.to(self._device).float() / 32_768)
                    for part in torch.split(torch.from_numpy(chunks.copy()), self._batch)
                ]
                if self._version:
                    seed = (self._version, batch["index"][index].as_py())
                    whole = disturbed_chunks(torch.cat(spectrograms).cpu(), seed).to(self._device)
                    spectrograms = list(torch.split(whole, self._batch))
                parts = [self._extractor.from_spectrogram(part).cpu() for part in spectrograms]
            rows.append(torch.cat(parts).numpy().astype("<f2").tobytes())
        batch = batch.append_column("features", pa.array(rows, pa.large_binary()))
        return batch if self._keep_audio else batch.drop_columns(["pcm"])


def _kind_of(directory: Path) -> str:
    from muscaps.checkpoint import CARD, CheckpointError

    try:
        return str(json.loads((directory / CARD).read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{directory}: not a checkpoint, it has no readable {CARD}") from error


def load_any_extractor(directory: Path) -> "FeatureExtractor":
    """Load the audio network of an extractor or captioner checkpoint.

    Raises:
        CheckpointError: It is neither.
    """
    from muscaps.checkpoint import load_checkpoint, load_extractor

    if _kind_of(directory) == "captioner":
        return load_checkpoint(directory).model.feature_extractor
    return load_extractor(directory)[0]


def extractor_config_of(directory: Path) -> "ExtractorConfig":
    """Return the configuration of an extractor, or of a captioner's extractor.

    Raises:
        CheckpointError: It is neither.
    """
    from muscaps.checkpoint import load_checkpoint, load_extractor

    if _kind_of(directory) == "captioner":
        return load_checkpoint(directory).model_config.extractor
    return load_extractor(directory)[1]


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
            durations[track] = row["heard_duration_s"].as_py()
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


class ExtractCached:
    """Computes features of a prepared dataset's tracks from its cached audio, with an extractor loaded once."""

    def __init__(self, dataset: str, extractor: str, *, use_gpu: bool = False, version: int = 0) -> None:
        """Open the dataset and load the extractor; `version` as in `ExtractFeatures`."""
        self._dataset = PreparedDataset(dataset)
        self._stage = ExtractFeatures(extractor, keep_audio=False, use_gpu=use_gpu, version=version)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """`index` of examples -> `index`, `features` as float16 binary."""
        indices = batch["index"].to_pylist()
        pcm = [np.asarray(self._dataset.audio(self._dataset.examples[index])).tobytes() for index in indices]
        return self._stage(pa.table({"index": indices, "pcm": pa.array(pcm, pa.large_binary())}))


def cache_features(
    dataset: PreparedDataset, extractor_directory: Path, version: int = 0, on_progress: OnProgress | None = None
) -> FeatureCache:
    """Return a dataset's features by an extractor, computing them on Ray Data if they are not cached.

    Needs a running Ray. The dataset's folder must be writable, and the workers must see it under its path.

    Args:
        dataset: The tracks.
        extractor_directory: The extractor's checkpoint, or a captioner's.
        version: 0 for the tracks as they are; else which disturbed copy of the training tracks.
        on_progress: Told how many tracks are done, and of how many.

    Raises:
        DatasetError: The features are not cached and there is no audio to compute them from.
    """
    extractor = load_any_extractor(extractor_directory)
    cache = FeatureCache(dataset, extractor_digest(extractor), version)
    if cache.complete:
        return cache
    if version and not isinstance(extractor, Musicnn):
        raise DatasetError("disturbed copies are made of log-mels, which only musicnn reads")
    if not dataset.has_audio:
        raise DatasetError(
            f"{dataset.directory}: its features are another extractor's and it holds no audio; prepare it again with "
            f"`--extractor {extractor_directory}`"
        )
    import ray.data

    cpus, gpus = cluster_size()
    indices = [example.index for example in cache.examples]
    blocks = [
        pa.table({"index": indices[start : start + ROWS_PER_TASK]}) for start in range(0, len(indices), ROWS_PER_TASK)
    ]
    results = ray.data.from_arrow(blocks).map_batches(
        ExtractCached,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(str(dataset.directory.resolve()), str(extractor_directory.resolve())),
        fn_constructor_kwargs={"use_gpu": gpus > 0, "version": version},
        compute=ray.data.ActorPoolStrategy(size=gpus or max(1, min(cpus, len(blocks)))),
        num_gpus=1 if gpus else None,
    )

    def tracks() -> Iterator[tuple[int, np.ndarray]]:
        done = 0
        batch: Any  # a pyarrow.Table, as asked for
        for batch in results.iter_batches(batch_size=None, batch_format="pyarrow"):
            done += batch.num_rows
            if on_progress is not None:
                on_progress(done, len(indices))
            for index, features in zip(batch["index"].to_pylist(), batch["features"], strict=True):
                yield index, np.frombuffer(features.as_buffer(), dtype="<f2").reshape(-1, extractor.feature_dim)

    cache.write(tracks())
    logger.info("features of %d tracks cached", len(indices))
    return cache
