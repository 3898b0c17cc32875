"""Medleys for a benchmark without a catalogue."""

import pytest

from muscaps.audio import decode_audio
from pipeline.bench.medleys import write_medleys
from pipeline.catalogue import read_catalogue
from tests.conftest import tones


def test_a_medley_is_an_undamaged_mp3_of_the_requested_length(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    excerpts = []
    for seed in range(3):
        excerpts.append(tmp_path / f"{seed}.wav")
        soundfile.write(excerpts[-1], tones(4.0, seed), 16_000)
    catalogue = read_catalogue(str(write_medleys(excerpts, tmp_path / "medleys", 4, seconds=60)))
    assert catalogue.num_tracks == 4
    decoded = [decode_audio(tmp_path / "medleys" / uri) for uri in catalogue.rows["uri"].to_pylist()]
    assert {audio.damaged for audio in decoded} == {None}
    assert [audio.duration_s for audio in decoded] == pytest.approx([60.0] * 4, abs=0.3)
    assert len({audio.pcm.tobytes() for audio in decoded}) > 1
