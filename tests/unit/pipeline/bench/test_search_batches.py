"""Beam search by batch size."""

import numpy as np

from muscaps import DecodingOptions
from pipeline.bench.search_batches import search_rates


def test_every_batch_size_gets_a_rate(tiny_checkpoint):
    rates = search_rates(tiny_checkpoint, DecodingOptions(beam_size=2, max_words=3), 1, batches=(1, 4))
    assert list(rates) == ["1", "4"]
    assert all(np.isfinite(rate) and rate > 0 for rate in rates.values())
