"""Tracks for a benchmark without a catalogue: medleys of excerpts."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

EXCERPT_SECONDS = 30
"""Length of each excerpt in a medley."""
MEDLEY_RATE = 44_100
"""Sample rate of a medley, in Hz."""


def write_medleys(excerpts: Sequence[Path], folder: Path, num_tracks: int, seconds: int = 180) -> Path:
    """Write MP3 tracks, each with the excerpts in a different order, and a catalogue of the tracks.

    The first 30 s of each excerpt (repeated if shorter) are encoded once. A track is a concatenation of MP3 streams.

    Args:
        excerpts: Audio files.
        folder: Folder of the tracks, created if missing. Tracks with other names are kept.
        num_tracks: Number of tracks.
        seconds: Length of each track in seconds, a multiple of 30.

    Returns:
        The catalogue's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    streams = [_as_mp3(path) for path in excerpts]
    names = []
    for number in range(num_tracks):
        order = [int(at) for at in rng.permutation(len(streams))]
        parts = [order[at % len(order)] for at in range(max(1, seconds // EXCERPT_SECONDS))]
        names.append(f"medley-{number:05d}.mp3")
        (folder / names[-1]).write_bytes(b"".join(streams[index] for index in parts))
    catalogue = folder / "catalogue.csv"
    with catalogue.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["track_id", "uri"])
        writer.writerows([Path(name).stem, name] for name in names)
    return catalogue


def _as_mp3(path: Path) -> bytes:
    """Return the first 30 s of a file as a stereo MP3 stream of 192 kbit/s, without headers."""
    import av  # loads FFmpeg; only the default catalogue needs it

    resampler = av.AudioResampler(format="s16p", layout="stereo", rate=MEDLEY_RATE)
    with av.open(str(path)) as source:
        frames = [part for frame in source.decode(audio=0) for part in resampler.resample(frame)]
    pcm = np.concatenate([frame.to_ndarray() for frame in frames + resampler.resample(None)], axis=1)
    length = EXCERPT_SECONDS * MEDLEY_RATE
    stereo = np.ascontiguousarray(np.tile(pcm, (1, -(-length // pcm.shape[1])))[:, :length])
    buffer = io.BytesIO()
    bare_stream = {"write_xing": "0", "id3v2_version": "0"}  # so that streams can be concatenated
    with av.open(buffer, "w", format="mp3", options=bare_stream) as container:
        # The fastest setting of LAME: sound quality does not matter here.
        stream = container.add_stream(
            "libmp3lame", rate=MEDLEY_RATE, layout="stereo", options={"compression_level": "9"}
        )
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(stereo, format="s16p", layout="stereo")
        frame.sample_rate = MEDLEY_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
