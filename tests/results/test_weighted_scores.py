"""Macro metrics of weighted rows are those of rows that are repeated; by calls they are compared in test_resampling."""

import numpy as np
import pytest

from kit.competition.scores import cmap, f1_macro, padded_cmap, precision
from kit.results.weighted_scores import WeightedCmap, WeightedPaddedCmap, weighted_f1_macro, weighted_precision

BOTH = {
    "precision": (precision, weighted_precision),
    "f1_macro": (f1_macro, weighted_f1_macro),
    "cmap": (cmap, WeightedCmap),
    "padded_cmap": (padded_cmap, WeightedPaddedCmap),
}


def test_weights_by_hand():
    """Rows called 0, 0, 1 and true 0, 1, 1; then the first three times; then the second never."""
    target, probability = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    weights = np.array([[1, 1, 1], [3, 1, 1], [1, 0, 1]], dtype=float).T
    assert weighted_precision(target, probability)(weights) == pytest.approx([(1 / 2 + 1) / 2, (3 / 4 + 1) / 2, 1])
    assert weighted_f1_macro(target, probability)(weights) == pytest.approx([2 / 3, (6 / 7 + 2 / 3) / 2, 1])
    # class 0 is ranked 1, 0, 0: found first; of class 1 the 0.7 and 0.2 stand before the 0.1
    assert WeightedCmap(target, probability)(weights) == pytest.approx([1, 1, 1])
    tags, scores = np.array([[1], [0], [1]]), np.array([[0.5], [0.5], [0.2]])  # a tie is at its worst place
    assert WeightedCmap(tags, scores)(weights) == pytest.approx([(1 / 2 + 2 / 3) / 2, (9 / 4 + 4 / 5) / 4, 1])
    padded = (5 + 6 / 7 + 7 / 8) / 7
    assert WeightedPaddedCmap(tags, scores)(weights[:, :1]) == pytest.approx([padded])


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("labels", ["one", "several"])
def test_they_are_the_metrics_of_repeated_rows(name, labels):
    rng = np.random.default_rng(0)
    metric, weighted = BOTH[name]
    target = rng.integers(0, 5, 40) if labels == "one" else rng.choice([-1, 0, 1], (40, 5), p=[0.2, 0.5, 0.3])
    if labels == "several":
        target[:, 4] = 0  # never there
    probability, weights = rng.integers(0, 9, (40, 5)) / 8, rng.integers(0, 3, (40, 20))  # with ties, and up to 1
    weights[:30, 0] = 0
    expected = [metric(target.repeat(count, axis=0), probability.repeat(count, axis=0)) for count in weights.T]
    assert weighted(target, probability)(weights.astype(float)) == pytest.approx(expected, abs=1e-12)


def test_without_a_label_average_precision_is_undefined_and_padded_it_is_not():
    target, probability, weights = np.array([[1], [0]]), np.array([[0.5], [0.6]]), np.array([[0.0], [2.0]])
    assert np.isnan(WeightedCmap(target, probability)(weights)).tolist() == [True]
    assert WeightedPaddedCmap(target, probability)(weights).tolist() == [1]
