import pytest

from kit.data.batches import EpochBatches, HalfReal, length_batches, train_batches


def test_a_pass_sees_each_item_once():
    found = list(EpochBatches(48, 10, seed=3))
    assert sorted(sum(found, [])) == list(range(48))
    assert [len(batch) for batch in found] == [10, 10, 10, 10, 8]


def test_two_processes_share_each_batch():
    def passes(rank):
        sampler = EpochBatches(101, 8, seed=1, rank=rank, world=2)
        sampler.set_epoch(4)
        return list(sampler)

    zero, one = passes(0), passes(1)
    assert len(zero) == len(one) and all(zero) and all(one)
    assert sorted(sum(zero + one, [])) == list(range(101))


def test_a_last_batch_of_one_joins_its_neighbour():
    assert [len(batch) for batch in EpochBatches(21, 10)] == [10, 11]
    assert [len(batch) for batch in EpochBatches(1, 10)] == [1]


def test_epochs_of_a_number_of_steps_follow_one_another():
    sampler, seen = EpochBatches(30, 10, seed=2, steps=2), []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        seen += list(sampler)
    whole = EpochBatches(30, 10, seed=2, steps=6)
    assert seen == list(whole) and sorted(sum(seen[:3], [])) == list(range(30))


def test_length_batches_by_hand():
    assert length_batches([3, 9, 4, 1], most=9) == [[1], [2, 0], [3]]
    assert length_batches([50], most=9) == [[0]]


def test_a_batch_has_an_item_for_each_process():
    with pytest.raises(ValueError, match=r"batch_size must be at least 1 and the number of processes \(2\), got 1"):
        EpochBatches(10, 1, world=2)


def batches(*counts, **changes):
    return train_batches(*counts, **{"seed": 0, "steps": 0, "rank": 0, "world": 1, **changes})


def test_half_of_each_batch_is_real():
    sampler = batches(10, 8, 4)
    assert isinstance(sampler, HalfReal) and len(sampler) == 5
    sampler.set_epoch(3)
    found = list(sampler)
    for batch in found:
        assert len(batch) == 4 and [index < 10 for index in batch] == [True, True, False, False]
        assert max(batch) < 18
    assert sorted(index for batch in found for index in batch[:2]) == list(range(10)), "a pass over what is real"


def test_without_pseudo_labels_a_batch_is_as_it_was():
    assert list(batches(10, 0, 4, seed=5)) != list(batches(10, 0, 4, seed=6))
    assert [len(batch) for batch in batches(10, 0, 4)] == [4, 4, 2]


def test_processes_share_both_halves():
    shares = [list(batches(8, 6, 8, steps=2, rank=rank, world=2)) for rank in (0, 1)]
    assert [[len(batch) for batch in share] for share in shares] == [[4, 3], [4, 3]]
    for mine, other in zip(*shares, strict=True):
        assert not set(mine) & set(other)


def test_halves_too_small_are_refused():
    with pytest.raises(ValueError, match=r"batch_size must be at least 4, .* got 3 and 6"):
        batches(8, 6, 3, world=2)
