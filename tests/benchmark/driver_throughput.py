"""How many tracks a second one driver can keep up with: the whole job, but nobody decodes or hears anything.

Tasks, blocks and rows are as many as with three-minute tracks; their PCM is a thousandth as long and comes from
nowhere, and captions are made up. Prints the processor time that the driver and Ray's own servers take a track.

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


def made_up_pcm(rows: Any, **_: Any) -> Iterator[Any]:
    """Stand in for `fetch_and_decode`."""
    import numpy as np

    from muscaps.audio import DecodedAudio
    from pipeline.captioning.rows import binary_array, extend_rows
    from pipeline.captioning.stages.decode import audio_values
    from pipeline.output.schema import DECODED

    pcm = np.zeros(PCM_SAMPLES, dtype="<i2")
    heard = DecodedAudio(pcm=pcm, sample_rate=44_100, channels=2, duration_s=180.0, coverage=1.0)
    for index in range(rows.num_rows):
        values = audio_values(heard, 60) | {"fetch_seconds": 0.0, "decode_seconds": 0.0}
        table = extend_rows(rows.slice(index, 1), DECODED, [values])
        yield table.set_column(table.column_names.index("pcm"), "pcm", binary_array(pcm))


class MadeUpCaptions:
    """Stand in for `CaptionTracks`."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Load nothing."""

    def __call__(self, batch: Any) -> Any:
        """Say the same of every track."""
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
    parser.add_argument("--cpus", type=int, default=2, help="cores Ray is told of; as many captioning actors")
    arguments = parser.parse_args()

    from pipeline import captioning
    from pipeline.captioning import dataset, stages

    dataset.BLOCK_BYTES //= SMALLER
    stages.fetch_and_decode = made_up_pcm  # type: ignore[assignment]
    stages.CaptionTracks = MadeUpCaptions  # type: ignore[assignment,misc]
    moments: list[tuple[float, int, dict[str, float]]] = []
    came = 0

    def note(rows: Any) -> None:
        nonlocal came
        came += rows.num_rows
        if not moments or time.perf_counter() - moments[-1][0] > 1:
            moments.append((time.perf_counter(), came, cpu_seconds()))

    with tempfile.TemporaryDirectory() as folder:
        catalogue = Path(folder) / "tracks.csv"
        catalogue.write_text("track_id,uri\n" + "".join(f"t{n:06d},{n}.wav\n" for n in range(arguments.tracks)))
        captioning.caption_catalogue(
            captioning.CaptioningConfig(catalogue=str(catalogue), output=f"{folder}/out", gpus=0, cpus=arguments.cpus),
            on_results=note,
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
