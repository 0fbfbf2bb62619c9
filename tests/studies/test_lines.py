import numpy as np
import pytest
import torch
from torch import nn

from kit.studies.lines import confidence_on_lines, draw_pairs


class Linear(nn.Module):
    """Logits (x, 0) of an image of one pixel x."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, mel):
        return mel[:, 0, :1] * self.weight, None


def test_confidence_by_hand():
    """Lines from ln 3 to -ln 3 and from 0 to ln 9: at t = 0, ½ and 1 the pixel is ln 3, 0, -ln 3, and 0, ln 3, ln 9."""
    first = torch.tensor([3.0, 1]).log().view(2, 1, 1)
    second = torch.tensor([1 / 3, 9]).log().view(2, 1, 1)
    found = confidence_on_lines(Linear().eval(), first, second, np.array([0, 0.5, 1]))
    assert found == pytest.approx([(0.75 + 0.5) / 2, (0.5 + 0.75) / 2, (0.75 + 0.9) / 2], abs=1e-6)


def test_batches_do_not_matter(monkeypatch):
    first, second, shares = torch.randn(7, 1, 1), torch.randn(7, 1, 1), np.linspace(0, 1, 5)
    whole = confidence_on_lines(Linear().eval(), first, second, shares)
    monkeypatch.setattr("kit.studies.lines.BATCH", 3)
    assert confidence_on_lines(Linear().eval(), first, second, shares) == pytest.approx(whole)


def test_a_net_in_training_is_refused():
    with pytest.raises(ValueError, match="model must be in eval mode, got one in training mode"):
        confidence_on_lines(Linear(), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), np.array([0.5]))


def test_pairs_are_of_two_classes_and_of_the_seed():
    target = np.array([0, 0, 0, 1, 2, 2])
    pairs = draw_pairs(target, 500, seed=1)
    assert pairs.shape == (500, 2) and (target[pairs[:, 0]] != target[pairs[:, 1]]).all()
    assert set(pairs[:, 0]) == set(pairs[:, 1]) == set(range(6))
    assert np.array_equal(pairs, draw_pairs(target, 500, seed=1)) and (pairs != draw_pairs(target, 500, seed=2)).any()


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="target must hold at least two classes, got 1"):
        draw_pairs(np.zeros(4), 3)
