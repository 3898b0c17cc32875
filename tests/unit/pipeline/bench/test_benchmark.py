"""What `muscaps bench` reckons with: medleys, the plain program, the ceiling."""

import numpy as np
import pytest
import torch

from muscaps import Captioner, DecodingOptions
from muscaps.audio import decode_audio, to_chunks
from muscaps.checkpoint import load_checkpoint
from pipeline.bench.config import BenchmarkConfig
from pipeline.bench.medleys import write_medleys
from pipeline.bench.parts import ceiling_seconds
from pipeline.bench.reference import PlainProgram
from pipeline.bench.search_batches import search_by_batch
from pipeline.bench.whole_job import JobRun, job_result
from pipeline.captioning import RunSummary
from pipeline.catalogue import read_catalogue
from tests.conftest import tones


def test_a_medley_is_a_sound_mp3_of_the_length_asked_for(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    excerpts = []
    for seed in range(3):
        excerpts.append(tmp_path / f"{seed}.wav")
        soundfile.write(excerpts[-1], tones(4.0, seed), 16_000)
    catalogue = read_catalogue(str(write_medleys(excerpts, tmp_path / "medleys", 4, seconds=60)))
    assert catalogue.num_tracks == 4
    heard = [decode_audio(tmp_path / "medleys" / uri) for uri in catalogue.rows["uri"].to_pylist()]
    assert {audio.damaged for audio in heard} == {None}
    assert [audio.duration_s for audio in heard] == pytest.approx([60.0] * 4, abs=0.3)
    assert len({audio.pcm.tobytes() for audio in heard}) > 1


@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_plain_program_says_what_the_library_says(tiny_checkpoint, beam_size):
    options = DecodingOptions(beam_size=beam_size)
    captioner, plain = Captioner.load(tiny_checkpoint), PlainProgram(load_checkpoint(tiny_checkpoint).model)
    for seed in range(3):
        wave = tones(9.5, seed)
        [ours] = captioner.caption([wave], options)
        words, log_prob = plain.caption(torch.from_numpy(to_chunks(wave, captioner.chunk_samples)), options)
        assert tuple(words) == ours.word_ids
        assert log_prob == pytest.approx(ours.log_prob, abs=1e-3)


def test_kept_features_count_the_same_copies_without_hearing_any(tiny_checkpoint):
    wave, options = tones(6.0, 1), DecodingOptions(beam_size=3)
    captioner = Captioner.load(tiny_checkpoint)
    chunks = torch.from_numpy(to_chunks(wave, captioner.chunk_samples))
    hearing, counting = (PlainProgram(load_checkpoint(tiny_checkpoint).model) for _ in range(2))
    [features] = captioner.features([wave])
    assert (
        hearing.caption(chunks, options)[0] == counting.caption(chunks, options, features=torch.from_numpy(features))[0]
    )
    assert hearing.copies == counting.copies > 1


def test_the_ceiling_adds_up_what_shares_the_cores_and_overlaps_what_does_not():
    parts = {
        "decode": {"times_real_time": 1000.0},
        "features": {"times_real_time": 500.0},
        "search": {"tracks_per_second": 10.0},
    }
    assert ceiling_seconds(parts, 10_000.0, 50, on_gpu=False) == pytest.approx(10 + 20 + 5)
    assert ceiling_seconds(parts, 10_000.0, 50, on_gpu=True) == pytest.approx(25)


def test_what_was_decoded_during_startup_counts_as_work_of_the_job():
    parts = {
        "decode": {"times_real_time": 1000.0},
        "features": {"times_real_time": 500.0},
        "search": {"tracks_per_second": 10.0},
    }
    summary = RunSummary(
        run_id="r",
        output="out",
        status="done",
        captioned=50,
        audio_seconds=10_000.0,
        stage_seconds={"decode": 20.0, "feature": 40.0},
        peak_memory_bytes={},
    )
    run = JobRun(summary=summary, startup_seconds=9.0, seconds=36.0, early_audio_seconds=4_000.0, gpu_busy=None)
    job = job_result(run, parts, on_gpu=False)
    assert (job["seconds"], job["ceiling_seconds"], job["efficiency"]) == (40.0, 35.0, 0.875)
    assert job["times_real_time"] == 250.0


def test_search_rates_come_for_every_batch_size(tiny_checkpoint):
    rates = search_by_batch(tiny_checkpoint, DecodingOptions(beam_size=2, max_words=3), 1, batches=(1, 4))
    assert list(rates) == ["1", "4"]
    assert all(np.isfinite(rate) and rate > 0 for rate in rates.values())


@pytest.mark.parametrize("wrong", [{"num_tracks": ()}, {"num_tracks": (0,)}, {"repeats": 0}, {"reference_words": -1}])
def test_a_benchmark_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BenchmarkConfig(catalogue="x.csv", **wrong)
