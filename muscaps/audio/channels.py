"""Channels to mono."""

import numpy as np

from muscaps.audio.blocks import Waveform


def mean_of_channels(block: Waveform) -> Waveform:
    """(samples, channels) -> (samples,)."""
    if block.shape[1] == 1:
        return block[:, 0].copy()
    mono = block[:, 0] + block[:, 1]
    for channel in range(2, block.shape[1]):
        mono += block[:, channel]
    mono *= np.float32(1.0 / block.shape[1])
    return mono


def first_channel(block: Waveform) -> Waveform:
    return block[:, 0].copy()
