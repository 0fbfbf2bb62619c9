import math

import pytest
import torch

from kit.models.pooling import (
    SED,
    AttentionPooling,
    GeM,
    GeMPooling,
    Mean,
    MeanPooling,
    SEDPooling,
    SelfAttention,
    Statistics,
    StatisticsPooling,
    weights_over_time,
)

PARTS = (Mean(), SelfAttention(), Statistics(), GeM(), SED())

ONE_AND_THREE = torch.tensor([[[1.0], [3.0], [50.0]]])  # (1, 3, 1), the 50 being padding
FIRST_TWO = torch.tensor([[True, True, False]])


def test_mean_by_hand():
    assert MeanPooling(1)(ONE_AND_THREE, FIRST_TWO).item() == 2
    assert MeanPooling(1)(ONE_AND_THREE).item() == 18


def test_attention_by_hand():
    pooling = AttentionPooling(2)
    pooling.score.weight.data = torch.tensor([[1.0, 0.0]])
    frames = torch.tensor([[[0.0, 4.0], [math.log(3), 8.0], [9.0, 9.0]]])  # weights 1/4, 3/4, none
    expected = torch.tensor([[0.75 * math.log(3), 7.0]])
    torch.testing.assert_close(pooling(frames, FIRST_TWO), expected)


def test_statistics_by_hand_with_even_weights():
    pooling = StatisticsPooling(1)
    pooling.score[2].weight.data.zero_()
    torch.testing.assert_close(pooling(ONE_AND_THREE, FIRST_TWO), torch.tensor([[2.0, 1.0]]))


def test_statistics_by_hand_with_uneven_weights():
    pooling = StatisticsPooling(1, hidden_width=1)
    pooling.score[0].weight.data.fill_(1.0)
    pooling.score[0].bias.data.zero_()
    pooling.score[2].weight.data.fill_(math.log(3))  # scores ln 3 · tanh(0) and ln 3 · tanh(100): weights 1/4, 3/4
    z = pooling(torch.tensor([[[0.0], [100.0], [7.0]]]), FIRST_TWO)
    torch.testing.assert_close(z, torch.tensor([[75.0, math.sqrt(1875)]]))


def test_statistics_of_equal_frames_have_a_finite_gradient():
    frames = torch.ones(1, 4, 2, requires_grad=True)
    StatisticsPooling(2)(frames).sum().backward()
    assert frames.grad.isfinite().all()


def test_gem_by_hand():
    z = GeMPooling(1)(ONE_AND_THREE, FIRST_TWO)
    assert z.item() == pytest.approx(14 ** (1 / 3))  # ((1 + 27) / 2) ** (1/3)
    assert GeMPooling(1, p=1.0)(ONE_AND_THREE, FIRST_TWO).item() == pytest.approx(2)


def test_gem_counts_negative_values_as_eps():
    frames = torch.tensor([[[-5.0], [2.0]]])
    assert GeMPooling(1, p=1.0, eps=0.5)(frames).item() == pytest.approx(1.25)


def test_gem_learns_p():
    pooling = GeMPooling(1)
    pooling(ONE_AND_THREE, FIRST_TWO).sum().backward()
    assert pooling.p.grad.item() > 0  # a larger p leans to the larger frame


@pytest.mark.parametrize("name, value", [("p", 0.0), ("eps", -1.0)])
def test_gem_refuses(name, value):
    with pytest.raises(ValueError, match=f"{name} must be above 0, got {value}"):
        GeM(**{name: value})


def test_statistics_refuses_no_hidden_width():
    with pytest.raises(ValueError, match="hidden_width must be at least 1, got 0"):
        Statistics(hidden_width=0)


def test_fields_reach_the_layers():
    pooling = GeM(p=1.0, eps=0.5).make(4)
    assert pooling.p.item() == 1.0 and pooling.eps == 0.5
    assert Statistics(hidden_width=7).make(4).score[0].out_features == 7


def test_sed_by_hand():
    assert SEDPooling(1)(ONE_AND_THREE, FIRST_TWO).item() == 5  # 3 + 2
    assert SEDPooling(1)(ONE_AND_THREE).item() == 68  # 50 + 18


def test_weights_are_float32_also_of_bfloat16_scores():
    weights = weights_over_time(torch.randn(2, 300).bfloat16(), None)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2), atol=1e-6, rtol=0)


def test_attention_softmax_is_float32_under_autocast():
    pooling, frames = AttentionPooling(8), torch.randn(2, 300, 8)
    with torch.autocast("cpu", torch.bfloat16):
        scores, z = pooling.score(frames), pooling(frames)
    assert scores.dtype == torch.bfloat16
    expected = (scores.double().softmax(dim=1) * frames.double()).sum(dim=1)
    torch.testing.assert_close(z.double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("part", PARTS)
class TestLaws:
    def test_gives_out_width(self, part):
        pooling = part.make(6)
        assert pooling(torch.randn(3, 5, 6)).shape == (3, pooling.out_width)

    def test_padding_does_not_matter_and_would_without_mask(self, part):
        pooling, frames = part.make(6), torch.randn(3, 5, 6)
        padded = torch.cat([frames, torch.full((3, 2, 6), 9.0)], dim=1)
        mask = torch.arange(7).expand(3, 7) < 5
        torch.testing.assert_close(pooling(padded, mask), pooling(frames), atol=1e-5, rtol=0)
        assert (pooling(padded) - pooling(frames)).abs().max() > 1e-4

    def test_no_mask_is_a_full_mask(self, part):
        pooling, frames = part.make(6), torch.randn(3, 5, 6)
        torch.testing.assert_close(pooling(frames), pooling(frames, torch.ones(3, 5, dtype=torch.bool)))

    def test_order_of_frames_does_not_matter(self, part):
        pooling, frames = part.make(6), torch.randn(3, 5, 6)
        torch.testing.assert_close(pooling(frames.flip(1)), pooling(frames))

    def test_padding_gets_no_gradient(self, part):
        frames = torch.randn(2, 3, 6, requires_grad=True)
        part.make(6)(frames, FIRST_TWO.expand(2, 3)).sum().backward()
        assert (frames.grad[:, 2] == 0).all() and frames.grad.isfinite().all()

    def test_input_is_left_alone(self, part):
        frames = torch.randn(2, 3, 6)
        before = frames.clone()
        part.make(6)(frames, FIRST_TWO.expand(2, 3))
        assert torch.equal(frames, before)
