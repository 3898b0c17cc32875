"""The search index: mean features and biases per features file, in `OUTPUT/search/<model_id>/`."""

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
    keep: np.ndarray
    index: str


def index_uri(output: str, model_id: str, features_uri: str) -> str:
    return storage.join(output, "search", model_id, features_uri.rpartition("/")[2])


def read_features(part: FeatureFile, keep: np.ndarray) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Yield the track ids and (chunks, feature) arrays of the kept rows, some hundred tracks at a time."""
    filesystem, path = storage.filesystem(part.uri)
    start = 0
    with pq.ParquetFile(path, filesystem=filesystem) as parquet:
        for batch in parquet.iter_batches(
            batch_size=256, columns=["track_id", "num_chunks", "feature_dim", "features"]
        ):
            mask = keep[start : start + batch.num_rows]
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


def mean_features(part: FeatureFile) -> tuple[pa.Array, np.ndarray]:
    """Track ids and mean features, (tracks, feature) float32, of the kept rows; from the index where it is there."""
    stored = _read_index(part.index)
    if stored is None or stored.num_rows != len(part.keep):
        stored = _build_means(part)
        _write_index(part.index, stored)
    column = stored["mean"].combine_chunks()
    width = column.type.list_size
    means = column.values.to_numpy(zero_copy_only=False).reshape(-1, width)
    return stored["track_id"].combine_chunks().filter(pa.array(part.keep)), means[part.keep]


def _build_means(part: FeatureFile) -> pa.Table:
    names: list[str] = []
    means: list[np.ndarray] = []
    for batch_names, features in read_features(part, np.ones(len(part.keep), dtype=bool)):
        names += batch_names
        means += [track.mean(axis=0, dtype=np.float32) for track in features]
    widths = {len(mean) for mean in means}
    if len(widths) != 1:
        raise OutputError(f"{part.uri} holds features of different widths, {sorted(widths)}: it is damaged")
    flat = pa.array(np.concatenate(means), pa.float32())
    return pa.table({"track_id": names, "mean": pa.FixedSizeListArray.from_arrays(flat, widths.pop())})


def track_biases(part: FeatureFile, captioner: Any, means: np.ndarray) -> np.ndarray:
    """The kept tracks' biases, (tracks,); from the index where they are there."""
    uri = part.index.removesuffix(".parquet") + ".bias.parquet"
    stored = _read_index(uri)
    if stored is not None and stored.num_rows == len(part.keep):
        return np.asarray(stored["bias"].to_numpy()[part.keep])
    bias: np.ndarray = np.zeros(len(part.keep), dtype=np.float32)
    bias[part.keep] = track_bias(captioner, list(means[:, None, :]))
    if part.keep.all():
        _write_index(uri, pa.table({"bias": bias}))
    return np.asarray(bias[part.keep])


def _read_index(uri: str) -> pa.Table | None:
    try:
        return pq.read_table(io.BytesIO(storage.read_bytes(uri)))
    except storage.StorageError as error:
        if error.error_type not in ("not_found", "forbidden"):
            raise
    except pa.ArrowInvalid:
        logger.warning("%s is damaged and will be built again", uri)
    return None


def _write_index(uri: str, table: pa.Table) -> None:
    """Keep an index file; where the output may only be read, the next search builds it again."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none", use_dictionary=False)
    try:
        storage.write_once(uri, buffer.getvalue())
    except storage.StorageError as error:
        if error.retryable:
            raise
        logger.warning("the search index could not be kept, so every search will read all features: %s", error)


def remove_stale_indexes(output: str, model_id: str, table: Table) -> None:
    """Remove index files of features files that are gone."""
    present = {uri.rpartition("/")[2].removesuffix(".parquet") for uri in table.uris}
    for file in storage.list_files(storage.join(output, "search", model_id), suffix=".parquet"):
        if file.uri.rpartition("/")[2].removesuffix(".parquet").removesuffix(".bias") not in present:
            try:
                storage.delete(file.uri)
            except storage.StorageError as error:
                logger.warning("%s could not be removed: %s", file.uri, error)
                return
