import numpy as np
import pytest

from kit.competition.scores import f1_rows, roc_auc
from kit.competition.threshold import HALF, at_half, best_threshold

TARGET = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])
PROBABILITY = np.array([[0.3, 0.1], [0.4, 0.25], [0.2, 0.1], [0.05, 0.6]])


def test_the_best_threshold_by_hand():
    """From 0.25 on all is right; from 0.3 on the second row lacks a label: F1 (1 + 2/3 + 1 + 1) / 4."""
    assert best_threshold(TARGET, PROBABILITY) == 0.25
    assert f1_rows(TARGET, at_half(PROBABILITY, 0.25)) == 1
    assert f1_rows(TARGET, at_half(PROBABILITY, 0.3)) == pytest.approx((1 + 2 / 3 + 1 + 1) / 4)
    assert best_threshold(np.zeros_like(TARGET), PROBABILITY) == HALF
    assert best_threshold(TARGET, np.zeros((4, 2))) == HALF


def test_no_tried_threshold_is_better():
    rng = np.random.default_rng(0)
    target = (rng.random((200, 5)) < 0.2).astype(int)
    probability = np.clip(0.15 * target + 0.2 * rng.random((200, 5)), 0, 1)
    chosen = f1_rows(target, probability, best_threshold(target, probability))
    assert chosen >= max(f1_rows(target, probability, value) for value in np.linspace(0.01, 0.99, 99)) - 0.01
    assert chosen > f1_rows(target, probability) + 0.1


@pytest.mark.parametrize("threshold", [1e-3, 0.2, 0.5, 0.999, 1.0])
def test_what_is_named_and_the_order_stay(threshold):
    rng = np.random.default_rng(1)
    probability = np.concatenate([rng.random((50, 4)), [[threshold, np.nextafter(threshold, 0), 0, 1]]])
    moved = at_half(probability, threshold)
    assert ((moved >= HALF) == (probability >= threshold)).all() and (moved >= 0).all() and (moved <= 1).all()
    if threshold < 1:
        target = (rng.random(probability.shape) < 0.5).astype(int)
        assert roc_auc(target[:50], moved[:50]) == pytest.approx(roc_auc(target[:50], probability[:50]))
    with pytest.raises(ValueError, match=r"threshold must be in \(0, 1\], got 0"):
        at_half(probability, 0)
