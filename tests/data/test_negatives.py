import pytest
import torch

from kit.data.batches import generator_for
from kit.data.negatives import SampledNegatives

NAN = float("nan")
# Rows 0 and 1 have a class, 1 and 2 to 9 lack one: of nine with a false box one has a true one, too.
TARGET = torch.tensor([[1, NAN], [1, 0], *[[NAN, 0]] * 8])


def test_a_round_is_each_row_that_has_a_class_and_n_others():
    order = SampledNegatives(3)(TARGET, generator_for(0))
    assert order.shape == (10,)
    one, two = order[:5].tolist(), order[5:].tolist()
    for drawn in (one, two):
        assert drawn.count(0) == 1 and 1 in drawn
        assert len(set(drawn)) >= 4, "the false ones of a round are others, but for row 1, which may come for either"
    assert set(one) != set(two), "and are drawn anew"
    assert torch.equal(order, SampledNegatives(3)(TARGET, generator_for(0)))


def test_rows_come_as_often_as_the_rounds_say():
    """Of 400 passes of two rounds: rows with a class 2 times a pass, each of nine with a false box 2 · 3/9 more."""
    orders = torch.cat([SampledNegatives(3)(TARGET, generator_for(seed)) for seed in range(400)])
    often = torch.bincount(orders, minlength=10) / 400
    assert often[0] == 2
    assert often[1].item() == pytest.approx(2 + 2 / 3, abs=0.1)  # sd 0.033
    assert often[2:].tolist() == pytest.approx([2 / 3] * 8, abs=0.13)


def test_without_negatives_the_pass_is_filled_with_calls():
    assert SampledNegatives(0)(TARGET, generator_for(1)).bincount(minlength=10).tolist() == [5, 5] + [0] * 8
    alone = torch.tensor([[1, NAN], [NAN, 1]])
    assert sorted(SampledNegatives(30)(alone, generator_for(0)).tolist()) == [0, 1]


@pytest.mark.parametrize(("n", "share"), [(3, 9 / 12), (9, 0.5), (30, 0.5), (0, 1.0)])
def test_the_share_of_true_boxes_by_hand(n, share):
    """Row 1 comes once a round for its true box and n/9 times for its false one: 1 / (1 + n/9)."""
    assert SampledNegatives(n).true_share(TARGET) == pytest.approx(share)
    assert SampledNegatives(n).true_share(torch.tensor([[1.0, NAN]])) == 1


def test_what_it_refuses():
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        SampledNegatives(-1)
    with pytest.raises(ValueError, match="SampledNegatives is for several labels a row, got one label each"):
        SampledNegatives()(torch.zeros(4), generator_for(0))
    with pytest.raises(ValueError, match="SampledNegatives needs a row that has a class, got 2 rows without"):
        SampledNegatives()(torch.tensor([[0.0, NAN], [NAN, NAN]]), generator_for(0))
