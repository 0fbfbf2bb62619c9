"""Class-prior correction: a scale for each class's odds, fitted on out-of-fold predictions, with its own folds.

A net trained on partial labels is too sure of some classes and too shy of others, which a metric that ranks the classes
of a row pays for. The scale is chosen class by class for the highest LWLRAP, so what it gains on the rows that it was
chosen on is partly optimism: `cross_fitted` corrects each fold's rows by a scale from the other folds' alone.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from kit.competition.scores import lwlrap_terms
from kit.training.runs import Run

STEPS = 2.0 ** np.arange(-2.0, 2.1, 0.5)  # of one class's scale in a pass: a quarter to four times the odds
PASSES = 2
LEAST_GAIN = 1e-4  # of LWLRAP, below which a scale stays as it is
LEAST = 1e-300  # below it, and within 2^-53 of 1, a probability's odds are taken as those of the bound


def corrected(run: Run) -> tuple[Run, pd.DataFrame]:
    """The run under the name <name>-priors, and its test table, both corrected; for kit.results.record.

    Out-of-fold rows are corrected as in `cross_fitted`, so that their score is honest; test rows by the scale of all
    out-of-fold rows. Raises ValueError for a run with one label a row, whose metrics no such scale serves.
    """
    if run.target.ndim == 1:
        raise ValueError(f"run {run.name}: its rows must have several labels for their priors to be corrected, got one")
    oof, test, classes = run.oof.copy(), run.test.copy(), run.classes
    oof[classes] = cross_fitted(run.target, run.probability, oof["fold"].to_numpy())
    test[classes] = apply_scale(test[classes].to_numpy(dtype=float), fit_scale(run.target, run.probability))
    experiment = {**run.experiment, "name": f"{run.experiment['name']}-priors"}
    return replace(run, name=f"{run.name}-priors", experiment=experiment, oof=oof, folder=None), test


def apply_scale(probability: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) in [0, 1] with each class's odds times its scale (C,), in the same order in each class.

    0 and 1 stay what they are. Raises ValueError where a scale is not positive, or there are not C of them.
    """
    scale = np.asarray(scale, dtype=float)
    if scale.shape != (probability.shape[1],) or not (scale > 0).all():
        raise ValueError(f"scale must hold {probability.shape[1]} positive numbers, got {scale.tolist()}")
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
