"""Musicnn's rearranged training pass against the plain one."""

import pytest
import torch

from muscaps.inference.tall_convolution import (
    _maxima_in_blocks,
    fix_input_statistics,
    keep_scales_positive,
    training_features,
)
from muscaps.models.musicnn import Musicnn


def network(seed: int = 0) -> Musicnn:
    torch.manual_seed(seed)
    model = Musicnn(num_channels=6, frontend_scale=0.05)
    fix_input_statistics(model, -20.0, 300.0)
    for vertical in model.vertical:
        vertical.norm.weight.data.uniform_(0.5, 1.5)
        vertical.norm.running_mean.uniform_(-0.5, 0.5)
        vertical.norm.running_var.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize(("fast", "tolerance"), [(False, 1e-5), (True, 0.05)])
def test_the_rearranged_pass_computes_the_same_features(fast: bool, tolerance: float) -> None:
    model = network().eval()
    spectrogram = 15 * torch.randn(3, 1, 96, 188) - 20
    with torch.no_grad():
        expected, found = model.from_spectrogram(spectrogram), training_features(model, spectrogram, fast=fast)
    assert float((found - expected).abs().max()) < tolerance * float(expected.abs().max())


def test_blocks_of_shifts_have_the_gradients_of_a_plain_convolution() -> None:
    torch.manual_seed(3)
    convolution, normed = torch.nn.Conv2d(1, 4, (38, 7), padding=(0, 3)), torch.randn(2, 96, 30)
    results = []
    for maxima in (
        _maxima_in_blocks(normed, convolution),
        convolution(normed.unsqueeze(1)).amax(dim=2),
    ):
        convolution.zero_grad()
        maxima.square().sum().backward()
        results.append((maxima.detach(), convolution.weight.grad.clone(), convolution.bias.grad.clone()))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_gradients_point_the_way_of_float32_ones() -> None:
    spectrogram = 15 * torch.randn(4, 1, 96, 188, generator=torch.Generator().manual_seed(1)) - 20
    gradients = []
    for fast in (False, True):
        model = network().train()
        training_features(model, spectrogram, fast=fast).square().mean().backward()
        gradients.append([v.conv.weight.grad.flatten() for v in model.vertical])
    for exact, rounded in zip(*gradients, strict=True):
        assert float(torch.nn.functional.cosine_similarity(exact, rounded, dim=0)) > 0.95


def test_scales_are_kept_positive() -> None:
    model = network()
    model.vertical[0].norm.weight.data.fill_(-1)
    keep_scales_positive(model)
    assert float(model.vertical[0].norm.weight.detach().min()) > 0
