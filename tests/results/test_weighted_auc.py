import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from kit.competition.scores import roc_auc
from kit.results.weighted_auc import WeightedRocAuc


def test_weights_by_hand():
    """Of a row that has the class at 0.5, one that lacks it at 0.2, one at 0.5 and one at 0.9, the first counted twice:
    2 below, half of 1, 0 of 1: 2.5 of 4; without the first 0.5 of 2.
    """
    target, probability = np.array([[1], [0], [0], [0]]), np.array([[0.5], [0.2], [0.5], [0.9]])
    weights = np.array([[1, 2, 1, 1], [1, 0, 1, 1], [3, 1, 1, 1], [0, 1, 1, 1]], dtype=float).T
    found = WeightedRocAuc(target, probability)(weights)
    assert found[:3] == pytest.approx([2.5 / 4, 0.5 / 2, 1.5 / 3]) and np.isnan(found[3]), "no row has it"


def test_it_is_roc_auc_of_repeated_rows():
    rng = np.random.default_rng(0)
    target = rng.choice([-1, 0, 1], (40, 5), p=[0.2, 0.5, 0.3])
    target[:, 4] = 0  # never there
    probability = rng.integers(0, 8, (40, 5)) / 8  # with ties
    weights = rng.integers(0, 4, (40, 30))
    found = WeightedRocAuc(target, probability)(weights.astype(float))
    expected = [roc_auc(target.repeat(count, axis=0), probability.repeat(count, axis=0)) for count in weights.T]
    assert found == pytest.approx(expected, abs=1e-12)
    numbers = rng.integers(0, 5, 40)
    found = WeightedRocAuc(numbers, probability)(weights.astype(float))
    expected = [roc_auc(numbers.repeat(count), probability.repeat(count, axis=0)) for count in weights.T]
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_class_costs_a_bin_for_each_score_that_has_it_and_not_a_row():
    """Of 3,000 rows, 5 of which have the class, there are 11 bins: 5 scores, and between, below and above them."""
    rng = np.random.default_rng(2)
    target, probability = np.zeros((3000, 1), dtype=int), rng.random((3000, 1))
    target[:5] = 1
    scored = WeightedRocAuc(target, probability)
    assert [bins.shape for _, bins, _, _ in scored.classes] == [(11, 3000)]
    assert scored(np.ones((3000, 1))) == pytest.approx(roc_auc(target, probability))


def test_it_is_scikit_learns_with_weights():
    rng = np.random.default_rng(1)
    target, probability, weights = rng.integers(0, 2, (50, 3)), rng.random((50, 3)), rng.random(50)
    expected = np.mean([roc_auc_score(target[:, c], probability[:, c], sample_weight=weights) for c in range(3)])
    assert WeightedRocAuc(target, probability)(weights[:, None]) == pytest.approx(expected)
