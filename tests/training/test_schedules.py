import math

import pytest

from kit.training.schedules import WarmupConstant, WarmupCosine


def test_warmup_cosine_by_hand():
    """10 updates up, then a cosine over 100: a half of it in the middle, nearly 0 at the last."""
    schedule = WarmupCosine(10)
    shares = [schedule(step, 110) for step in (0, 4, 9, 10, 60, 109)]
    assert shares == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.5, 0.5 * (1 + math.cos(math.pi * 0.99))])
    assert WarmupCosine(0)(0, 10) == 1.0


def test_a_warmup_longer_than_the_training_ends_before_its_last_update():
    assert [WarmupCosine(1000)(step, 5) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert WarmupCosine(1000)(0, 1) == 1.0


def test_warmup_constant_by_hand():
    """4 updates up, 1 until the last half of 20, then 10/10, 9/10, … 1/10."""
    schedule = WarmupConstant(4, decay=0.5)
    assert [schedule(step, 20) for step in (0, 1, 3, 4, 10, 11, 19)] == pytest.approx([0.25, 0.5, 1, 1, 1, 0.9, 0.1])
    assert [WarmupConstant(0)(step, 20) for step in (0, 10, 19)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("schedule", [WarmupCosine(7), WarmupConstant(7), WarmupConstant(30, decay=0.9)])
def test_a_share_lies_in_0_to_1_and_never_grows_after_the_warmup(schedule):
    shares = [schedule(step, 50) for step in range(50)]
    assert all(0 < share <= 1 for share in shares)
    top = shares.index(max(shares))
    assert shares[top:] == sorted(shares[top:], reverse=True) and shares[:top] == sorted(shares[:top])
