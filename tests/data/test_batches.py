import copy

import pytest
import torch

from kit.data.batches import (
    Drawn,
    EpochBatches,
    SideBySide,
    length_batches,
    train_batches,
)
from kit.parts import Part


def rows(n):
    return torch.zeros(n, dtype=torch.int64)


def test_a_pass_sees_each_item_once():
    served = list(EpochBatches(rows(48), 10, seed=3))
    assert sorted(sum(served, [])) == list(range(48))
    assert [len(batch) for batch in served] == [10, 10, 10, 10, 8]


def test_two_processes_share_each_batch():
    def passes(rank):
        sampler = EpochBatches(rows(101), 8, seed=1, rank=rank, world=2)
        sampler.set_epoch(4)
        return list(sampler)

    zero, one = passes(0), passes(1)
    assert len(zero) == len(one) and all(zero) and all(one)
    assert sorted(sum(zero + one, [])) == list(range(101))


def test_a_last_batch_of_one_joins_its_neighbour():
    assert [len(batch) for batch in EpochBatches(rows(21), 10)] == [10, 11]
    assert [len(batch) for batch in EpochBatches(rows(1), 10)] == [1]


def test_epochs_of_a_number_of_steps_follow_one_another():
    sampler, seen = EpochBatches(rows(30), 10, seed=2, steps=2), []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        seen += list(sampler)
    whole = EpochBatches(rows(30), 10, seed=2, steps=6)
    assert seen == list(whole) and sorted(sum(seen[:3], [])) == list(range(30))


def test_length_batches_by_hand():
    assert length_batches([3, 9, 4, 1], most=9) == [[1], [2, 0], [3]]
    assert length_batches([50], most=9) == [[0]]


def test_a_batch_has_an_item_for_each_process():
    with pytest.raises(ValueError, match=r"batch_size must be at least 1 and the number of processes \(2\), got 1"):
        EpochBatches(rows(10), 1, world=2)


def batches(n_real, *counts, **changes):
    return train_batches(rows(n_real), *counts, **{"seed": 0, "steps": 0, "rank": 0, "world": 1, **changes})


def test_half_of_each_batch_is_real():
    sampler = batches(10, 8, 4)
    assert isinstance(sampler, SideBySide) and len(sampler) == 5
    sampler.set_epoch(3)
    served = list(sampler)
    for batch in served:
        assert len(batch) == 4 and [index < 10 for index in batch] == [True, True, False, False]
        assert max(batch) < 18
    assert sorted(index for batch in served for index in batch[:2]) == list(range(10)), "a pass over what is real"


def test_without_pseudo_labels_a_batch_is_as_it_was():
    assert list(batches(10, 0, 4, seed=5)) != list(batches(10, 0, 4, seed=6))
    assert [len(batch) for batch in batches(10, 0, 4)] == [4, 4, 2]


def test_processes_share_both_halves():
    shares = [list(batches(8, 6, 8, steps=2, rank=rank, world=2)) for rank in (0, 1)]
    assert [[len(batch) for batch in share] for share in shares] == [[4, 3], [4, 3]]
    for mine, other in zip(*shares, strict=True):
        assert not set(mine) & set(other)


@pytest.mark.parametrize(("share", "n_pseudo"), [(0.25, 2), (0.3, 3), (0.01, 1), (0.99, 7), (0.9, 7)])
def test_a_share_of_each_batch_is_pseudo_and_each_part_has_an_item(share, n_pseudo):
    """Of 8 items 0.25 are 2; 0.3 are 2.4, and what is real is rounded down; 0.01 and 0.99 leave one of the other."""
    for batch in batches(16, 20, 8, steps=2, share=share):
        assert len(batch) == 8 and sum(index >= 16 for index in batch) == n_pseudo


def test_pseudo_items_have_a_sampler_of_their_own():
    """Of 4 pseudo items the last alone is drawn."""
    served = batches(4, 4, 4, pseudo_sampler=lambda target, generator: torch.full((4,), 3))
    assert [batch[2:] for batch in served] == [[7, 7], [7, 7]]


def test_halves_too_small_are_refused():
    with pytest.raises(ValueError, match=r"batch_size must be at least 4, .* got 3 and 6"):
        batches(8, 6, 3, world=2)


def backwards(target, generator):
    return torch.arange(len(target)).flip(0)


def half(target, generator, share=0.5):
    return torch.arange(int(len(target) * share))


def test_a_sampler_of_ones_own_orders_the_passes():
    assert list(EpochBatches(rows(5), 2, sampler=Part(backwards))) == [[4, 3], [2, 1, 0]]
    served = train_batches(rows(4), 4, 4, sampler=Part(backwards), seed=0, steps=0, rank=0, world=1)
    assert [batch[0] for batch in served] == [3, 1]


@pytest.mark.parametrize(
    ("sampler", "got"), [(Part(half), r"tensor\(\[0, 1\]\)"), (lambda target, generator: target + 9, r"tensor\(\[9, ")]
)
def test_an_order_that_is_none_names_the_sampler(sampler, got):
    name = "half" if isinstance(sampler, Part) else "function"
    with pytest.raises(ValueError, match=rf"{name} must give 4 rows' numbers from 0 to 3, got {got}"):
        next(iter(EpochBatches(rows(4), 2, sampler=sampler)))


def twos(target, generator):
    """A pass of 0, 0, 2, 2, …"""
    return torch.arange(len(target)) // 2 * 2


def test_a_batch_tells_how_often_its_items_were_drawn_before_in_the_epoch():
    """Two passes of 0 0 2 2 4, by batches of 3 and 2; an epoch begins at none."""
    sampler = EpochBatches(rows(5), 3, sampler=twos, steps=4)
    served = [(list(batch), batch.before) for batch in sampler]
    assert served == [([0, 0, 2], [0, 1, 0]), ([2, 4], [1, 0]), ([0, 0, 2], [2, 3, 2]), ([2, 4], [3, 1])]
    sampler.set_epoch(1)
    assert [batch.before for batch in sampler] == [before for _, before in served]
    halves = [list(EpochBatches(rows(4), 4, sampler=twos, rank=rank, world=2)) for rank in (0, 1)]
    assert [(list(one), one.before) for (one,) in halves] == [([0, 2], [0, 0]), ([0, 2], [1, 1])]
    assert all(batch.before == [0] * 8 for batch in EpochBatches(rows(16), 8)), "Shuffled repeats nothing"
    both = copy.copy(list(batches(4, 2, batch_size=4, sampler=twos))[1])  # by pickle's protocol, as workers
    assert both == [2, 2, *both[2:]] and both.before == [0, 1, *both.before[2:]] and type(both) is Drawn
