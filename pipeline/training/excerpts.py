"""Excerpts of tracks: of a pair with `start_s` or `end_s`, only that part of the audio is kept."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from muscaps.training.dataset.pairs import Pair
from pipeline.captioning import stages

_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64()),
    ]
)


def excerpt_table(pairs: Sequence[Pair]) -> pa.Table:
    """Return the rows that `decode_excerpts` reads."""
    rows = [{name: getattr(pair, name) for name in _SCHEMA.names} for pair in pairs]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def decode_excerpts(rows: pa.Table, *, sample_rate: int, **settings: Any) -> Iterator[pa.Table]:
    """Turn URIs into PCM of the excerpts, one table a track.

    Args:
        rows: Rows of `excerpt_table`.
        sample_rate: Samples per second of the PCM.
        **settings: Those of `pipeline.captioning.stages.fetch_and_decode`.
    """
    for row in stages.fetch_and_decode(rows, sample_rate=sample_rate, **settings):
        yield _cropped(row, sample_rate)


def _cropped(row: pa.Table, sample_rate: int) -> pa.Table:
    start, end = row["start_s"][0].as_py(), row["end_s"][0].as_py()
    if (start == 0 and end is None) or row["stage"][0].is_valid:
        return row
    samples = np.frombuffer(row["pcm"][0].as_buffer(), dtype="<i2")
    part = samples[round(start * sample_rate) : None if end is None else round(end * sample_rate)]
    changes: dict[str, Any] = {"pcm": part.tobytes(), "decoded_duration_s": len(part) / sample_rate}
    if not len(part):
        seconds = len(samples) / sample_rate
        message = f"the excerpt starts at {start:g} s, after the end of the track ({seconds:.1f} s)"
        changes = {"pcm": None, "stage": "decode", "error_type": "excerpt_outside", "message": message}
    for name, value in changes.items():
        place = row.schema.get_field_index(name)
        row = row.set_column(place, row.schema.field(place), pa.array([value], row.schema.field(place).type))
    return row
