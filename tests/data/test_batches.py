import pytest

from kit.data.batches import HalfReal, train_batches


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
