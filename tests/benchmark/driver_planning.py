"""The driver's share of a large run: reads a catalogue and plans it against an output that holds finished rows.

    python tests/benchmark/driver_planning.py 1000000 --done 1000000

Catalogue and output are written first, the output in parts of 10,000 rows, as commits are. The measurement runs in a
process of its own. It prints seconds, CPU-seconds and the largest resident size.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_PART = 10_000
MODEL_ID = "default-0123456789ab"


def write_catalogue(folder: Path, num_tracks: int) -> Path:
    """Write a Parquet catalogue with ids, locations and versions of realistic length."""
    path = folder / "catalogue.parquet"
    with pq.ParquetWriter(path, pa.schema([(name, pa.string()) for name in ("track_id", "uri", "etag")])) as writer:
        for start in range(0, num_tracks, 100_000):
            writer.write_table(_identities(start, min(start + 100_000, num_tracks)))
    return path


def write_output(folder: Path, num_done: int) -> Path:
    """Write captions of the first tracks, with tags, evidence and an embedding each."""
    from pipeline.output.schema import CAPTION_SCHEMA

    output = folder / "output"
    (output / "captions").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, start in enumerate(range(0, num_done, ROWS_PER_PART)):
        rows = min(ROWS_PER_PART, num_done - start)
        values = {name: column for name, column in zip(("track_id", "uri", "etag"), _columns(start, start + rows))}
        embedding = rng.standard_normal(rows * 16).astype(np.float32)
        values["embedding"] = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * 16, pa.int32()), embedding)
        constant = {
            "caption": "A relaxed acoustic guitar piece with soft drums and a warm bass.",
            "log_prob": -7.5, "duration_s": 180.0, "sample_rate": 44_100, "channels": 2, "num_chunks": 20,
            "coverage": 1.0, "model_id": MODEL_ID, "code_version": "0.1.0", "run_id": "20261126T120000Z-ab12cd",
            "decoding": {"beam_size": 5, "max_words": 22}, "created_at": 0,
            "tags": [{"facet": "genre", "tag": "folk", "score": 0.75}],
        }  # fmt: skip
        columns = [
            values[field.name] if field.name in values
            else pa.repeat(pa.scalar(constant.get(field.name), field.type), rows)
            for field in CAPTION_SCHEMA
        ]  # fmt: skip
        table = pa.table([pa.array(column, field.type) if not isinstance(column, pa.Array) else column.cast(field.type)
                          for column, field in zip(columns, CAPTION_SCHEMA)], schema=CAPTION_SCHEMA)  # fmt: skip
        pq.write_table(
            table, output / "captions" / f"part-20261126T120000Z-ab12cd-{number:06d}.parquet", compression="zstd"
        )
    return output


def _columns(start: int, stop: int) -> list[pa.Array]:
    numbers = range(start, stop)
    ids = [f"T{number:010d}" for number in numbers]
    uris = [f"s3://catalogue/audio/{number % 1000:03d}/T{number:010d}.mp3" for number in numbers]
    etags = [f"{number:032x}" for number in numbers]
    return [pa.array(ids), pa.array(uris), pa.array(etags)]


def _identities(start: int, stop: int) -> pa.Table:
    return pa.table(_columns(start, stop), names=["track_id", "uri", "etag"])


def measure(catalogue_path: str, output: str) -> dict[str, float]:
    """Read and plan in this process; return seconds, CPU-seconds and MB."""
    from muscaps.config import DecodingOptions
    from pipeline.captioning.config import CaptioningConfig
    from pipeline.captioning.plan import plan_run
    from pipeline.catalogue import read_catalogue
    from pipeline.output.catalogue_order import write_order

    result: dict[str, float] = {"start_mb": _peak_mb()}
    options = DecodingOptions(beam_size=5, max_words=22)
    config = CaptioningConfig(catalogue=catalogue_path, output=output, options=options)
    steps = {
        "read_catalogue": lambda: read_catalogue(catalogue_path),
        "plan": lambda: plan_run(catalogue, config, MODEL_ID),
        "write_order": lambda: write_order(output, catalogue.rows["track_id"]),
    }
    for name, step in steps.items():
        wall, cpu = time.monotonic(), time.process_time()
        found = step()
        result[f"{name}_seconds"] = round(time.monotonic() - wall, 2)
        result[f"{name}_cpu_seconds"] = round(time.process_time() - cpu, 2)
        result[f"{name}_peak_mb"] = _peak_mb()
        if name == "read_catalogue":
            catalogue = found
        elif name == "plan":
            result["to_do"] = found.num_tracks
    return result


def _peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--done", type=int, help="rows that the output holds; default: all")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure)))
        return
    with tempfile.TemporaryDirectory(prefix="muscaps-planning-") as folder:
        done = arguments.tracks if arguments.done is None else arguments.done
        paths = [str(write_catalogue(Path(folder), arguments.tracks)), str(write_output(Path(folder), done))]
        command = [sys.executable, __file__, "--measure", *paths]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


if __name__ == "__main__":
    main()
