from functools import partial

import numpy as np
import pytest

from kit.competition.metrics import Metric
from kit.competition.scores import cmap, f1_rows, lwlrap, micro_precision, padded_cmap, roc_auc
from kit.competition.threshold import HALF, at_half, best_threshold, f1_rows_at

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


def test_f1_at_all_thresholds_is_that_at_each():
    rng = np.random.default_rng(2)
    target = rng.choice([-1, 0, 1], (80, 6), p=[0.2, 0.6, 0.2])
    target[:2], target[2] = -1, 0  # nothing known, nothing there
    probability = rng.integers(0, 11, (80, 6)) / 10  # equal to thresholds, too
    thresholds = np.array([0.05, 0.2, 0.5, 0.77, 1.0])
    expected = [f1_rows(target, probability, value) for value in thresholds]
    assert f1_rows_at(target, probability, thresholds) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "metric", [roc_auc, cmap, lwlrap, partial(padded_cmap, padding_factor=2), Metric(lambda *_: 1)]
)
def test_a_metric_that_scores_all_thresholds_alike_leaves_the_choice_to_f1(metric):
    rng = np.random.default_rng(0)
    target = (rng.random((200, 20)) < 0.1).astype(int)
    probability = np.clip(0.5 * target + rng.random((200, 20)) * 0.5, 0, 1)
    chosen = best_threshold(target, probability, metric)
    assert chosen == best_threshold(target, probability, "f1_rows")
    assert (probability >= chosen).sum(1).mean() == pytest.approx(target.sum(1).mean(), rel=0.1)


def test_another_metric_chooses_its_own():
    """From 0.3 on both calls are right. F1 takes a wrong call of 0.2 for the three right ones from 0.15 to 0.3."""
    probability = np.array([[0.2, 0.1], [0.3, 0.15], [0.2, 0.1], [0.05, 0.5]])
    assert best_threshold(TARGET, probability, micro_precision) == 0.3
    assert best_threshold(TARGET, probability, f1_rows) == 0.15


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
