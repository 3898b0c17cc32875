"""The plain program that the job is compared with."""

import pytest
import torch

from muscaps import Captioner, DecodingOptions
from muscaps.audio import to_chunks
from muscaps.checkpoint import load_checkpoint
from pipeline.bench.reference import PlainProgram
from tests.conftest import tones


@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_plain_program_gives_the_captions_of_the_library(tiny_checkpoint, beam_size):
    options = DecodingOptions(beam_size=beam_size)
    captioner, plain = Captioner.load(tiny_checkpoint), PlainProgram(load_checkpoint(tiny_checkpoint).model)
    for seed in range(3):
        wave = tones(9.5, seed)
        [ours] = captioner.caption([wave], options)
        words, log_prob = plain.caption(torch.from_numpy(to_chunks(wave, captioner.chunk_samples)), options)
        assert tuple(words) == ours.word_ids
        assert log_prob == pytest.approx(ours.log_prob, abs=1e-3)


def test_a_search_over_cached_features_counts_the_same_passes(tiny_checkpoint):
    wave, options = tones(6.0, 1), DecodingOptions(beam_size=3)
    captioner = Captioner.load(tiny_checkpoint)
    chunks = torch.from_numpy(to_chunks(wave, captioner.chunk_samples))
    encoding, counting = (PlainProgram(load_checkpoint(tiny_checkpoint).model) for _ in range(2))
    [features] = captioner.features([wave])
    assert (
        encoding.caption(chunks, options)[0]
        == counting.caption(chunks, options, features=torch.from_numpy(features))[0]
    )
    assert encoding.num_passes == counting.num_passes > 1
