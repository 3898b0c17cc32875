"""Excerpts of tracks."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from muscaps.training.dataset.pairs import Pair
from pipeline.training.excerpts import decode_excerpts, excerpt_table

RATE = 16_000


def decoded(folder: Path, *ends: tuple[float, float | None]) -> list[pa.Table]:
    """Decode excerpts of 4 s of audio, in which every second has a level of its own."""
    levels = np.repeat([0.1, 0.2, 0.3, 0.4], RATE)
    soundfile.write(folder / "a.wav", levels * (-1.0) ** (np.arange(len(levels)) // 8), RATE)
    pairs = [Pair(track_id=str(i), uri="a.wav", captions=("a",), start_s=s, end_s=e) for i, (s, e) in enumerate(ends)]
    settings = {"chunk_samples": RATE, "base": str(folder / "pairs.csv"), "allow_local": True}
    return list(decode_excerpts(excerpt_table(pairs), sample_rate=RATE, **settings))


def test_only_the_excerpt_is_kept(tmp_path: Path) -> None:
    whole, middle = decoded(tmp_path, (0.0, None), (1.0, 2.5))
    assert whole["decoded_duration_s"][0].as_py() == 4
    assert middle["decoded_duration_s"][0].as_py() == 1.5
    samples = np.frombuffer(middle["pcm"][0].as_py(), dtype="<i2") / 32_768
    assert np.allclose(abs(samples[[0, -1]]), [0.2, 0.3], atol=1e-3)
    assert middle.schema == whole.schema


def test_an_excerpt_after_the_end_is_a_failure(tmp_path: Path) -> None:
    [row] = decoded(tmp_path, (5.0, 6.0))
    assert row["error_type"][0].as_py() == "excerpt_outside"
    assert "after the end of the track (4.0 s)" in row["message"][0].as_py()
