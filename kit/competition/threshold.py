"""From which probability on a label is named, where a submission lists labels: one number for all classes."""

import numpy as np

from kit.competition.metrics import METRICS, RANKS_IN_CLASS, MetricLike, as_metric, plain
from kit.competition.scores import f1_rows, lwlrap

TRIED = 100  # thresholds of each of two sorts
HALF = 0.5  # from which on a metric takes a label as named
RANKS = {*RANKS_IN_CLASS, lwlrap}  # metrics to which every threshold is the same


def best_threshold(target: np.ndarray, probability: np.ndarray, metric: MetricLike = "f1_rows") -> float:
    """The threshold in (0, 1] with the best score; target and probability (N, C), as in kit.competition.scores.

    Tried are quantiles of the true labels' probabilities and of the rows' highest; the lowest of equals is taken.
    0.5 where no label is true. A metric that only ranks (ROC-AUC, LWLRAP) scores all thresholds alike and can't choose:
    f1_rows then does.
    """
    metric = as_metric(metric)
    tried = _candidates(target, probability)
    if not tried.size:
        return HALF
    if plain(metric.function) in RANKS:
        metric = METRICS["f1_rows"]
    if metric.function is f1_rows:
        return float(tried[f1_rows_at(target, probability, tried).argmax()])
    scores = [metric(target, at_half(probability, value)) for value in tried]
    if len(tried) > 1 and min(scores) == max(scores):
        return best_threshold(target, probability)
    return float(tried[metric.best(scores)])


def f1_rows_at(target: np.ndarray, probability: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """f1_rows (T,) at each of T ascending thresholds, in one pass over the pairs.

    A known pair is called at the thresholds up to its probability, so a row's calls and hits are running sums of counts
    a threshold: 200 of them for 21,375 rows of 264 classes take a second, where as many calls of f1_rows take 54.
    """
    known = (target >= 0).any(1)
    target, probability = target[known], probability[known]
    n_rows, n_tried = len(target), len(thresholds)
    row, column = np.nonzero((probability >= thresholds[0]) & (target >= 0))
    last = np.searchsorted(thresholds, probability[row, column], "right") - 1  # the highest one that calls the pair

    def called(pairs: np.ndarray | slice) -> np.ndarray:
        counts = np.bincount(row[pairs] * n_tried + last[pairs], minlength=n_rows * n_tried)
        return counts.reshape(n_rows, n_tried)[:, ::-1].cumsum(1)[:, ::-1]  # (N, T)

    either = called(slice(None)) + (target == 1).sum(1, keepdims=True)
    both = called(target[row, column] == 1)
    return np.where(either, 2 * both / np.maximum(either, 1), 1.0).mean(0)


def at_half(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Probabilities in their order, with those of at least `threshold` at 0.5 and above, and all others below.

    >>> at_half(np.array([0.0, 0.1, 0.2, 0.6, 1.0]), 0.2)
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold}")
    below = np.minimum(np.interp(probability, [0, threshold], [0, HALF]), np.nextafter(HALF, 0))
    above = np.interp(probability, [threshold, 1], [HALF, 1]) if threshold < 1 else HALF
    return np.where(probability >= threshold, above, below)


def _candidates(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Ascending thresholds to try (T,); none where no label is true."""
    true = probability[target == 1]
    if not true.size:
        return true
    shares = np.linspace(0, 1, TRIED)
    tried = np.unique([np.quantile(values, shares, method="lower") for values in (true, probability.max(1))])
    return tried[(tried > 0) & (tried <= 1)]
