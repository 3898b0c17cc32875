"""Dropout per example."""

import pytest
import torch

from muscaps.training.example_dropout import ExampleDropout, dropout_mask


def test_dropout_depends_on_the_example_alone() -> None:
    together = dropout_mask((5, 8), [5, 3], [11, 12], 0.25)
    alone = dropout_mask((3, 8), [3], [12], 0.25)
    assert torch.equal(together[1, :3], alone[0])
    assert not torch.equal(dropout_mask((3, 8), [3], [13], 0.25), alone)
    many = dropout_mask((50, 200), [50], [5], 0.25)
    assert float(many.mean()) == pytest.approx(0.75, abs=0.02)


def test_dropout_keeps_the_mean_and_rests_in_evaluation() -> None:
    layer = ExampleDropout(0.5)
    with pytest.raises(RuntimeError, match="needs its mask"):
        layer(torch.ones(1, 2, 3))
    layer.mask = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert layer(torch.ones(1, 2, 2)).tolist() == [[[2.0, 0.0], [0.0, 2.0]]]
    assert layer.eval()(torch.ones(1, 2, 2)).tolist() == [[[1.0, 1.0], [1.0, 1.0]]]
