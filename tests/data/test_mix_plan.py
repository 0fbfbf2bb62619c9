"""Labels of mixtures that have what either half has, by hand; what is common to all plans is in test_mixup."""

import pytest
import torch

from kit.data.batch import Batch
from kit.data.mix_plan import MixPlan

NAN = float("nan")


def plan_of(labels, lam=0.75):
    return MixPlan(torch.tensor(lam), torch.tensor([1, 0]), "input", labels=labels)


#                       both    one    neither  one, ?  lacks, ?  ?, ?  soft  soft, ?
FIRST = torch.tensor([[1.0, 1.0, 0.0, 1.0, 0.0, NAN, 0.6, 0.6]])
SECOND = torch.tensor([[1.0, 0.0, 0.0, NAN, NAN, NAN, 0.5, NAN]])
BOTH = torch.cat([FIRST, SECOND])


@pytest.mark.parametrize(("labels", "soft"), [("union", 0.6), ("sum", 1.0)])
def test_either_half_has_what_a_mixture_has(labels, soft):
    """A class that one half has is there; what one lacks and the other may have is unknown."""
    mixed, weight, known = plan_of(labels).mix_labels(BOTH, torch.ones(2, 8))
    wanted = torch.tensor([1.0, 1.0, 0.0, 1.0, NAN, NAN, soft, NAN])
    torch.testing.assert_close(mixed, wanted.expand(2, 8), equal_nan=True, rtol=0, atol=0)
    assert known.tolist() == [[1, 1, 1, 1, 0, 0, 1, 0]] * 2, "wholly, whatever the shares"
    assert weight.tolist() == [[1.0] * 8] * 2


def test_sums_are_at_most_one():
    mixed, _, _ = plan_of("sum").mix_labels(torch.tensor([[0.25, 0.75], [0.5, 0.5]]), torch.ones(2, 2))
    assert mixed.tolist() == [[0.75, 1.0]] * 2


def test_weights_and_counts_are_those_of_the_halves_that_have_and_know_it():
    """Shares 0.75 and 0.25. Both have a: weight 0.75 · 4 + 0.25 · 2; b is of the second alone; c of neither. Counts are
    1 and 0.5, and b is unknown to the first.
    """
    target = torch.tensor([[1.0, NAN, 0.0], [1.0, 1.0, 0.0]])
    weight, counts = torch.tensor([[4.0] * 3, [2.0] * 3]), torch.tensor([[1.0] * 3, [0.5] * 3])
    mixed, positive, known = plan_of("union").mix_labels(target, weight, counts)
    assert mixed.tolist() == [[1, 1, 0], [1, 1, 0]]
    assert positive[0].tolist() == [3.5, 2.0, 1.0] and positive[1].tolist() == [2.5, 2.0, 1.0]
    assert known[0].tolist() == [0.875, 0.5, 0.875] and known[1].tolist() == [0.625, 0.5, 0.625]


@pytest.mark.parametrize("labels", ["union", "sum"])
def test_a_half_without_a_share_has_no_say(labels):
    for lam, wanted in ((1.0, BOTH), (0.0, BOTH.flip(0))):
        mixed, _, known = plan_of(labels, lam).mix_labels(BOTH, torch.ones(2, 8))
        torch.testing.assert_close(mixed, wanted, equal_nan=True, rtol=0, atol=0)
        assert torch.equal(known, (~wanted.isnan()).float())


def test_a_batch_has_the_labels_of_its_plan():
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    batch = Batch(torch.zeros(2, 4, 3), None, target, torch.arange(2), plan_of("union")).mixed(2)
    assert batch.target.tolist() == [[1, 1], [1, 1]]
    repeated = plan_of("union").repeated(2)
    assert repeated.labels == "union" and plan_of("union").to("cpu").labels == "union"
