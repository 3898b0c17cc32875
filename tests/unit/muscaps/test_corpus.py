"""Clips rendered from scores: the same every time, and described truly."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from muscaps.corpus import soundfont
from muscaps.corpus.arrangement import arrange
from muscaps.corpus.clip import ClipSpec, render_clip, split_of
from muscaps.corpus.harmony import PROGRESSIONS, parse_chord
from muscaps.corpus.instruments import FAMILIES, INSTRUMENTS
from muscaps.corpus.mixing import audibility, band_energies
from muscaps.corpus.patterns import GROOVES, PATTERNS
from muscaps.corpus.soundfont import find_soundfonts
from muscaps.corpus.styles import STYLES
from muscaps.corpus.synthesis.drum_machine import play_drums, random_drum_machine
from muscaps.corpus.synthesis.notes import Note
from muscaps.corpus.truth import FEELS, MixedPart, audible_instruments, count_onsets, tempo_class


def test_tempo_classes_change_at_85_and_128_beats_a_minute() -> None:
    assert [tempo_class(bpm) for bpm in (84.9, 85.0, 128.0, 128.1)] == ["slow", "medium", "medium", "fast"]


def test_drums_are_named_by_hits_and_not_by_length() -> None:
    part = MixedPart(instrument="drum kit", share=0.5, audible=True, num_notes=3)
    assert audible_instruments([part]) == ((), (), 0)
    assert audible_instruments([replace(part, num_notes=4)]) == (("drum kit",), ("drums",), 4)


def test_a_part_that_the_mix_hides_is_not_audible() -> None:
    time = np.arange(16_000 * 4) / 16_000
    loud = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    parts = [band_energies(gain * loud, 16_000) for gain in (1.0, 0.01)]
    (share, audible), (hidden_share, hidden_audible) = audibility(parts)
    assert audible and not hidden_audible
    assert share > 0.99 and hidden_share < 0.01


def test_onsets_played_together_count_once() -> None:
    assert count_onsets([0.0, 0.01, 0.5, 0.52, 1.0]) == 3


def test_a_clip_is_the_same_whatever_was_rendered_before() -> None:
    spec = ClipSpec(index=4, seed=3, seconds=3.0)
    first = render_clip(spec)
    render_clip(replace(spec, index=5))
    again = render_clip(spec)
    assert np.array_equal(first.pcm, again.pcm)
    assert first.row == again.row
    assert first.pcm.shape == (3 * 16_000,)
    assert 500 < np.abs(first.pcm.astype(int)).max() <= 32_767


def test_another_seed_gives_another_clip() -> None:
    spec = ClipSpec(index=4, seed=3, seconds=3.0)
    assert not np.array_equal(render_clip(spec).pcm, render_clip(replace(spec, seed=4)).pcm)


@pytest.mark.skipif(not find_soundfonts(), reason="no soundfont installed")
def test_a_soundfont_plays_a_clip_the_same_whatever_was_rendered_before() -> None:
    font = str(find_soundfonts()[0])
    specs = [ClipSpec(index=index, seed=0, seconds=3.0, soundfonts=(font,)) for index in (3, 18, 10, 18, 3)]
    clips = [render_clip(spec) for spec in specs]
    assert np.array_equal(clips[0].pcm, clips[4].pcm)
    assert np.array_equal(clips[1].pcm, clips[3].pcm)
    assert clips[0].soundfont == find_soundfonts()[0].name


@pytest.mark.parametrize("sample", [5e8, np.inf, np.nan])
def test_a_program_that_the_synthesiser_cannot_play_is_refused(sample: float, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = SimpleNamespace(play=lambda notes: np.array([0.5, sample], dtype=np.float32))
    monkeypatch.setattr(soundfont, "_player", lambda *program: broken)
    with pytest.raises(ValueError, match=r"some\.sf2 cannot be played with program 78; name another with --soundfont"):
        soundfont.play_program(78, [Note(0.0, 1.0, 80, 0.8)], 16_000, 16_000, Path("some.sf2"))


def test_tables_of_styles_refer_to_things_that_exist() -> None:
    for style in STYLES:
        assert set(style.progressions) <= set(PROGRESSIONS)
        assert set(style.major) | set(style.minor) <= set(FEELS)
        for layer in style.layers:
            assert set(layer.patterns) <= set(GROOVES if layer.role == "drums" else PATTERNS), style.name
            assert set(layer.instruments) <= {*INSTRUMENTS, "SAME"}, style.name
    assert {instrument.family for instrument in INSTRUMENTS.values()} == set(FAMILIES)
    for major, minor in PROGRESSIONS.values():
        for symbol in " ".join(major + minor).split():
            parse_chord(symbol)


def test_every_style_can_be_arranged_within_its_instruments_ranges() -> None:
    for index, style in enumerate(STYLES):
        for repeat in range(4):
            arrangement = arrange(6.0, np.random.default_rng([index, repeat]), style)
            assert any(part.notes for part in arrangement.parts), style.name
            assert style.bpm[0] - 0.1 <= arrangement.bpm <= style.bpm[1] + 0.1
            assert all(0 <= note.start_s < 6.0 for part in arrangement.parts for note in part.notes)


def test_drum_hits_sound_where_they_are_written() -> None:
    rng = np.random.default_rng(0)
    audio = play_drums(random_drum_machine(rng), [Note(0.5, 0.1, 36, 1.0)], 16_000, 16_000, rng)
    assert np.all(audio[:8000] == 0) and np.abs(audio[8000:9000]).max() > 0.3


def test_a_source_has_one_split_and_most_sources_train() -> None:
    splits = [split_of(f"source-{index}") for index in range(2000)]
    assert splits == [split_of(f"source-{index}") for index in range(2000)]
    assert 0.84 < splits.count("train") / 2000 < 0.92
    assert {"train", "validation", "test"} == set(splits)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seconds": 1.0}, "at least 3"), ({"index": -1}, "negative"), ({"score_share": 2.0}, "between 0 and 1")],
)
def test_impossible_settings_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipSpec(**{"index": 0, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("symbol", ["H", "iix", "IIIIII"])
def test_an_unknown_chord_is_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match="chord"):
        parse_chord(symbol)
