"""Class-prior correction: a scale for each class's odds, fitted on out-of-fold predictions, with its own folds.

A net trained on partial labels is too sure of some classes and too shy of others, which a metric that ranks the classes
of a row pays for. The scale is chosen class by class for the highest LWLRAP, so what it gains on the rows that it was
chosen on is partly optimism: `cross_fitted` corrects each fold's rows by a scale from the other folds' alone.
"""

from collections.abc import Callable

import numpy as np

from kit.competition.metrics import Metric
from kit.competition.scores import lwlrap_terms
from kit.parts import part
from kit.results.post_rows import Rows

STEPS = 2.0 ** np.arange(-2.0, 2.1, 0.5)  # of one class's scale in a pass: a quarter to four times the odds
PASSES = 2
LEAST_GAIN = 1e-4  # of LWLRAP, below which a scale stays as it is
LEAST = 1e-300  # below it, and within 2^-53 of 1, a probability's odds are taken as those of the bound


@part
class ClassPriors:
    """Post-processing (kit.results.post) by `fit_scale`: each class's odds times a scale."""

    def fit(self, rows: Rows, target: np.ndarray, metric: Metric) -> Callable[[Rows], np.ndarray]:
        scale = fit_scale(target, rows.probability)
        return lambda rows: apply_scale(rows.probability, scale)


def apply_scale(probability: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) in [0, 1] with each class's odds times its scale (C,), in the same order in each class.

    0 and 1 stay what they are. Raises ValueError where a scale is not positive, or there are not C of them.
    """
    scale = np.asarray(scale, dtype=float)
    if scale.shape != (probability.shape[1],) or not (scale > 0).all():
        raise ValueError(f"scale must hold {probability.shape[1]} positive numbers, got {scale.tolist()}")
    return times_odds(probability, scale)


def times_odds(probability: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) with their odds times a scale (C,) or (N, C)."""
    probability = np.asarray(probability, dtype=float)
    return scale * probability / (1 - probability + scale * probability)


def fit_scale(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The scale (C,) that gives these rows the highest LWLRAP, one class after another, from 1; its mean log is 0.

    target (N, C) as in kit.competition.labels. Rows without a label say nothing: where all are such, the scale is 1.
    """
    rows = (target == 1).any(1)
    if not rows.any():
        return np.ones(target.shape[1])
    target, probability = target[rows], np.clip(probability[rows].astype(float), LEAST, 1 - 2**-53)
    logit = np.log(probability) - np.log1p(-probability)
    shift = np.zeros(target.shape[1])
    best = _score(target, logit)
    for _ in range(PASSES):
        for number in range(len(shift)):
            for step in np.log(STEPS):
                moved = shift.copy()
                moved[number] += step
                score = _score(target, logit + moved)
                if score > best + LEAST_GAIN:
                    best, shift = score, moved
    return np.exp(shift - shift.mean())


def cross_fitted(target: np.ndarray, probability: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities (N, C), those of each fold (N,) by the scale fitted on the other folds' rows."""
    corrected = np.empty_like(probability, dtype=float)
    for held_out in np.unique(fold):
        rows = fold == held_out
        corrected[rows] = apply_scale(probability[rows], fit_scale(target[~rows], probability[~rows]))
    return corrected


def _score(target: np.ndarray, logit: np.ndarray) -> float:
    total, weight = lwlrap_terms(target, logit)
    return total.sum() / weight.sum()
