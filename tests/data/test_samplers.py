import pandas as pd
import pytest
import torch

from kit.data.batches import EpochBatches, generator_for
from kit.data.samplers import Balanced, Shuffled, SomeRows, SourceShare, row_classes

NAN = float("nan")


def rows(n):
    return torch.zeros(n, dtype=torch.int64)


def test_shuffled_is_a_permutation_of_the_generator_alone():
    order = Shuffled()(rows(50), generator_for(3, 0))
    assert torch.equal(order, torch.randperm(50, generator=generator_for(3, 0)))
    first = sum(EpochBatches(rows(50), 10, seed=3), [])
    assert first == order.tolist()


def test_a_rows_class_and_its_count_by_hand():
    number, count = row_classes(torch.tensor([0, 0, 5, 0]))
    assert number.tolist() == [0, 0, 1, 0] and count.tolist() == [3, 3, 1, 3]
    labels = torch.tensor([[1, 0, NAN], [1, 1, 0], [1, NAN, NAN], [0, NAN, 0], [0, 0, 0]])
    number, count = row_classes(labels)
    assert count.tolist() == [3, 1, 3, 2, 2], "of the rarest; none is a class of its own"
    assert number.tolist() == [0, 1, 0, 3, 3]


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.1), (0.5, 0.25), (1.0, 0.5)])
def test_balanced_draws_a_rare_class_by_its_count(power, share):
    """90 rows and 10: of weights 90 · 90^−p and 10 · 10^−p the second has 0.1, 0.25 (by 3 : 1) and 0.5."""
    target = torch.tensor([0] * 90 + [1] * 10)
    orders = [Balanced(power)(target, generator_for(seed)) for seed in range(200)]
    assert all(order.shape == (100,) for order in orders)
    assert torch.cat(orders).ge(90).double().mean().item() == pytest.approx(share, abs=0.02)  # sd 0.0035
    assert torch.equal(orders[0], Balanced(power)(target, generator_for(0)))


def shares(sampler, target, n_classes, seeds=100):
    """How often each class is drawn a pass, on average."""
    orders = torch.stack([sampler(target, generator_for(seed)) for seed in range(seeds)])
    return (torch.bincount(target[orders].flatten(), minlength=n_classes) / seeds).tolist()


def test_a_floor_and_a_ceiling_of_draws_by_hand():
    """Of 80, 15 and 5 rows, drawn alike: a floor of 10 leaves the first two 90 draws, to share in proportion; one of 20
    lifts the second as well. With a ceiling of 50 for the first, the second has what is left.
    """
    target = torch.tensor([0] * 80 + [1] * 15 + [2] * 5)
    assert shares(Balanced(0.0), target, 3) == pytest.approx([80, 15, 5], abs=2)  # sd of a mean: at most 0.5
    assert shares(Balanced(0.0, least=20), target, 3) == pytest.approx([60, 20, 20], abs=2)
    assert shares(Balanced(0.0, least=10), target, 3) == pytest.approx([90 * 80 / 95, 90 * 15 / 95, 10], abs=2)
    assert shares(Balanced(0.0, least=20, most=50), target, 3) == pytest.approx([50, 30, 20], abs=2)
    assert shares(Balanced(0.0, most=40), target, 3) == pytest.approx([40, 40, 20], abs=2)


def test_a_floor_counts_the_rarest_label_of_a_row_and_those_with_none():
    """Rows 0 to 5 have a, 6 a and b, 7 to 9 none; a floor of 3: b's one row is drawn three times a pass."""
    labels = torch.tensor([[1.0, 0.0]] * 6 + [[1.0, 1.0]] + [[0.0, NAN]] * 3)
    orders = torch.cat([Balanced(0.0, least=3)(labels, generator_for(seed)) for seed in range(300)])
    assert (orders == 6).sum().item() / 300 == pytest.approx(3, abs=0.4)  # sd 0.08
    assert (orders > 6).sum().item() / 300 == pytest.approx(3, abs=0.4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"power": -1}, "power must be at least 0, got -1"),
        ({"least": -1}, "least must be at least 0, got -1"),
        ({"least": 5, "most": 4}, r"most must be 0 or at least least \(5\), got 4"),
    ],
)
def test_fields_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Balanced(**changes)


def test_limits_that_a_pass_can_not_keep_are_refused():
    target = torch.tensor([0] * 8 + [1, 2])
    with pytest.raises(ValueError, match="least must be at most 3 for 10 rows of 3 classes, got 4"):
        Balanced(least=4)(target, generator_for(0))
    with pytest.raises(ValueError, match="most must be 0 or at least 4 for 10 rows of 3 classes, got 3"):
        Balanced(most=3)(target, generator_for(0))
    assert shares(Balanced(most=4), target, 3)[0] == pytest.approx(4, abs=0.8)  # sd 0.15


TABLE = pd.DataFrame({"source": ["clip"] * 30 + ["soundscape"] * 4})


def test_a_source_has_its_share_of_each_pass():
    """A quarter of 34 draws is 8: two passes over the four soundscapes; the rest are clips, none of them twice."""
    sampler = SourceShare("soundscape", 0.25, Shuffled()).with_rows(TABLE)
    order = sampler(rows(34), generator_for(0))
    assert torch.bincount(order, minlength=34)[30:].tolist() == [2, 2, 2, 2]
    assert torch.bincount(order, minlength=34)[:30].max() == 1 and len(order) == 34
    assert order.tolist() != sorted(order.tolist()) and torch.equal(order, sampler(rows(34), generator_for(0)))
    assert sorted(sum(EpochBatches(rows(34), 8, sampler=sampler), [])) == sorted(
        sampler(rows(34), generator_for(0, 0)).tolist()
    )


def test_each_source_is_drawn_by_the_sampler_within_it():
    """All classes alike: the second class of the clips, one row, is drawn as often as the first."""
    target = torch.tensor([0] * 29 + [1] + [2] * 4)
    counts = shares(SourceShare("soundscape", 0.5, Balanced(1.0)).with_rows(TABLE), target, 3, 300)
    assert counts == pytest.approx([8.5, 8.5, 17], abs=0.8)  # sd 0.12


def test_a_source_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"source must be one of several .* \(clip, soundscape\), got 'birds'"):
        SourceShare("birds").with_rows(TABLE)
    with pytest.raises(ValueError, match=r"\(clip\), got 'clip'"):
        SourceShare("clip").with_rows(TABLE[:30])
    with pytest.raises(ValueError, match="SourceShare needs a layout that tells the source of its rows"):
        SourceShare().with_rows(TABLE[[]])
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\), got 1.0"):
        SourceShare(share=1.0)


def test_a_part_of_each_class_is_always_the_same_rows():
    target = torch.tensor([0] * 8 + [1] * 3 + [2])
    sampler = SomeRows(0.5)
    kept = sampler.kept(target)
    assert target[kept].bincount().tolist() == [4, 2, 1], "ceil of half of 8, 3 and 1"
    passes = [sampler(target, generator_for(seed, 0)) for seed in (0, 1)]
    assert passes[0].tolist() != passes[1].tolist() and len(passes[0]) == len(target)
    for order in passes:
        assert sorted(set(order.tolist())) == kept.tolist()
        assert sorted(order[:7].tolist()) == kept.tolist(), "each row once before any comes again"
    assert SomeRows(0.5, seed=1).kept(target).tolist() != kept.tolist()
    assert SomeRows(1.0).kept(target).tolist() == list(range(12))
    with pytest.raises(ValueError, match="^share must be above 0, got 0"):
        SomeRows(0.0)
