"""Parts played through a soundfont by symusic.

Conventions: mono float32. symusic renders faster than real time by three orders of magnitude but hangs on about one
file in 400, so callers that render much do it in a process they can end (`isolation`).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from muscaps.corpus.voices import Note, Signal

FOLDERS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/sounds/sf3"), Path("/usr/share/soundfonts"))
"""Where distributions put soundfonts."""
OVERSAMPLING = 2
"""Samples are played at twice the target rate, so that cymbals do not fold down."""


def find_soundfonts() -> list[Path]:
    """Installed soundfonts, each file once, by name."""
    found: dict[Path, Path] = {}
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.sf[23]")) if folder.is_dir() else []:
            found.setdefault(path.resolve(), path)
    return sorted(found, key=lambda path: path.name)


@lru_cache(maxsize=4)
def _synthesizer(path: str, sample_rate: int) -> Any:
    import symusic

    return symusic.Synthesizer(sf_path=path, sample_rate=sample_rate, quality=0)


def play_program(
    program: int, notes: Sequence[Note], num_samples: int, sample_rate: int, soundfont: Path, *, kit: bool = False
) -> Signal:
    """Render notes with one General MIDI program.

    Args:
        program: 0 to 127; the kit's number when `kit`.
        kit: Pitches are percussion keys.

    Returns:
        Mono audio, (num_samples,), unnormalised.
    """
    import soxr
    import symusic

    score = symusic.Score(480).to("second")
    track = symusic.Track("", program, kit, ttype="second")
    for note in notes:
        track.notes.append(
            symusic.Note(
                max(0.0, note.start_s),
                max(0.04, note.duration_s),
                int(np.clip(round(note.pitch), 0, 127)),
                int(np.clip(note.velocity * 127, 1, 127)),
                ttype="second",
            )
        )
    score.tracks.append(track)
    rate = sample_rate * OVERSAMPLING
    audio = np.asarray(_synthesizer(str(soundfont), rate).render(score, stereo=False), dtype=np.float32)
    audio = audio.reshape(-1)[: num_samples * OVERSAMPLING]
    audio = soxr.resample(audio, rate, sample_rate, quality="LQ").astype(np.float32)
    out = np.zeros(num_samples, dtype=np.float32)
    out[: min(num_samples, len(audio))] = audio[:num_samples]
    return out
