"""How many tracks per second one driver can handle: the whole job without decoding and without a model.

Tasks, blocks and rows are as many as with three-minute tracks; their PCM is silence of a thousandth of the
length. Rows have the captions, tags, evidence and embeddings of the demo tracks in turn. Prints the processor time per
track of the driver and of Ray's own servers, and the driver's memory as the run goes on.

    python tests/benchmark/driver_throughput.py 20000 --cpus 2
    python tests/benchmark/driver_throughput.py 20000 --bare      # captions without tags, evidence and embeddings
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

SMALLER = 1_000
OF_TAGS = ("tags", "has_vocals", "vocals_score", "music_score", "evidence", "embedding")
"""Columns that `--bare` leaves out."""
MEMORY_EVERY = 2_500
"""Tracks after which the driver's memory is noted."""
PCM_SAMPLES = 180 * 16_000 // SMALLER


def silent_pcm(rows: Any, **_: Any) -> Iterator[Any]:
    """Stand in for `fetch_and_decode`."""
    import numpy as np

    from muscaps.audio import DecodedAudio
    from pipeline.captioning.rows import binary_array, extend_rows
    from pipeline.captioning.stages.decode import audio_values
    from pipeline.output.schema import DECODED

    pcm = np.zeros(PCM_SAMPLES, dtype="<i2")
    audio = DecodedAudio(pcm=pcm, sample_rate=44_100, channels=2, duration_s=180.0, coverage=1.0)
    for index in range(rows.num_rows):
        values = audio_values(audio, 60) | {"fetch_seconds": 0.0, "decode_seconds": 0.0}
        table = extend_rows(rows.slice(index, 1), DECODED, [values])
        yield table.set_column(table.column_names.index("pcm"), "pcm", binary_array(pcm))


def demo_results() -> list[dict[str, Any]]:
    """Return what the captioning stage returns for the demo tracks."""
    from jobs.recipes import DEMO_CATALOGUE
    from muscaps.audio import load_audio
    from muscaps.checkpoint import BUNDLED
    from muscaps.config import DecodingOptions
    from pipeline.captioning.stages.caption import CaptionTracks

    files = sorted(DEMO_CATALOGUE.parent.glob("*.opus"))
    return CaptionTracks(str(BUNDLED), DecodingOptions())._caption_all([load_audio(file) for file in files])


class DemoCaptions:
    """Stand in for `CaptionTracks`: every track has the result of a demo track."""

    results: Sequence[dict[str, Any]] = ()

    def __init__(self, *_: Any, **__: Any) -> None:
        """Load nothing."""

    def __call__(self, batch: Any) -> Any:
        """Return the results in turn."""
        from datetime import UTC, datetime

        from pipeline.captioning.rows import extend_rows
        from pipeline.output.schema import RESULT

        now = {"created_at": datetime.now(UTC)}
        values = [self.results[row % len(self.results)] | now for row in range(batch.num_rows)]
        return extend_rows(batch.drop_columns(["pcm"]), RESULT, values)


def memory_mib() -> float:
    """Resident size of this process now, without the pages of Ray's object store."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return (int(status["VmRSS"].removesuffix("kB")) - int(status["RssShmem"].removesuffix("kB"))) / 1024


def cpu_seconds() -> dict[str, float]:
    """Processor time so far of this process and of Ray's servers, by name."""
    tick, found = os.sysconf("SC_CLK_TCK"), {"driver": 0.0}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, fields = (
                (folder / "comm").read_text().strip(),
                (folder / "stat").read_text().rpartition(")")[2].split(),
            )
        except OSError:
            continue
        name = "driver" if folder.name == str(os.getpid()) else name
        if name in ("driver", "raylet", "gcs_server"):
            found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / tick
    return found


def main() -> None:
    """Run the job and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tracks", type=int)
    parser.add_argument("--cpus", type=int, default=2, help="cores of the Ray; as many captioning actors")
    parser.add_argument("--bare", action="store_true", help="captions without tags, evidence and embeddings")
    arguments = parser.parse_args()

    from pipeline import captioning
    from pipeline.captioning import dataset, stages

    dataset.BLOCK_BYTES //= SMALLER
    stages.fetch_and_decode = silent_pcm  # type: ignore[assignment]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:  # the driver itself loads no model
        results = process.submit(demo_results).result()
    left_out = OF_TAGS if arguments.bare else ()
    DemoCaptions.results = [{name: row[name] for name in row if name not in left_out} for row in results]
    stages.CaptionTracks = DemoCaptions  # type: ignore[assignment,misc]
    moments: list[tuple[float, int, dict[str, float]]] = []
    memory: dict[int, float] = {}
    num_returned = 0

    def record(rows: Any) -> None:
        nonlocal num_returned
        num_returned += rows.num_rows
        if num_returned // MEMORY_EVERY > (num_returned - rows.num_rows) // MEMORY_EVERY:
            memory[num_returned] = memory_mib()
        if not moments or time.perf_counter() - moments[-1][0] > 1:
            moments.append((time.perf_counter(), num_returned, cpu_seconds()))

    with tempfile.TemporaryDirectory() as folder:
        catalogue = Path(folder) / "tracks.csv"
        catalogue.write_text("track_id,uri\n" + "".join(f"t{n:06d},{n}.wav\n" for n in range(arguments.tracks)))
        captioning.caption_catalogue(
            captioning.CaptioningConfig(catalogue=str(catalogue), output=f"{folder}/out", gpus=0, cpus=arguments.cpus),
            on_results=record,
        )
    (began, first, before), (ended, last, after) = moments[1], moments[-1]
    tracks = last - first
    print(
        f"{arguments.cpus} workers, {tracks} tracks in {ended - began:.1f} s: {tracks / (ended - began):.0f} a second"
    )
    for name in sorted(after):
        print(f"{name:12}{1e3 * (after[name] - before.get(name, 0.0)) / tracks:6.2f} ms of a core a track")
    print("driver, MiB after tracks: " + ", ".join(f"{size:.0f} after {count}" for count, size in memory.items()))


if __name__ == "__main__":
    main()
