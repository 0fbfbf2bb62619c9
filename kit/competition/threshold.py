"""From which probability on a label is named, where a submission lists labels: one number for all classes."""

import numpy as np

from kit.competition.metrics import MetricLike, as_metric

TRIED = 100  # thresholds of each of two sorts
HALF = 0.5  # from which on a metric takes a label as named


def best_threshold(target: np.ndarray, probability: np.ndarray, metric: MetricLike = "f1_rows") -> float:
    """The threshold in (0, 1] with the best score; target and probability (N, C), as in kit.competition.scores.

    Tried are quantiles of the true labels' probabilities and of the rows' highest; the lowest of equals is taken.
    0.5 where no label is true.
    """
    metric = as_metric(metric)
    true = probability[target == 1]
    if not true.size:
        return HALF
    shares = np.linspace(0, 1, TRIED)
    tried = np.unique([np.quantile(values, shares, method="lower") for values in (true, probability.max(1))])
    tried = tried[(tried > 0) & (tried <= 1)]
    if not tried.size:
        return HALF
    return float(tried[metric.best(metric(target, at_half(probability, value)) for value in tried)])


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
