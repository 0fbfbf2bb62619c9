"""Macro precision, F1 and average precision of rows that count several times or not at all, for thousands of resamples.

Precision and F1 are means over classes of a ratio of sums, and a resample's sums are a product of matrices. For average
precision the rows of a class are ranked once: of a row that has it only the weight of all rows matters that score at
least as high, so that they are put into as many bins as it has distinct scores. ROC-AUC is in weighted_auc.
"""

from collections.abc import Callable

import numpy as np

from kit.competition.scores import micro_precision_terms

Weighted = Callable[[np.ndarray], np.ndarray]  # weights (N, R) -> scores (R,), nan where undefined


def weighted_precision(target: np.ndarray, probability: np.ndarray) -> Weighted:
    """`precision` with its weights; target (N,) or (N, C) and probability (N, C) as in kit.competition.scores."""
    if target.ndim == 2:
        total, weight = micro_precision_terms(target, probability)
        return lambda weights: (total @ weights) / np.maximum(1, weight @ weights)
    called, true = _called_and_true(target, probability)
    return lambda weights: _mean_ratio(weights, called & true, called, called | true)


def weighted_f1_macro(target: np.ndarray, probability: np.ndarray) -> Weighted:
    """`f1_macro` with its weights."""
    called, true = _called_and_true(target, probability)
    there = called | true if target.ndim == 1 else None
    return lambda weights: _mean_ratio(weights, 2 * (called & true), called.astype(int) + true, there)


def _called_and_true(target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which classes (N, C) each row is known to be right or wrong in being called, and which it has."""
    if target.ndim == 2:
        return (np.asarray(probability) >= 0.5) & (target >= 0), target == 1
    one_hot = np.eye(np.shape(probability)[1], dtype=bool)
    return one_hot[np.argmax(probability, axis=1)], one_hot[target]


def _mean_ratio(weights, total, weight, there) -> np.ndarray:
    """The mean of Σ total / Σ weight (0 for 0 / 0) over classes: those of which `there` has a row, or all if None."""
    total, weight = total.T @ weights, weight.T @ weights  # (C, R)
    ratio = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    return ratio.mean(0) if there is None else ratio.sum(0) / (there.T @ weights > 0).sum(0)


class WeightedCmap:
    """score(weights (N, R)) -> (R,): `cmap`, or with padding `padded_cmap`; nan where no row has any class."""

    padding = 0

    def __init__(self, target: np.ndarray, probability: np.ndarray):
        probability = np.asarray(probability, dtype=float)
        truth = target if target.ndim == 2 else np.eye(probability.shape[1], dtype=int)[target]
        rows = np.ones((self.padding, probability.shape[1]))
        truth, probability = np.vstack([truth, rows]), np.vstack([probability, rows])
        self.classes = [_binned(*pair) for pair in zip(truth.T, probability.T, strict=True) if (pair[0] == 1).any()]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        weights = np.vstack([weights, np.ones((self.padding, weights.shape[1]))])
        total, defined = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for has, bins, of_true, rank in self.classes:
            own = weights[has]  # (P, R)
            as_high = [(part[::-1].cumsum(0)[::-1])[rank] for part in (of_true @ own, bins @ weights)]  # (P, R) each
            precision = np.divide(*as_high, out=np.zeros_like(own), where=own > 0)
            n_true = own.sum(0)
            total += np.divide((own * precision).sum(0), n_true, out=np.zeros_like(n_true), where=n_true > 0)
            defined += n_true > 0
        return np.divide(total, defined, out=np.full_like(total, np.nan), where=defined > 0)


class WeightedPaddedCmap(WeightedCmap):
    padding = 5


def _binned(labels: np.ndarray, scores: np.ndarray):
    """Of a class: the P rows that have it; of all N rows, and of those P, which of V bins each is in, (V, N) and (V, P)
    of 0 and 1; and of each of P its bin. Bin v holds the known scores from the v-th distinct one of P up to the next.
    """
    from scipy.sparse import csc_array

    has, known = np.flatnonzero(labels == 1), labels >= 0
    values, rank = np.unique(scores[has], return_inverse=True)
    bin_of = np.searchsorted(values, scores, "right") - 1
    binned = np.flatnonzero(known & (bin_of >= 0))  # below all of P no row matters
    bins = csc_array((np.ones(len(binned)), (bin_of[binned], binned)), shape=(len(values), len(labels)))
    of_true = csc_array((np.ones(len(has)), (rank, np.arange(len(has)))), shape=(len(values), len(has)))
    return has, bins, of_true, rank
