"""How many tracks per second one driver can handle: the whole job without decoding and without a model.

Tasks, blocks and rows are as many as with three-minute tracks; their PCM is silence of a thousandth of the
length, and all captions are the same. Prints the processor time per track of the driver and of Ray's own servers.

    python tests/benchmark/driver_throughput.py 20000 --cpus 2
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

SMALLER = 1_000
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


class FixedCaptions:
    """Stand in for `CaptionTracks`."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Load nothing."""

    def __call__(self, batch: Any) -> Any:
        """Return the same caption for every track."""
        from datetime import UTC, datetime

        from pipeline.captioning.rows import extend_rows
        from pipeline.output.schema import RESULT

        values = {"caption": "A slow, calm piano piece.", "log_prob": -5.0, "created_at": datetime.now(UTC)}
        return extend_rows(batch.drop_columns(["pcm"]), RESULT, [values] * batch.num_rows)


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
    arguments = parser.parse_args()

    from pipeline import captioning
    from pipeline.captioning import dataset, stages

    dataset.BLOCK_BYTES //= SMALLER
    stages.fetch_and_decode = silent_pcm  # type: ignore[assignment]
    stages.CaptionTracks = FixedCaptions  # type: ignore[assignment,misc]
    moments: list[tuple[float, int, dict[str, float]]] = []
    num_returned = 0

    def record(rows: Any) -> None:
        nonlocal num_returned
        num_returned += rows.num_rows
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


if __name__ == "__main__":
    main()
