"""What decoding only the chunks that are kept saves, against decoding all of a track and keeping some or all of it.

Without files to decode, a track of the bundled excerpts is made, three minutes as MP3, FLAC and WAV. The ways take
turns; prints the median seconds of each, on one thread. Run it on an idle machine.

    python tests/benchmark/decode_only_needed.py track.mp3 track.flac
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

CHUNK_SAMPLES = 48_000  # 3 s at 16 kHz
DEMO_TRACKS = Path(__file__).parents[2] / "jobs" / "demo_tracks"


@contextmanager
def _made_tracks() -> Iterator[list[Path]]:
    import soundfile

    from pipeline.bench.medleys import write_medleys

    with tempfile.TemporaryDirectory() as folder:
        write_medleys(sorted(DEMO_TRACKS.glob("*.opus")), Path(folder), 1)
        [mp3] = Path(folder).glob("*.mp3")
        sound, rate = soundfile.read(mp3, dtype="int16")
        others = [mp3.with_suffix(suffix) for suffix in (".flac", ".wav")]
        for path in others:
            soundfile.write(path, sound, rate)
        yield [mp3, *others]


def _report(path: Path, max_chunks: int, rounds: int) -> None:
    import numpy as np

    from muscaps.audio import decode_audio

    content = path.read_bytes()
    some = {"chunk_samples": CHUNK_SAMPLES, "max_chunks": max_chunks}
    ways = {
        "all chunks": {},
        f"{max_chunks} chunks, all decoded": some,
        f"{max_chunks} chunks, only they decoded": {**some, "only_needed": True},
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    decoded = {}
    for _ in range(rounds):
        for way, arguments in ways.items():
            started = time.perf_counter()
            decoded[way] = decode_audio(content, **arguments)
            seconds[way].append(time.perf_counter() - started)
    all_of_it, kept, needed = decoded.values()
    print(f"{path.name}, {all_of_it.duration_s:.1f} s, {len(all_of_it.pcm) // CHUNK_SAMPLES} chunks")
    medians = [statistics.median(of_way) for of_way in seconds.values()]
    for way, median in zip(ways, medians, strict=True):
        print(f"  {median:7.3f} s  {medians[0] / median:5.2f}x  {way}")
    if kept.chunk_indices == needed.chunk_indices:
        apart = np.abs(kept.pcm.astype(int) - needed.pcm).max()
        print(f"  the same chunks, at most {apart} steps of 16 bits apart")


def main() -> None:
    import soundfile
    import soxr

    parser = argparse.ArgumentParser()
    parser.add_argument("tracks", type=Path, nargs="*")
    parser.add_argument("--max-chunks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15, help="times each way is timed")
    arguments = parser.parse_args()
    with _made_tracks() as made:
        for path in arguments.tracks or made:
            _report(path, arguments.max_chunks, arguments.rounds)
    print(
        f"libsndfile {soundfile.__libsndfile_version__}, soxr {soxr.__version__}, {arguments.rounds} rounds,"
        f" load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
