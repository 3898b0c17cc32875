"""Files that an output holds under another `track_id` than a catalogue.

A folder names its tracks by path, a table by its own ids. Captioning both into one output would give every file two
rows. Files are compared by their absolute URI, as column `uri` of `captions/` has it, and by `etag` where both sides
have one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.catalogue import Catalogue


@dataclass(frozen=True)
class SameFiles:
    """Tracks of a catalogue whose file is captioned under an id that the catalogue lacks."""

    rows: np.ndarray
    """(num_tracks,) bool."""
    example: tuple[str, str] | None = None
    """The first such track: its id in the output, its id in the catalogue."""

    @property
    def num_tracks(self) -> int:
        """Number of such tracks."""
        return int(self.rows.sum())


def same_files(catalogue: Catalogue, captions: pa.Table) -> SameFiles:
    """Find the tracks whose file is captioned under an id that the catalogue lacks.

    Nothing is resolved where every captioned id is in the catalogue, which is the usual case.

    Args:
        catalogue: The tracks.
        captions: `track_id`, `uri` and `etag` of captioned tracks.
    """
    tracks = catalogue.rows
    same = np.zeros(tracks.num_rows, dtype=bool)
    known = pc.is_in(captions["track_id"], value_set=tracks["track_id"].combine_chunks())
    others = captions.filter(pc.invert(known))
    if not others.num_rows:
        return SameFiles(same)
    found: dict[str, list[tuple[str, str | None]]] = {}
    for row in others.select(["track_id", "uri", "etag"]).to_pylist():
        found.setdefault(row["uri"], []).append((row["track_id"], row["etag"]))
    example = None
    for start, batch in _batches(tracks.select(["track_id", "uri", "etag"])):
        for number, row in enumerate(batch):
            captioned = found.get(_absolute(row["uri"], catalogue.base), [])
            ids = [name for name, etag in captioned if not (etag and row["etag"]) or etag == row["etag"]]
            if ids:
                same[start + number] = True
                example = example or (ids[0], row["track_id"])
    return SameFiles(same, example)


def refusal(output: str, catalogue: Catalogue, found: SameFiles) -> str:
    """Return the message of a run that would caption files a second time under another id."""
    there, here = found.example or ("", "")
    source = storage.redacted(catalogue.source)
    return (
        f"{storage.redacted(output)} holds captions of {found.num_tracks:,} files of {source} "
        f"under other track_ids ({there!r} there, {here!r} here). Each file would get two rows. Use another output, or "
        "--match-by uri to count these files as captioned, or --match-by track_id to caption them again"
    )


def _batches(rows: pa.Table) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield rows as dictionaries, with the number of the first of each batch."""
    start = 0
    for batch in rows.to_batches(max_chunksize=8_192):
        yield start, batch.to_pylist()
        start += batch.num_rows


def _absolute(uri: str | None, base: str) -> str:
    """Return a URI of the catalogue as `captions/` has it; empty if it cannot be resolved."""
    try:
        return storage.public_uri(storage.resolve(uri or "", base, allow_local=True))
    except (storage.StorageError, ValueError):
        return ""
