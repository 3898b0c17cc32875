"""MusicXML scores, as text (.musicxml, .xml) or compressed (.mxl), read into notes in seconds.

Conventions: what sounds is read, not what is printed: transposed instruments at their sounding pitch, tied notes as
one, grace and cue notes and repeats not at all. Positions count in quarter notes until the tempo marks turn them into
seconds. Nothing outside a file is ever opened on its behalf.
"""

import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from muscaps.corpus.synthesis.notes import Note

SUFFIXES = (".musicxml", ".mxl", ".xml")
MAX_BYTES = 32 * 2**20
"""Of XML, unpacked: an orchestral score of an hour has some 20 MB."""
DEFAULT_QPM, DEFAULT_VELOCITY = 120.0, 90.0
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_BEAT_UNITS = {"whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5, "16th": 0.25}


@dataclass(frozen=True, kw_only=True)
class ScorePart:
    """The notes of one part."""

    notes: tuple[Note, ...]
    """By start; velocities are MIDI's over 127."""
    is_drum: bool


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score's parts and tempo."""

    parts: tuple[ScorePart, ...]
    tempos: tuple[tuple[float, float], ...]
    """(second, quarter notes a minute), by second."""


@dataclass(frozen=True)
class _Placed:
    """A note or tempo mark, by measure and quarter notes from its start."""

    measure: int
    offset: float
    duration: float = 0.0
    pitch: int = 0
    velocity: float = 0.0
    tied_from: bool = False
    qpm: float = 0.0


@dataclass
class _Reader:
    """Reads one part's measures in order; the state is what earlier measures left."""

    keys: dict[str, int]
    """Drum key by instrument id."""
    divisions: float = 1.0
    transpose: int = 0
    velocity: float = DEFAULT_VELOCITY
    notes: list[_Placed] = field(default_factory=list)
    tempos: list[_Placed] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)

    def read(self, measure: Element) -> None:
        """Read the next measure."""
        index, position, onset, length = len(self.lengths), 0.0, 0.0, 0.0
        for item in measure:
            beats = _number(item, "duration") / self.divisions
            if item.tag == "attributes":
                self.divisions = _number(item, "divisions") or self.divisions
                if item.find("transpose") is not None:
                    self.transpose = int(
                        _number(item, "transpose/chromatic") + 12 * _number(item, "transpose/octave-change")
                    )
            elif item.tag == "backup":
                position = max(0.0, position - beats)
            elif item.tag == "forward":
                position += beats
            elif item.tag in ("direction", "sound"):
                self._listen(item, index, position)
            elif item.tag == "note" and item.find("grace") is None:
                if item.find("chord") is None:
                    onset = position
                    position += beats
                self._play(item, index, onset, beats)
            length = max(length, position)
        self.lengths.append(length)

    def _listen(self, item: Element, measure: int, offset: float) -> None:
        sound = item if item.tag == "sound" else item.find("sound")
        marks = {} if sound is None else sound.attrib
        if "dynamics" in marks:
            self.velocity = float(marks["dynamics"]) / 100 * DEFAULT_VELOCITY
        qpm = float(marks["tempo"]) if "tempo" in marks else _metronome(item)
        if qpm > 0:
            self.tempos.append(_Placed(measure, offset, qpm=qpm))

    def _play(self, item: Element, measure: int, offset: float, beats: float) -> None:
        pitch = self._pitch(item)
        if pitch is None or beats <= 0 or item.find("cue") is not None:
            return
        own = item.get("dynamics")
        velocity = self.velocity if own is None else float(own) / 100 * DEFAULT_VELOCITY
        tied = any(tie.get("type") == "stop" for tie in item.findall("tie"))
        self.notes.append(_Placed(measure, offset, beats, pitch, velocity, tied))

    def _pitch(self, item: Element) -> int | None:
        """MIDI number, the drum's key for a note without pitch, None for a rest."""
        if item.find("unpitched") is not None:
            instrument = item.find("instrument")
            return self.keys.get("" if instrument is None else instrument.get("id", ""), 38)
        step = item.findtext("pitch/step", "").strip()
        if step not in _STEPS:
            return None
        octave, alter = int(_number(item, "pitch/octave")), int(_number(item, "pitch/alter"))
        return 12 * (octave + 1) + _STEPS[step] + alter + self.transpose


