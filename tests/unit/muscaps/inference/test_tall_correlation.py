"""Tall filters by Fourier coefficients equal the convolutions."""

import pytest
import torch

from muscaps.inference.tall_correlation import TallCorrelationMax


@pytest.mark.parametrize("heights", [(38, 67), (95,), (96, 1)])
@pytest.mark.parametrize("frames", [1, 5, 188])
def test_tall_correlations_equal_the_convolutions(heights, frames):
    torch.manual_seed(frames)
    convolutions = [torch.nn.Conv2d(1, 6, (height, 7), padding=(0, 3)) for height in heights]
    spectrogram = torch.randn(3, 1, 96, frames)
    with torch.inference_mode():
        expected = torch.cat([torch.relu(one(spectrogram).amax(dim=2)) for one in convolutions], dim=1)
        found = TallCorrelationMax(convolutions, block_frames=11)(spectrogram)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
