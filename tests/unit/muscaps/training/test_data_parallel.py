"""Batch normalisation shared by workers."""

import torch

from muscaps.inference.tall_convolution import fix_input_statistics
from muscaps.models.musicnn import Musicnn
from muscaps.training.data_parallel import share_batch_norms


def network(seed: int = 0) -> Musicnn:
    torch.manual_seed(seed)
    model = Musicnn(num_channels=6, frontend_scale=0.05)
    fix_input_statistics(model, -20.0, 300.0)
    for vertical in model.vertical:
        vertical.norm.weight.data.uniform_(0.5, 1.5)
        vertical.norm.running_mean.uniform_(-0.5, 0.5)
        vertical.norm.running_var.uniform_(0.5, 2)
    return model


def test_batch_norms_are_replaced_without_a_trace_in_the_state() -> None:
    model, plain = network(), network()
    share_batch_norms(model)
    assert list(model.state_dict()) == list(plain.state_dict())
    spectrogram = 15 * torch.randn(2, 1, 96, 188) - 20
    with torch.no_grad():
        assert torch.equal(model.train().from_spectrogram(spectrogram), plain.train().from_spectrogram(spectrogram))
        assert torch.equal(model.temporal[0].norm.running_var, plain.temporal[0].norm.running_var)
