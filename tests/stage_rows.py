"""Rows of the captioning stages for tests."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.captioning.rows import input_rows
from pipeline.captioning.stages import fetch_and_decode


def catalogue_rows(*uris: str) -> pa.Table:
    """Rows of a catalogue as the first stage receives them, named by their file."""
    table = pa.table(
        {
            "track_id": [Path(uri).name for uri in uris],
            "uri": list(uris),
            "etag": pa.nulls(len(uris), pa.string()),
            "mood": ["calm"] * len(uris),
        }
    )
    return input_rows(table, pa.array([1] * len(uris)))


def decoded(table: pa.Table, base: str, **settings: Any) -> pa.Table:
    """What the first stage makes of rows, at 16 kHz and in chunks of 3 s."""
    settings = {"sample_rate": 16_000, "chunk_samples": 48_000, **settings}
    return pa.concat_tables(list(fetch_and_decode(table, base=base, **settings)))
