"""Parts played through a soundfont by symusic.

Conventions: mono float32. symusic renders faster than real time by three orders of magnitude but hangs on about one
file in 400, so callers that render much do it in a process they can end (`isolation`).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from muscaps.corpus.synthesis.notes import Note, Signal

FOLDERS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/sounds/sf3"), Path("/usr/share/soundfonts"))
"""Where distributions put soundfonts."""
OVERSAMPLING = 2
"""Samples are played at twice the target rate, so that cymbals do not fold down."""
LOUDEST = 1_000.0
"""Larger samples are an error of the synthesiser; single notes of General MIDI soundfonts peak below 10."""


def find_soundfonts() -> list[Path]:
    """Installed soundfonts, each file once, by name."""
    found: dict[Path, Path] = {}
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.sf[23]")) if folder.is_dir() else []:
            found.setdefault(path.resolve(), path)
    return sorted(found, key=lambda path: path.name)


class _Player:
    """A synthesizer for one program, which sounds the same whatever it has played before.

    symusic keeps what it made of a key at the first velocity it met, and shares samples among programs. So each program
    has a synthesizer of its own, and a key is struck once at a fixed velocity before it is used.
    """

    def __init__(self, path: str, sample_rate: int, program: int, kit: bool) -> None:
        import symusic

        self.synthesizer = symusic.Synthesizer(sf_path=path, sample_rate=sample_rate, quality=0)
        self.program = program
        self.kit = kit
        self.struck: set[int] = set()

    def play(self, notes: Sequence[Note]) -> Signal:
        """Render notes; mono audio until the last has died away."""
        unstruck = {_key(note) for note in notes} - self.struck
        if unstruck:
            self._render([Note(0.1 * order, 0.05, key, 100 / 127) for order, key in enumerate(sorted(unstruck))])
            self.struck |= unstruck
        return self._render(notes)

    def _render(self, notes: Sequence[Note]) -> Signal:
        import symusic

        score = symusic.Score(480).to("second")
        track = symusic.Track("", self.program, self.kit, ttype="second")
        for note in notes:
            velocity = int(np.clip(note.velocity * 127, 1, 127))
            start_s, duration_s = max(0.0, note.start_s), max(0.04, note.duration_s)
            track.notes.append(symusic.Note(start_s, duration_s, _key(note), velocity, ttype="second"))
        score.tracks.append(track)
        audio: Signal = np.asarray(self.synthesizer.render(score, stereo=False), dtype=np.float32).reshape(-1)
        return audio


def _key(note: Note) -> int:
    return int(np.clip(round(note.pitch), 0, 127))


@lru_cache(maxsize=160)
def _player(path: str, sample_rate: int, program: int, kit: bool) -> _Player:
    return _Player(path, sample_rate, program, kit)


def play_program(
    program: int, notes: Sequence[Note], num_samples: int, sample_rate: int, soundfont: Path, *, kit: bool = False
) -> Signal:
    """Render notes with one General MIDI program.

    Args:
        program: 0 to 127; the kit's number when `kit`.
        kit: Pitches are percussion keys.

    Returns:
        Mono audio, (num_samples,), unnormalised.

    Raises:
        ValueError: The synthesiser fails on this program, as symusic 0.5.8 does on the whistle of TimGM6mb.sf2, whose
            filter overflows at high notes.
    """
    import soxr

    rate = sample_rate * OVERSAMPLING
    audio = _player(str(soundfont), rate, program, kit).play(notes)[: num_samples * OVERSAMPLING]
    if not np.abs(audio).max(initial=0.0) < LOUDEST:  # also true of NaN
        raise ValueError(f"{soundfont.name} cannot be played with program {program}; name another with --soundfont")
    audio = soxr.resample(audio, rate, sample_rate, quality="LQ").astype(np.float32)
    out = np.zeros(num_samples, dtype=np.float32)
    out[: min(num_samples, len(audio))] = audio[:num_samples]
    return out
