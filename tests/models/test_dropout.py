import pytest
import torch
from torch import nn

from kit.models.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_said_and_the_others_scaled(p):
    x = torch.randn(1_000_003, requires_grad=True)
    torch.manual_seed(3)
    y = Dropout(p)(x)
    dropped = y == 0
    for lane in (dropped, *(dropped[first::4] for first in range(4))):  # four elements share a draw
        assert abs(lane.float().mean() - p) < 4 * (p * (1 - p) / len(lane)) ** 0.5
    torch.testing.assert_close(y[~dropped], x[~dropped] / (1 - p))
    y.sum().backward()
    torch.testing.assert_close(x.grad, (~dropped) / (1 - p))


def test_neighbours_are_dropped_independently():
    dropped = (Dropout(0.3)(torch.ones(400_000)) == 0).view(-1, 4).float()
    correlation = torch.corrcoef(torch.cat([dropped, dropped.roll(1, 0)], 1).T)
    assert (correlation - torch.eye(8)).abs().max() < 0.02


def test_a_draw_is_the_generators():
    x, drop = torch.ones(2, 3, 101), Dropout(0.5)

    def drawn(seed):
        torch.manual_seed(seed)
        return drop(x)

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize(("drop", "wanted"), [(Dropout(0.0), 1), (Dropout(1.0), 0), (Dropout(0.5).eval(), 1)])
def test_all_or_nothing_draws_nothing(drop, wanted):
    before = torch.get_rng_state()
    assert (drop(torch.ones(100)) == wanted).all()
    assert torch.equal(torch.get_rng_state(), before) or drop.p == 1


def test_half_precision_and_other_shapes_are_kept():
    x = torch.ones(7, 5, dtype=torch.bfloat16).T
    y = Dropout(0.5)(x)
    assert y.dtype == x.dtype and y.shape == x.shape and set(y.unique().tolist()) == {0, 2}


def test_a_number_out_of_range_is_refused_as_by_pytorch():
    for layer in (Dropout, nn.Dropout):
        with pytest.raises(ValueError, match="has to be between 0 and 1"):
            layer(1.5)
