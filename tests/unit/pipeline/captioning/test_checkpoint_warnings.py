"""Warnings about a checkpoint before a catalogue is captioned."""

from dataclasses import replace
from pathlib import Path

from muscaps.checkpoint import load_checkpoint
from muscaps.config import DecodingOptions
from pipeline.captioning.checkpoint_warnings import checkpoint_warnings


def test_a_checkpoint_that_got_worse_is_warned_of(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    assert list(checkpoint_warnings(checkpoint, DecodingOptions())) == []
    for verdict in ("better", "cannot tell"):
        card = {**checkpoint.card, "comparison": {"verdict": verdict}}
        assert list(checkpoint_warnings(replace(checkpoint, card=card), DecodingOptions())) == []
    card = {**checkpoint.card, "comparison": {"verdict": "worse", "started_from": "start-1", "num_pairs": 16}}
    [warning] = checkpoint_warnings(replace(checkpoint, card=card), DecodingOptions())
    assert "worse than start-1, which it started from, on 16 held-out pairs" in warning
