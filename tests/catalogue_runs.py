"""Caption a catalogue as a run does, with a constant caption and without Ray; random pairs of catalogues."""

import random
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.captioning.rows import input_rows, result_schema
from pipeline.catalogue import read_catalogue
from pipeline.output.anti_join import captioned_tracks, rows_to_do
from pipeline.output.commit import CaptionSink
from pipeline.output.lease import Lease
from pipeline.output.schema import RESULT
from pipeline.output.type_changes import conform_to_earlier_runs
from tests.committed_output import MODEL_ID, OPTIONS

_CAPTIONED = {
    "sample_rate": 44100, "channels": 2, "num_chunks": 3, "coverage": 1.0, "decoded_duration_s": 9.5,
    "caption": "A song.", "log_prob": -3.5, "features": b"\0\0" * 6, "feature_dim": 2,
}  # fmt: skip

KINDS: dict[str, Callable[[random.Random], Any]] = {
    "int": lambda rng: rng.randrange(1900, 2030),
    "large int": lambda rng: 2**53 + 1 + rng.randrange(2**40),
    "float": lambda rng: rng.randrange(4000) / 7,
    "whole float": lambda rng: float(rng.randrange(4000)),
    "bool": lambda rng: rng.random() < 0.5,
    "text": lambda rng: rng.choice(["ca. 1970", "007", "", "Zoë, \"1\"", "=1+1"]),
    "number text": lambda rng: str(rng.randrange(1900, 2030)),
    "date": lambda rng: date(1950 + rng.randrange(90), 1 + rng.randrange(12), 1 + rng.randrange(28)),
    "timestamp": lambda rng: datetime(1950 + rng.randrange(90), 1, 2, rng.randrange(24), 3, 4, 5),
    "time": lambda rng: time(rng.randrange(24), 1, 2, 3),
    "duration": lambda rng: timedelta(seconds=rng.randrange(10**6), microseconds=7),
    "decimal": lambda rng: Decimal(rng.randrange(10**6)).scaleb(-2),
    "fine decimal": lambda rng: Decimal(rng.randrange(10**8)).scaleb(-5),
    "bytes": lambda rng: bytes([255, rng.randrange(256)]),
    "list of int": lambda rng: [rng.randrange(9) for _ in range(rng.randrange(3))],
    "list of text": lambda rng: [rng.choice("abc") for _ in range(rng.randrange(3))],
    "struct": lambda rng: {"a": rng.randrange(9)},
    "wider struct": lambda rng: {"a": rng.randrange(9), "b": rng.choice("xyz")},
    "changed struct": lambda rng: {"a": rng.choice(["x", None])},
    "nothing": lambda rng: None,
}  # fmt: skip
"""Values of a catalogue's column, by kind."""


def write_random_catalogue(folder: Path, week: int, kinds: dict[str, str], rng: random.Random) -> Path:
    """Write a Parquet catalogue of tracks t0 to t(2 + 2 * week) with a column of each kind."""
    count = 3 + 2 * week
    columns = {"track_id": [f"t{n}" for n in range(count)], "uri": [f"/music/t{n}.mp3" for n in range(count)]}
    table = pa.table(columns)
    for name, kind in kinds.items():
        values = [None if rng.random() < 0.2 else KINDS[kind](rng) for _ in range(count)]
        table = table.append_column(name, pa.array(values))
    path = folder / f"week{week}.parquet"
    pq.write_table(table, path)
    return path


def run_catalogue(output: Path, catalogue: Path, run_id: str) -> pa.Table:
    """Commit a caption of every track that has none; return the catalogue's rows of these tracks."""
    tracks = read_catalogue(str(catalogue))
    to_do = rows_to_do(tracks, captioned_tracks(str(output), MODEL_ID, OPTIONS))
    rows = tracks.rows.filter(pa.array(to_do))
    given = input_rows(rows, pa.array([1] * rows.num_rows))
    results = [pa.array([_CAPTIONED.get(column.name)] * rows.num_rows, column.type) for column in RESULT]
    captioned = pa.table([*given.columns, *results], schema=result_schema(given.schema))
    with Lease(str(output), run_id) as lease:
        sink = CaptionSink(str(output), lease, model_id=MODEL_ID, options=OPTIONS, extra_columns=tracks.extra_columns)
        sink.set_catalogue_columns(conform_to_earlier_runs(str(output), lease, tracks.rows, tracks.extra_columns))
        sink.add(captioned)
        sink.commit()
    return rows
