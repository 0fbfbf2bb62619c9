"""Class-prior correction: a scale for each class's odds, fitted on out-of-fold predictions, with its own folds.

A net trained on partial labels is too sure of some classes and too shy of others, which a metric that ranks the classes
of a row pays for. The scale is chosen class by class for the highest LWLRAP, so what it gains on the rows that it was
chosen on is partly optimism: `cross_fitted` corrects each fold's rows by a scale from the other folds' alone.
"""

import numpy as np

from kit.competition.labels import UNKNOWN
from kit.competition.metrics import lwlrap_terms

STEPS = 2.0 ** np.arange(-2.0, 2.1, 0.5)  # of one class's scale in a pass: a quarter to four times the odds
PASSES = 2
LEAST_GAIN = 1e-4  # of LWLRAP, below which a scale stays as it is
LEAST = 1e-6  # a probability of 0 or 1 has no odds


def fill_with_priors(probability: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) with each class's share of the known pairs of a training part where a row is NaN."""
    shares = (known == 1).sum(0) / np.maximum(1, (known != UNKNOWN).sum(0))
    return np.where(np.isnan(probability), shares.astype(probability.dtype), probability)


def apply_scale(probability: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) with each class's odds times its scale (C,); in (0, 1), in the same order in each class.

    Raises ValueError where a scale is not positive, or there are not C of them.
    """
    scale = np.asarray(scale, dtype=float)
    if scale.shape != (probability.shape[1],) or not (scale > 0).all():
        raise ValueError(f"scale must hold {probability.shape[1]} positive numbers, got {scale.tolist()}")
    probability = np.clip(probability, LEAST, 1 - LEAST)
    odds = scale * probability / (1 - probability)
    return odds / (1 + odds)


def fit_scale(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The scale (C,) that gives these rows the highest LWLRAP, one class after another, from 1; its mean log is 0.

    target (N, C) as in kit.competition.labels.
    """
    rows = (target == 1).any(1)
    target, probability = target[rows], np.clip(probability[rows], LEAST, 1 - LEAST)
    logit = np.log(probability / (1 - probability))
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
