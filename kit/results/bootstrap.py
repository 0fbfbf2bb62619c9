"""How sure is a score, or a difference of two? 95 % intervals by the bootstrap, over rows or whole clusters.

What is resampled must be independent (Efron and Tibshirani 1993, chapter 8), so rows that share a speaker or a
recording are drawn together. With few clusters the percentile interval is too short; its level is raised so that it
keeps its promise: the expanded percentile interval of Hesterberg 2015 (arXiv 1411.5279), n being the clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kit.competition.metrics import METRICS, ROW_TERMS

N_RESAMPLES = 2000  # from seed to seed an interval's ends then move by some 1.5 % of its width
ELEMENTS = 2**22  # numbers drawn at once, which bounds the memory

Metric = str | Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Interval:
    """A score and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Difference:
    """metric(A) - metric(B), its 95 % interval, and the two-sided p of no difference."""

    delta: float
    low: float
    high: float
    p: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.delta:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def interval(
    target: np.ndarray,
    probability: np.ndarray,
    metric: Metric,
    clusters: np.ndarray | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Interval:
    """The metric over all rows with its 95 % interval.

    target (N,) or (N, C) as in kit.competition.metrics; probability (N, C), or (S, N, C) for S seeds of one experiment,
    whose scores are averaged; metric a name in METRICS or a function(target, probability) -> float; clusters (N,)
    what each row belongs to, or None where rows are independent.
    """
    value, found, _ = _bootstrap(target, [(1, probability)], metric, clusters, (seed, n_resamples))
    return Interval(value, *map(float, found.confidence_interval))


def paired(
    target: np.ndarray,
    prob_a: np.ndarray,
    prob_b: np.ndarray,
    metric: Metric,
    clusters: np.ndarray | None = None,
    *,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Difference:
    """metric(A) - metric(B) on the same rows, drawn together; arguments as in `interval`.

    For log loss, where lower is better, a negative difference speaks for A.
    """
    contrast = [(1, prob_a), (-1, prob_b)]
    value, found, n_clusters = _bootstrap(target, contrast, metric, clusters, (seed, n_resamples))
    p = _p_value(found.bootstrap_distribution, n_clusters)
    return Difference(value, *map(float, found.confidence_interval), p)


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values (K,) of K comparisons (Holm 1979): below 0.05 for some where none differs in at most 5 %."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)  # smallest p times K, the next times K - 1, …
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(steps).clip(max=1)
    return adjusted


def metric_function(metric: Metric) -> Callable[[np.ndarray, np.ndarray], float]:
    """The function of a metric's name; a function as it is."""
    if isinstance(metric, str) and metric not in METRICS:
        raise ValueError(f"metric must be a function or one of {', '.join(METRICS)}, got {metric!r}")
    return METRICS[metric] if isinstance(metric, str) else metric


def _bootstrap(target, contrast, metric, clusters, drawing):
    """The signed sum of the metric over `contrast`, scipy's result for it, and the number of clusters drawn from."""
    target = np.asarray(target)
    contrast = [(sign, _stacked(probability, len(target))) for sign, probability in contrast]
    members = _members(clusters, len(target))
    function = metric_function(metric)
    vectorized = isinstance(metric, str) and metric in ROW_TERMS
    if vectorized:
        data, statistic = _cluster_sums(target, contrast, ROW_TERMS[metric], members), _ratio
    else:
        data = (np.arange(members.max() + 1),)
        statistic = _over_rows(target, contrast, function, members)
    n_clusters = len(data[0])
    if n_clusters < 2:
        raise ValueError(f"a bootstrap must have at least 2 clusters, got {n_clusters}")
    seed, n_resamples = drawing
    found = stats.bootstrap(
        data,
        statistic,
        paired=True,
        vectorized=vectorized,
        n_resamples=n_resamples,
        batch=max(1, ELEMENTS // n_clusters),
        confidence_level=_expanded_level(n_clusters),
        method="percentile",
        random_state=np.random.default_rng(seed),  # scipy 1.15 named it rng, and takes both
    )
    return float(statistic(*data)), found, n_clusters


def _cluster_sums(target, contrast, terms, members):
    """Each cluster's total and weight, both (G,): the ratio of their sums is the contrast. Weightless ones are out."""
    total = np.zeros(len(target))
    for sign, seeds in contrast:
        for probability in seeds:
            row_total, weight = terms(target, probability)
            total += sign * row_total / len(seeds)
    totals, weights = np.bincount(members, total), np.bincount(members, weight)
    return totals[weights > 0], weights[weights > 0]


def _ratio(totals: np.ndarray, weights: np.ndarray, axis: int = -1) -> np.ndarray:
    return totals.sum(axis) / weights.sum(axis)


def _over_rows(target, contrast, function, members):
    """The contrast as a function of cluster numbers: any metric, at the price of calling it for each resample."""
    rows_of = np.split(np.argsort(members, kind="stable"), np.cumsum(np.bincount(members))[:-1])

    def statistic(drawn: np.ndarray) -> float:
        rows = np.concatenate([rows_of[int(cluster)] for cluster in drawn])
        value = sum(
            sign * np.mean([function(target[rows], probability[rows]) for probability in seeds])
            for sign, seeds in contrast
        )
        if not np.isfinite(value):
            raise ValueError(f"metric must be finite on every resample, got {value}")
        return value

    return statistic


def _stacked(probability: np.ndarray, n_rows: int) -> np.ndarray:
    """(S, N, C), S being 1 where there is one seed."""
    probability = np.asarray(probability)
    stacked = probability[None] if probability.ndim == 2 else probability
    if stacked.ndim != 3 or stacked.shape[1] != n_rows:
        raise ValueError(f"probability must hold the target's {n_rows} rows, got shape {probability.shape}")
    return stacked


def _members(clusters: np.ndarray | None, n_rows: int) -> np.ndarray:
    """The cluster number (N,) of each row."""
    if clusters is None:
        return np.arange(n_rows)
    if np.shape(clusters) != (n_rows,):
        raise ValueError(f"clusters must have shape ({n_rows},), got {np.shape(clusters)}")
    return np.unique(clusters, return_inverse=True)[1]


def _expanded_level(n: int) -> float:
    """The level at which a percentile interval of n clusters covers 95 %: 0.9785 at 12, 0.9507 at 600."""
    t = stats.t.ppf(0.975, n - 1)
    return float(1 - 2 * stats.norm.sf(t * np.sqrt(n / (n - 1))))


def _p_value(distribution: np.ndarray, n: int) -> float:
    """Below 0.05 where the expanded interval leaves 0 out: the tail beyond 0, back through the same expansion."""
    beyond = min((distribution <= 0).sum(), (distribution >= 0).sum())
    tail = min(0.5, (1 + beyond) / (1 + len(distribution)))
    t = stats.norm.isf(tail) / np.sqrt(n / (n - 1))
    return float(min(1, 2 * stats.t.sf(t, n - 1)))
