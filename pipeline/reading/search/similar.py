"""Tracks that sound like a track: cosine similarity of embeddings in `captions/`."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.output.newest import OutputError, Table

LIKE_NATS = 15.0
"""Nats that a cosine of 1 counts beside a query. On 56 tracks, the cosine of two tracks deviates by 0.2, so 3 nats."""
WEAK_COSINE = 0.5
"""Similarity below which a track is a weak match: of 56 tracks, three in four pairs are less similar."""


class Similarities(NamedTuple):
    """Similarity of tracks to one track."""

    track_ids: pa.Array
    cosines: np.ndarray
    """(tracks,), -1 to 1."""
    model_id: str
    """Model of the embeddings."""


def similar_tracks(captions: Table, track_id: str) -> Similarities:
    """Compare all other tracks with one track.

    Args:
        captions: The table `captions/`.
        track_id: The track.

    Raises:
        OutputError: The output has no embeddings, or not this track.
    """
    if "embedding" not in captions.schema.names:
        raise OutputError(f"{captions.output} has no embeddings: caption it into a new output with this version")
    own, model_id, track_id = _embedding_of(captions, track_id)
    ids: list[pa.Array] = []
    cosines: list[np.ndarray] = []
    for batch in captions.newest(["track_id", "embedding"], model_id=model_id):
        usable = batch.filter(batch["embedding"].is_valid())
        usable = usable.filter(pa.array(usable["track_id"].to_numpy(zero_copy_only=False) != track_id))
        if usable.num_rows:
            vectors = _vectors(usable["embedding"], len(own))
            lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(own)
            cosines.append(vectors @ own / np.maximum(lengths, 1e-12))
            ids.append(usable["track_id"])
    if not ids:
        raise OutputError(f"{captions.output} has no other track with an embedding of {model_id}")
    return Similarities(pa.concat_arrays(ids), np.concatenate(cosines), model_id)


def _embedding_of(captions: Table, track_id: str) -> tuple[np.ndarray, str, str]:
    """Return embedding, model and id of a track; of a version, those of the track whose caption it shares."""
    shared = ["shared_from"] if "shared_from" in captions.schema.names else []
    for batch in captions.newest(["track_id", "embedding", "model_id", *shared]):
        for row in batch.filter(pa.array(batch["track_id"].to_numpy(zero_copy_only=False) == track_id)).to_pylist():
            if row.get("shared_from") is not None:
                return _embedding_of(captions, row["shared_from"])
            if row["embedding"] is None:
                raise OutputError(f"track {track_id!r} has no embedding: it was captioned by an older version")
            return np.array(row["embedding"], dtype=np.float32), row["model_id"], track_id
    raise OutputError(f"--like: {captions.output} has no track {track_id!r}")


def _vectors(column: pa.Array, width: int) -> np.ndarray:
    flat: np.ndarray = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return flat.reshape(-1, width)
