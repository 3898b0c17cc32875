"""MusicXML scores: what sounds, when; and the refusal of what is broken or means harm."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from muscaps.corpus import musicxml
from muscaps.corpus.clip import ClipSpec
from muscaps.corpus.musicxml import Score, read_musicxml
from muscaps.corpus.scores import excerpt, find_scores
from pipeline.training.rendering import RenderingConfig, render_corpus

HEAD = """<?xml version="1.0"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://localhost:1/partwise.dtd">
"""
PARTS = """<part-list>
<score-part id="P1"><part-name>Clarinet in B flat</part-name></score-part>
<score-part id="P2"><midi-instrument id="P2-I36"><midi-channel>10</midi-channel>
  <midi-unpitched>36</midi-unpitched></midi-instrument></score-part>
</part-list>"""


def note(step: str = "C", octave: int = 4, duration: int = 2, inside: str = "") -> str:
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    return f"<note>{inside}{pitch}<duration>{duration}</duration></note>"


def rest(duration: int = 2) -> str:
    return f"<note><rest/><duration>{duration}</duration></note>"


def measures(*contents: str) -> str:
    return "".join(f'<measure number="{n}">{content}</measure>' for n, content in enumerate(contents, start=1))


def score(tmp_path: Path, first: str, second: str = "") -> Score:
    """Read a score of a pitched part and a drum part, two divisions a quarter note."""
    text = f'{HEAD}<score-partwise>{PARTS}<part id="P1">{first}</part><part id="P2">{second}</part></score-partwise>'
    path = tmp_path / "score.musicxml"
    path.write_text(text)
    return read_musicxml(path)


HALVES = "<attributes><divisions>2</divisions></attributes>"


def spans(found: Score, part: int = 0) -> list[tuple[float, float, float]]:
    return [(round(n.start_s, 6), round(n.duration_s, 6), n.pitch) for n in found.parts[part].notes]


def test_notes_rests_and_chords_sound_when_they_are_written(tmp_path: Path) -> None:
    found = score(
        tmp_path, measures(HALVES + note("C") + rest() + note("E") + note("G", inside="<chord/>") + note("A"))
    )
    assert spans(found) == [(0, 0.5, 60), (1, 0.5, 64), (1, 0.5, 67), (1.5, 0.5, 69)]
    assert found.tempos == ((0.0, 120.0),)
    assert not found.parts[0].is_drum


def test_a_second_voice_goes_back_and_starts_again(tmp_path: Path) -> None:
    voices = HALVES + note("C", duration=4) + "<backup><duration>4</duration></backup>" + rest() + note("G", 3)
    found = score(tmp_path, measures(voices, note("D")))
    assert spans(found) == [(0, 1, 60), (0.5, 0.5, 55), (1, 0.5, 62)]


def test_a_tied_note_is_one_across_the_bar_and_an_untied_one_is_struck_again(tmp_path: Path) -> None:
    held = note("C", inside='<tie type="start"/>')
    ending = note("C", inside='<tie type="stop"/>')
    found = score(tmp_path, measures(HALVES + held, ending + note("C")))
    assert spans(found) == [(0, 1, 60), (1, 0.5, 60)]


def test_a_transposing_instrument_is_read_as_it_sounds(tmp_path: Path) -> None:
    transpose = "<transpose><chromatic>-2</chromatic><octave-change>-1</octave-change></transpose>"
    found = score(tmp_path, measures(f"<attributes><divisions>2</divisions>{transpose}</attributes>" + note("C", 5)))
    assert spans(found) == [(0, 0.5, 58)]


def test_grace_notes_take_no_time(tmp_path: Path) -> None:
    assert spans(score(tmp_path, measures(HALVES + note("D", inside="<grace/>") + note("C")))) == [(0, 0.5, 60)]


def test_tempo_marks_of_any_part_count_for_all_and_short_measures_stay_together(tmp_path: Path) -> None:
    printed = (
        "<direction><direction-type><metronome><beat-unit>half</beat-unit><per-minute>30</per-minute></metronome>"
        "</direction-type></direction>"
    )
    first = measures(HALVES + printed + note("C"), '<sound tempo="240"/>' + note("D"))
    drum = '<note><unpitched/><duration>2</duration><instrument id="P2-I36"/></note>'
    found = score(tmp_path, first, measures(HALVES + drum + drum, drum))
    assert found.tempos == ((0.0, 60.0), (2.0, 240.0))
    assert spans(found) == [(0, 1, 60), (2, 0.25, 62)]
    assert spans(found, 1) == [(0, 1, 35), (1, 1, 35), (2, 0.25, 35)]
    assert found.parts[1].is_drum


def test_dynamics_change_the_velocity(tmp_path: Path) -> None:
    loud = '<direction><direction-type/><sound dynamics="120"/></direction>'
    found = score(tmp_path, measures(HALVES + note("C") + loud + note("D")))
    assert [n.velocity for n in found.parts[0].notes] == pytest.approx([90 / 127, 108 / 127])


def test_a_compressed_score_reads_as_the_plain_one(tmp_path: Path) -> None:
    plain = score(tmp_path, measures(HALVES + note("C") + note("E")))
    with zipfile.ZipFile(tmp_path / "score.mxl", "w") as archive:
        archive.writestr("META-INF/container.xml", "<container><rootfile full-path='A & B.xml'/></container>")
        archive.write(tmp_path / "score.musicxml", "A & B.xml")
    assert read_musicxml(tmp_path / "score.mxl") == plain


def test_what_is_broken_or_means_harm_is_refused_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(musicxml, "MAX_BYTES", 10_000)
    bomb = '<!DOCTYPE score-partwise [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><score-partwise>&b;</score-partwise>'
    stranger = '<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><score-partwise>&x;</score-partwise>'
    for name, data, reason in (
        ("bomb.xml", bomb.encode(), "declares entities"),
        ("bomb16.xml", bomb.encode("utf-16"), "declares entities"),
        ("stranger.xml", stranger.encode(), "declares entities"),
        ("cut.xml", b"<score-partwise><part", "not well-formed"),
        ("bars.xml", b"<score-timewise/>", "not a <score-partwise>"),
        ("long.xml", b"<score-partwise>" + b" " * 10_000, "larger than 10000 bytes"),
        ("no.mxl", b"no zip", "no compressed MusicXML"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=reason) as refused:
            read_musicxml(tmp_path / name)
        assert name in str(refused.value)
    with zipfile.ZipFile(tmp_path / "big.mxl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("score.xml", b"<score-partwise>" + b" " * 1_000_000)
    with pytest.raises(ValueError, match="unpacks to more than 10000 bytes"):
        read_musicxml(tmp_path / "big.mxl")
    with zipfile.ZipFile(tmp_path / "empty.mxl", "w") as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
    with pytest.raises(ValueError, match="no compressed MusicXML"):
        read_musicxml(tmp_path / "empty.mxl")


def test_text_where_a_number_belongs_is_named_with_its_measure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"score.musicxml, part P1, measure 2: .*'soon'"):
        score(tmp_path, measures(HALVES + note("C"), '<sound tempo="soon"/>'))


def test_scores_are_found_by_suffix_and_other_xml_is_left_alone(tmp_path: Path) -> None:
    score(tmp_path, measures(note()))
    (tmp_path / "export.xml").write_text((tmp_path / "score.musicxml").read_text())
    (tmp_path / "settings.xml").write_text("<settings/>")
    assert [path.name for path in find_scores([tmp_path])] == ["export.xml", "score.musicxml"]


def test_a_corpus_is_rendered_from_musicxml_and_a_broken_score_fails_alone(tmp_path: Path) -> None:
    tune = measures(*(HALVES + note("C") + note("E") + note("G") + note("C", 5) for _ in range(16)))
    score(tmp_path, tune)
    assert excerpt(tmp_path / "score.musicxml", 6.0, np.random.default_rng(0)).mode == "major"
    (tmp_path / "broken.musicxml").write_text("<score-partwise>")
    scores = tuple(map(str, find_scores([tmp_path])))
    clip = replace(ClipSpec(index=0, seconds=3.0), scores=scores, score_share=1.0)
    out = tmp_path / "out"
    summary = render_corpus(RenderingConfig(output=str(out), num_clips=6, shard_clips=6, clip=clip, time_limit_s=60))
    assert summary.rendered and summary.failed
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert all("broken.musicxml is not well-formed" in failure["message"] for failure in failures)
