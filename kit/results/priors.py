"""Class-prior correction: a scale for each class's odds, fitted on out-of-fold predictions, with its own folds.

A net trained on partial labels is too sure of some classes and too shy of others, which a metric that ranks the classes
of a row pays for. The scale is chosen class by class for the highest LWLRAP, so what it gains on the rows that it was
chosen on is partly optimism: `cross_fitted` corrects each fold's rows by a scale from the other folds' alone.
"""

from collections.abc import Callable

import numpy as np

from kit.competition.metrics import RANKS_IN_CLASS, Metric, plain
from kit.parts import part
from kit.results.post_rows import Rows

STEPS = 2.0 ** np.arange(-2.0, 2.1, 0.5)  # of one class's scale in a pass: a quarter to four times the odds
PASSES = 2
LEAST_GAIN = 1e-4  # of LWLRAP, below which a scale stays as it is
LEAST = 1e-300  # below it, and within 2^-53 of 1, a probability's odds are taken as those of the bound


@part
class ClassPriors:
    """Post-processing (kit.results.post) by `fit_scale`: each class's odds times a scale.

    Raises ValueError under a metric that only ranks the rows within a class, as ROC-AUC and cmAP do.
    """

    def fit(self, rows: Rows, target: np.ndarray, metric: Metric) -> Callable[[Rows], np.ndarray]:
        if plain(metric.function) in RANKS_IN_CLASS:
            raise ValueError(
                "metric of ClassPriors must compare the classes of a row, as a scale leaves a class's own order, "
                f"got {metric.name}"
            )
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
    probability = np.clip(probability[rows].astype(float), LEAST, 1 - 2**-53)
    logit = np.log(probability) - np.log1p(-probability)
    ranking, shift = _Ranking(target[rows] == 1, logit), np.zeros(target.shape[1])
    best = (ranking.hits / ranking.among).mean()
    for _ in range(PASSES):
        for number in range(len(shift)):
            for step in np.log(STEPS):
                moved = shift[number] + step
                score = ranking.score(number, logit[:, number] + moved)
                if score > best + LEAST_GAIN:
                    best, shift[number] = score, moved
            ranking.move(number, logit[:, number] + shift[number])
    return np.exp(shift - shift.mean())


def cross_fitted(target: np.ndarray, probability: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities (N, C), those of each fold (N,) by the scale fitted on the other folds' rows."""
    corrected = np.empty_like(probability, dtype=float)
    for held_out in np.unique(fold):
        rows = fold == held_out
        corrected[rows] = apply_scale(probability[rows], fit_scale(target[~rows], probability[~rows]))
    return corrected


class _Ranking:
    """LWLRAP (kit.competition.scores) of the P true labels (N, C), where one class's logits change at a time.

    That class ranks above another label or not, so the label's rank changes by one place at most: a step costs P, and C
    for each label of the class itself, where ranking all rows anew costs N x C. A fit of 21,375 rows of 264 classes
    takes 11 s, and not hours.
    """

    def __init__(self, true: np.ndarray, logit: np.ndarray):
        self.true, self.logit = true, logit.copy()
        self.row, self.label = np.nonzero(true)
        at_least = logit[self.row] >= logit[true][:, None]  # (P, C) that rank as high as the label or higher
        self.among, self.hits = at_least.sum(1), (at_least & true[self.row]).sum(1)  # of all classes, of true ones

    def moved(self, number: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classes as high as each label (P,), and true ones of them (P,), with a class's logits (N,) replaced."""
        labels = self.logit[self.row, self.label]
        change = (values[self.row] >= labels).astype(int) - (self.logit[self.row, number] >= labels)
        among, hits = self.among + change, self.hits + change * self.true[self.row, number]
        own = self.label == number
        row = self.row[own]
        logit = self.logit[row]
        logit[:, number] = values[row]
        at_least = logit >= values[row][:, None]
        among[own], hits[own] = at_least.sum(1), (at_least & self.true[row]).sum(1)
        return among, hits

    def score(self, number: int, values: np.ndarray) -> float:
        among, hits = self.moved(number, values)
        return (hits / among).mean()

    def move(self, number: int, values: np.ndarray) -> None:
        self.among, self.hits = self.moved(number, values)
        self.logit[:, number] = values
