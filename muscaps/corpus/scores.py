"""Excerpts of MIDI and MusicXML scores, re-orchestrated.

Conventions: a score's own programs only tell which family a part belongs to; the instrument is drawn anew.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from muscaps.corpus.arrangement import Arrangement, Part
from muscaps.corpus.instruments import INSTRUMENTS
from muscaps.corpus.musicxml import SUFFIXES, Score, ScorePart, read_musicxml
from muscaps.corpus.synthesis.notes import Note

_MAX_PARTS = 8
_MELODIC = (
    "piano",
    "piano",
    "electric piano",
    "harpsichord",
    "electric organ",
    "accordion",
    "acoustic guitar",
    "electric guitar",
    "string section",
    "violin",
    "cello",
    "pizzicato strings",
    "harp",
    "trumpet",
    "french horn",
    "brass section",
    "trombone",
    "saxophone",
    "clarinet",
    "flute",
    "oboe",
    "bassoon",
    "marimba",
    "vibraphone",
    "glockenspiel",
    "xylophone",
    "celesta",
    "synth lead",
    "chip lead",
    "synth pluck",
    "synth pad",
    "fm bells",
    "gm synth",
    "choir",
    "music box",
    "recorder",
)
_LOW = ("acoustic bass", "electric bass", "cello", "bassoon", "tuba", "synth bass", "trombone", "piano")
_KITS = ("drum kit", "drum kit", "drum machine", "orchestral percussion")
_ENSEMBLES: tuple[tuple[str, ...], ...] = (
    ("piano",),
    ("string section", "violin", "cello", "viola"),
    ("clarinet", "flute", "oboe", "bassoon"),
    ("trumpet", "french horn", "trombone", "tuba"),
    ("synth lead", "synth pluck", "synth bass", "synth pad", "chip lead"),
    ("chip lead",),
    ("marimba", "vibraphone", "glockenspiel", "xylophone"),
    ("acoustic guitar", "acoustic bass", "flute"),
    ("church organ",),
    ("harp", "flute", "string section"),
    ("choir", "church organ"),
)


@lru_cache(maxsize=64)
def _read(path: Path) -> Score:
    if path.suffix.lower() in SUFFIXES:
        return read_musicxml(path)
    import symusic

    try:
        score = symusic.Score(str(path)).to("second")
    except Exception as error:
        raise ValueError(f"{path} cannot be read as MIDI: {error}") from error
    parts = [
        ScorePart(
            notes=tuple(Note(note.start, note.duration, note.pitch, note.velocity / 127) for note in track.notes),
            is_drum=track.is_drum,
        )
        for track in score.tracks
    ]
    return Score(parts=tuple(parts), tempos=tuple((tempo.time, tempo.qpm) for tempo in score.tempos))


def find_scores(folders: list[Path]) -> list[Path]:
    """MIDI and MusicXML files below the folders, by path.

    Raises:
        ValueError: A folder does not exist.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"no folder of scores at {folder}")
        found += [path for path in folder.rglob("*") if _is_score(path)]
    return sorted(found)


def _is_score(path: Path) -> bool:
    """Whether a file is a score by its name; .xml may be anything, so its content is checked."""
    suffix = path.suffix.lower()
    if suffix == ".xml" and path.is_file():
        with path.open("rb") as stream:
            return b"<score-partwise" in stream.read(4096)
    return suffix in (".mid", ".midi", ".musicxml", ".mxl")


def read_licences(folder: Path) -> dict[str, str]:
    """Licences from a `manifest.csv` with columns `path` and `licence` in the folder or the one above it.

    Returns:
        Licence by absolute path; empty without a manifest.
    """
    import csv

    licences: dict[str, str] = {}
    for root in (folder, folder.parent):
        manifest = root / "manifest.csv"
        if manifest.is_file():
            with manifest.open(newline="", encoding="utf-8") as lines:
                for row in csv.DictReader(lines):
                    if row.get("path") and row.get("licence"):
                        licences[str(root / row["path"])] = row["licence"]
    return licences


