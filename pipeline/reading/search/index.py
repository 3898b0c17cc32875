"""The search index: mean features and biases, in `OUTPUT/search/<model_id>/`.

Conventions: each features file has an index file of the same name, so that a search reads a few kilobytes per
track instead of all features. An index file that is missing or damaged is built again.
"""

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.output.newest import OutputError, Table
from pipeline.reading.search.scoring import track_bias

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FeatureFile:
    """One features file and its index file."""

    uri: str
    """The features file; absolute like `index`, because workers may run in another folder."""
    keep: np.ndarray
    """True, (rows,), where a row holds its track's newest features and may be found."""
    index: str
    """The index file."""
    extra: np.ndarray | None = None
    """Nats that each row gets in addition, (rows,)."""


def index_uri(output: str, model_id: str, features_uri: str) -> str:
    """Return the URI of a features file's index file."""
    return storage.join(output, "search", model_id, features_uri.rpartition("/")[2])


def read_features(file: FeatureFile, chosen: np.ndarray) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Yield the track ids and (chunks, feature) arrays of the chosen rows, at most 256 tracks at a time."""
    filesystem, path = storage.filesystem(file.uri)
    start = 0
    with pq.ParquetFile(path, filesystem=filesystem) as parquet:
        for batch in parquet.iter_batches(
            batch_size=256, columns=["track_id", "num_chunks", "feature_dim", "features"]
        ):
            mask = chosen[start : start + batch.num_rows]
            start += batch.num_rows
            rows = batch.filter(pa.array(mask)).to_pylist()
            if rows:
                yield (
                    [row["track_id"] for row in rows],
                    [
                        np.frombuffer(row["features"], "<f2").reshape(row["num_chunks"], row["feature_dim"])
                        for row in rows
                    ],
                )


def mean_features(file: FeatureFile) -> tuple[pa.Array, np.ndarray]:
    """Return the track ids and mean features, (tracks, feature) float32; build the index file if it is missing."""
    stored = _read_index(file.index)
    if stored is None or stored.num_rows != len(file.keep):
        stored = _build_means(file)
        _write_index(file.index, stored)
    column = stored["mean"].combine_chunks()
    width = column.type.list_size
    means = column.values.to_numpy(zero_copy_only=False).reshape(-1, width)
    return stored["track_id"].combine_chunks().filter(pa.array(file.keep)), means[file.keep]


def _build_means(file: FeatureFile) -> pa.Table:
    names: list[str] = []
    means: list[np.ndarray] = []
    for batch_names, features in read_features(file, np.ones(len(file.keep), dtype=bool)):
        names += batch_names
        means += [track.mean(axis=0, dtype=np.float32) for track in features]
    widths = {len(mean) for mean in means}
    if len(widths) != 1:
        raise OutputError(f"{file.uri} holds features of different widths, {sorted(widths)}: the file is damaged")
    flat = pa.array(np.concatenate(means), pa.float32())
    return pa.table({"track_id": names, "mean": pa.FixedSizeListArray.from_arrays(flat, widths.pop())})


def track_biases(file: FeatureFile, captioner: Any, means: np.ndarray) -> np.ndarray:
    """Return the tracks' biases, (tracks,), from the index file or computed."""
    uri = file.index.removesuffix(".parquet") + ".bias.parquet"
    stored = _read_index(uri)
    if stored is not None and stored.num_rows == len(file.keep):
        return np.asarray(stored["bias"].to_numpy()[file.keep])
    bias: np.ndarray = np.zeros(len(file.keep), dtype=np.float32)
    bias[file.keep] = track_bias(captioner, list(means[:, None, :]))
    if file.keep.all():
        _write_index(uri, pa.table({"bias": bias}))
    return np.asarray(bias[file.keep])


def _read_index(uri: str) -> pa.Table | None:
    try:
        return pq.read_table(io.BytesIO(storage.read_bytes(uri)))
    except storage.StorageError as error:
        if error.error_type not in ("not_found", "forbidden"):
            raise
    except pa.ArrowInvalid:
        logger.warning("%s is damaged and is built again", uri)
    return None


def _write_index(uri: str, table: pa.Table) -> None:
    """Write an index file; without permission to write, log it and continue."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none", use_dictionary=False)
    try:
        storage.write_once(uri, buffer.getvalue())
    except storage.StorageError as error:
        if error.retryable:
            raise
        logger.warning("the search index could not be written, so every search will read all features: %s", error)


def remove_stale_indexes(output: str, model_id: str, table: Table) -> None:
    """Remove index files whose features file no longer exists."""
    present = {uri.rpartition("/")[2].removesuffix(".parquet") for uri in table.uris}
    for stored in storage.list_files(storage.join(output, "search", model_id), suffix=".parquet"):
        if stored.uri.rpartition("/")[2].removesuffix(".parquet").removesuffix(".bias") not in present:
            try:
                storage.delete(stored.uri)
            except storage.StorageError as error:
                logger.warning("%s could not be removed: %s", stored.uri, error)
                return