def read_musicxml(path: Path) -> Score:
    """Read a score.

    Raises:
        ValueError: The file is too large, broken, or holds no score by parts.
    """
    root = _tree(_unpacked(path) if path.suffix.lower() == ".mxl" else _limited(path), path)
    if root.tag != "score-partwise":
        raise ValueError(f"{path} holds <{root.tag}>, not a <score-partwise>")
    keys = {
        instrument.get("id", ""): int(_number(instrument, "midi-unpitched")) - 1
        for instrument in root.iterfind("part-list/score-part/midi-instrument")
        if instrument.find("midi-unpitched") is not None
    }
    on_channel_10 = {
        part.get("id")
        for part in root.iterfind("part-list/score-part")
        if any(channel.text == "10" for channel in part.iterfind("midi-instrument/midi-channel"))
    }
    readers, drums = [], []
    for part in root.iterfind("part"):
        reader = _Reader(keys)
        try:
            for measure in part.iterfind("measure"):
                reader.read(measure)
        except ValueError as error:  # text where a number belongs
            raise ValueError(f"{path}, part {part.get('id')}, measure {len(reader.lengths) + 1}: {error}") from error
        readers.append(reader)
        drums.append(part.get("id") in on_channel_10 or part.find("measure/note/unpitched") is not None)
    clock = _Clock(readers)
    parts = [ScorePart(notes=clock.sounding(r.notes), is_drum=drum) for r, drum in zip(readers, drums, strict=True)]
    return Score(parts=tuple(parts), tempos=tuple((second, qpm) for _, second, qpm in clock.marks))


class _Clock:
    """Quarter notes into seconds: where measures begin and how fast each passage goes, the same for all parts."""

    def __init__(self, readers: list[_Reader]) -> None:
        longest: dict[int, float] = defaultdict(float)
        for reader in readers:
            for index, length in enumerate(reader.lengths):
                longest[index] = max(longest[index], length)
        self.starts = [0.0, *accumulate(longest[index] for index in range(len(longest)))]
        beats = {self.beat(mark): mark.qpm for reader in readers for mark in reader.tempos}
        self.marks: list[tuple[float, float, float]] = [(0.0, 0.0, beats.pop(0.0, DEFAULT_QPM))]
        """(beat, second, quarter notes a minute)."""
        for beat, qpm in sorted(beats.items()):
            self.marks.append((beat, self.second(beat), qpm))

    def beat(self, placed: _Placed) -> float:
        return self.starts[placed.measure] + placed.offset

    def second(self, beat: float) -> float:
        since, second, qpm = next((mark for mark in reversed(self.marks) if mark[0] <= beat), self.marks[0])
        return second + (beat - since) * 60 / qpm

    def sounding(self, notes: list[_Placed]) -> tuple[Note, ...]:
        """Notes in seconds, by start; a tied one lengthens the one it continues."""
        spans: list[tuple[float, float, _Placed]] = []
        ends: dict[tuple[int, float], int] = {}
        for note in sorted(notes, key=self.beat):
            start, end = self.beat(note), self.beat(note) + note.duration
            earlier = ends.pop((note.pitch, round(start, 4)), None) if note.tied_from else None
            if earlier is None:
                spans.append((start, end, note))
                earlier = len(spans) - 1
            else:
                spans[earlier] = (spans[earlier][0], end, spans[earlier][2])
            ends[note.pitch, round(end, 4)] = earlier
        return tuple(
            Note(self.second(start), self.second(end) - self.second(start), note.pitch, note.velocity / 127)
            for start, end, note in spans
        )


def _metronome(item: Element) -> float:
    """Quarter notes a minute of a printed metronome mark, 0 without one."""
    mark = item.find("direction-type/metronome")
    if mark is None:
        return 0.0
    unit = _BEAT_UNITS.get(mark.findtext("beat-unit", "").strip(), 0.0)
    return _number(mark, "per-minute") * unit * (1.5 if mark.find("beat-unit-dot") is not None else 1)


def _number(item: Element, path: str) -> float:
    return float(item.findtext(path) or 0)


def _limited(path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES} bytes")
    return data


def _unpacked(path: Path) -> bytes:
    """The score inside a compressed file."""
    try:
        with zipfile.ZipFile(path) as archive:
            # By its place and suffix: one container in five of OpenEWLD, which should name it, is not well-formed.
            names = [name for name in archive.namelist() if name.lower().endswith((".xml", ".musicxml"))]
            score = next((name for name in names if not name.startswith("META-INF/")), "score.xml")
            with archive.open(score) as stream:
                data = stream.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is no compressed MusicXML: {error}") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} unpacks to more than {MAX_BYTES} bytes")
    return data


def _tree(data: bytes, path: Path) -> Element:
    """Parse XML that declares no entities: those can grow without bound or name other files."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> None:
        raise ValueError(f"{path} declares entities, which no score needs")

    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"{path} is not well-formed XML: {error}") from error
    return builder.close()