def _mode(notes: list[Note]) -> str:
    """Major, minor or unclear, by correlation of the pitch classes' durations with those of tonal music."""
    weights = np.zeros(12)
    for note in notes:
        weights[int(note.pitch) % 12] += min(2.0, note.duration_s)
    if weights.sum() <= 0:
        return "unclear"
    major = np.array([5, 2, 3.5, 2, 4.5, 4, 2, 4.5, 2, 3.5, 1.5, 4])  # Temperley's profiles for the two modes
    minor = np.array([5, 2, 3.5, 4.5, 2, 4, 2, 4.5, 3.5, 2, 1.5, 4])
    fits = sorted(
        (
            (float(np.corrcoef(np.roll(profile, key), weights)[0, 1]), mode)
            for profile, mode in ((major, "major"), (minor, "minor"))
            for key in range(12)
        ),
        reverse=True,
    )
    rival = next(fit for fit, mode in fits if mode != fits[0][1])
    return fits[0][1] if fits[0][0] - rival > 0.06 else "unclear"


def excerpt(path: Path, seconds: float, rng: np.random.Generator) -> Arrangement:
    """Cut `seconds` out of a score, transposed, its tempo changed, its instruments drawn anew.

    Raises:
        ValueError: The file cannot be read or has no notes.
    """
    score = _read(path)
    written = [part for part in score.parts if len(part.notes) >= 4]
    if not written:
        raise ValueError(f"{path} has no part of four notes or more")
    speed = float(np.exp(rng.normal(0, 0.12)))
    shift = int(rng.integers(-5, 6))
    end = max(part.notes[-1].start_s for part in written)
    window = seconds * speed
    for _ in range(8):
        begin = float(rng.uniform(0, max(0.01, end - window)))
        drawn = [_window(part, begin, window, speed) for part in written]
        if sum(map(len, drawn)) >= seconds:
            break
    bpm = _tempo(score, begin) * speed
    ensemble = _ENSEMBLES[int(rng.integers(len(_ENSEMBLES)))] if rng.random() < 0.55 else ()
    keep = sorted(range(len(written)), key=lambda i: -len(drawn[i]))[:_MAX_PARTS]
    parts: list[Part] = []
    for index in keep:
        notes = drawn[index]
        if len(notes) < 3:
            continue
        if written[index].is_drum:
            if not ensemble or rng.random() < 0.6:
                name = _KITS[int(rng.integers(len(_KITS)))]
                parts.append(Part(instrument=name, role="drums", notes=tuple(notes), level_db=float(rng.normal(0, 2))))
            continue
        low = np.mean([note.pitch for note in notes]) < 50
        choices = ensemble or (_LOW if low else _MELODIC)
        name = choices[int(rng.integers(len(choices)))]
        instrument = INSTRUMENTS[name]
        fitted = [note._replace(pitch=_octave(note.pitch + shift, instrument.low, instrument.high)) for note in notes]
        parts.append(
            Part(
                instrument=name,
                role="bass" if low else "chords",
                notes=tuple(fitted),
                level_db=float(rng.normal(-1, 2.5)),
            )
        )
    if not parts:
        raise ValueError(f"{path} has no notes between {begin:.1f} s and {begin + window:.1f} s")
    pitched = [note for part in parts if part.role != "drums" for note in part.notes]
    mode = _mode(pitched)
    gaps = [note.duration_s for note in pitched] or [0.2]
    staccato = float(np.clip(1 - np.median(gaps) / 0.5, 0, 1))
    feels = {
        "major": ("bright", "uplifting", "calm", "playful", "bouncy"),
        "minor": ("dark", "mysterious", "driving", "melancholic"),
        "unclear": ("grooving", "driving", "calm"),
    }[mode]
    return Arrangement(
        style="score",
        nouns=("piece",),
        bpm=round(bpm, 1),
        mode=mode,
        staccato=staccato,
        energy_bias=-0.1,
        feels=feels,
        electronic=False,
        parts=tuple(parts),
    )


def _window(part: ScorePart, begin: float, window: float, speed: float) -> list[Note]:
    return [
        Note(
            (note.start_s - begin) / speed,
            float(np.clip(note.duration_s / speed, 0.05, 8.0)),
            int(np.clip(note.pitch, 1, 126)),
            float(np.clip(note.velocity, 0.1, 1)),
        )
        for note in part.notes
        if begin <= note.start_s < begin + window - 0.05
    ]


def _octave(pitch: float, low: int, high: int) -> float:
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return max(pitch, low)


def _tempo(score: Score, at_s: float) -> float:
    qpm = 120.0
    for second, found in score.tempos:
        if second <= at_s + 1e-3:
            qpm = found
    return float(np.clip(qpm, 40, 220))
