"""A run's probabilities where a submission lists labels: by thresholds that were chosen on other rows.

What a threshold gains on the rows that it was chosen on is partly optimism, so that a fold's rows are scored by one
from the other folds'.
"""

from dataclasses import replace

import numpy as np

from kit.competition.metrics import MetricLike
from kit.competition.threshold import at_half, best_threshold
from kit.training.runs import Run


def thresholded(run: Run, metric: MetricLike = "f1_rows") -> tuple[Run, float]:
    """The run with the probabilities of each fold moved by `at_half`, and the threshold of all of its rows.

    A fold's threshold is chosen on the other folds' rows, and is 0.5 where there are none.
    """
    target, probability, folds = run.target, run.probability, run.oof["fold"].to_numpy()
    if target.ndim == 1:
        raise ValueError(f"run {run.name}: its rows must have several labels for a threshold to be chosen, got one")
    moved = np.empty_like(probability)
    for fold in np.unique(folds):
        rows = folds == fold
        moved[rows] = at_half(probability[rows], best_threshold(target[~rows], probability[~rows], metric))
    oof = run.oof.copy()
    oof[run.classes] = moved
    return replace(run, oof=oof), best_threshold(target, probability, metric)
