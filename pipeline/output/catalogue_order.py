"""The order of the catalogue, in `OUTPUT/catalogue_order.parquet`: the `track_id`s of the newest run's catalogue.

Parts hold rows in the order in which tracks were finished, so an export needs the order of the catalogue from somewhere
else. Every run writes it under its lease, if it differs from the one before.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.output.newest import hashed_ids

_SCHEMA = pa.schema([pa.field("track_id", pa.string(), nullable=False)])
_DIGEST = b"track_ids_sha256"
_SLICE_ROWS = 65_536


def order_uri(output: str) -> str:
    """Return the URI of the file with the order."""
    return storage.join(output, "catalogue_order.parquet")


def write_order(output: str, track_ids: pa.ChunkedArray) -> None:
    """Write the order of a catalogue, unless the output has the same.

    Only the holder of the lease may call it.

    Raises:
        StorageError: The file cannot be written.
    """
    digest = _digest(track_ids)
    if _stored_digest(output) == digest:
        return
    schema = _SCHEMA.with_metadata({_DIGEST: digest})
    with tempfile.TemporaryDirectory(prefix="muscaps-order-") as folder:
        file = Path(folder) / "order.parquet"
        # Neighbours in a catalogue have ids with equal beginnings, which this encoding stores once.
        encoding = {"track_id": "DELTA_BYTE_ARRAY"}
        with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False, column_encoding=encoding) as out:
            for start in range(0, len(track_ids), _SLICE_ROWS):
                ids = track_ids.slice(start, _SLICE_ROWS).combine_chunks()
                out.write_table(pa.table([ids], schema=schema))
        storage.write_file_once(order_uri(output), file)


@dataclass(frozen=True, eq=False)
class CatalogueOrder:
    """Positions of tracks in a catalogue, with 24 bytes of memory per track."""

    hashes: np.ndarray
    """Hashes of the ids, sorted by the first, uint64 (2, tracks)."""
    positions: np.ndarray
    """Position in the catalogue of each, int64 (tracks,)."""

    @property
    def num_tracks(self) -> int:
        """Number of tracks."""
        return len(self.positions)

    def positions_of(self, track_ids: pa.Array) -> np.ndarray:
        """Return the positions of tracks, int64 (tracks,); `num_tracks` for those that are not in the catalogue."""
        first, second = hashed_ids(track_ids)
        if not self.num_tracks:
            return np.zeros(len(track_ids), dtype=np.int64)
        found = np.searchsorted(self.hashes[0], first).clip(max=self.num_tracks - 1)
        same = (self.hashes[0][found] == first) & (self.hashes[1][found] == second)
        return np.where(same, self.positions[found], self.num_tracks)


def read_order(output: str) -> CatalogueOrder | None:
    """Read the order; None for outputs of older versions, which have none.

    Raises:
        StorageError: The file cannot be read.
    """
    if not storage.exists(order_uri(output)):
        return None
    filesystem, path = storage.filesystem(order_uri(output))
    with pq.ParquetFile(path, filesystem=filesystem) as file:
        parts = [hashed_ids(batch["track_id"]) for batch in file.iter_batches(batch_size=_SLICE_ROWS)]
    hashes = np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), dtype=np.uint64)
    order = np.argsort(hashes[0], kind="stable")
    return CatalogueOrder(hashes=hashes[:, order], positions=order)


def _digest(track_ids: pa.ChunkedArray) -> bytes:
    digest = hashlib.sha256()
    for start in range(0, len(track_ids), _SLICE_ROWS):
        digest.update(hashed_ids(track_ids.slice(start, _SLICE_ROWS).combine_chunks()).T.tobytes())
    return digest.hexdigest().encode()


def _stored_digest(output: str) -> bytes | None:
    uri = order_uri(output)
    if not storage.exists(uri):
        return None
    filesystem, path = storage.filesystem(uri)
    try:
        metadata = pq.read_metadata(path, filesystem=filesystem).metadata or {}
    except (OSError, pa.ArrowInvalid):  # not a file of ours: it is written anew
        return None
    found: bytes | None = metadata.get(_DIGEST)
    return found
