"""How sure is a score, or a difference of two? 95 % intervals by the bootstrap, over rows or whole clusters.

What is resampled must be independent (Efron and Tibshirani 1993, chapter 8), so rows that share a speaker or a
recording are drawn together. With few clusters the percentile interval is too short; its level is raised so that it
keeps its promise: the expanded percentile interval of Hesterberg 2015 (arXiv 1411.5279), n being the clusters.
Resamples of a handful of clusters can't leave the range of the clusters themselves, so that no level would do (of 3, 72
% of such intervals cover, of 5 91 %): below 50 the interval reaches at least as far as Student's, the standard error
that of the resamples (of 3 to 6, 92 % and more; of 24, 95 % on average over metrics instead of 94 %). Of a ratio of
sums, clusters without weight (no label in them, nothing called) are not counted: they are no evidence.
Where every resample gives the same (all rows right, or none), the bootstrap would tell of no doubt at all. There the
interval is the exact one of Clopper and Pearson 1934: had more than 1 - 0.025^(1/n) of all clusters been otherwise, n
of the same kind would be drawn in less than 2.5 %; and those others may score as low or as high as the metric goes.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from kit.competition.metrics import MetricLike, as_metric
from kit.results.resampling import Contrast
from kit.results.significance import FEW, bootstrap_p, expanded_level, holm, sign_flip_p, smallest_p

__all__ = ["N_RESAMPLES", "Difference", "Interval", "holm", "interval", "paired", "smallest_p"]

SPARSE = 50  # clusters below which the interval is widened to Student's
N_RESAMPLES = 2000  # from seed to seed an interval's ends then move by some 1.5 % of its width


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
    metric: MetricLike,
    clusters: np.ndarray | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Interval:
    """The metric over all rows with its 95 % interval.

    target (N,) or (N, C) as in kit.competition.scores; probability (N, C), or (S, N, C) for S seeds of one experiment,
    whose scores are averaged; metric a Metric, a name in METRICS or a function(target, probability) -> float; clusters
    (N,) what each row belongs to, or None where rows are independent.
    """
    contrast = _contrast(target, [(1, probability)], metric, clusters)
    bounds = contrast.metric.bounds
    return Interval(contrast.value, *_ends(contrast, _drawn(contrast, seed, n_resamples), bounds))


def paired(
    target: np.ndarray,
    prob_a: np.ndarray,
    prob_b: np.ndarray,
    metric: MetricLike,
    clusters: np.ndarray | None = None,
    *,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Difference:
    """metric(A) - metric(B) on the same rows, drawn together; arguments as in `interval`.

    For log loss, where lower is better, a negative difference speaks for A.
    With fewer than 100 clusters that have weight p is that of an exact test by sign flips, which can't fall below
    2 / 2^G of G clusters (`smallest_p`): with five it says nothing, although the interval may leave 0 out.
    """
    contrast = _contrast(target, [(1, prob_a), (-1, prob_b)], metric, clusters)
    if np.array_equal(prob_a, prob_b):
        return Difference(0.0, 0.0, 0.0, 1.0)
    bounds = contrast.metric.bounds
    reach = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
    drawn = _drawn(contrast, seed, n_resamples)
    n = contrast.n_weighted
    p = sign_flip_p(contrast.contributions(), seed) if n < FEW else bootstrap_p(drawn, n)
    return Difference(contrast.value, *_ends(contrast, drawn, reach), p)


def _contrast(target, sides, metric, clusters) -> Contrast:
    """The signed sum of the metric over `sides`, pairs of a sign and a probability (N, C) or (S, N, C)."""
    target = np.asarray(target)
    stacks = [(sign, _stacked(probability, len(target))) for sign, probability in sides]
    parts = [(sign / len(seeds), probability) for sign, seeds in stacks for probability in seeds]
    contrast = Contrast(target, parts, as_metric(metric), _members(clusters, len(target)))
    if contrast.n_clusters < 2:
        raise ValueError(f"a bootstrap must have at least 2 clusters, got {contrast.n_clusters}")
    return contrast


def _drawn(contrast: Contrast, seed: int, n_resamples: int) -> np.ndarray:
    """The contrast on the resamples where it is defined, which must be most."""
    drawn = contrast.drawn(seed, n_resamples)
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < len(drawn) and contrast.n_weighted < 2:
        raise ValueError(f"a bootstrap must have at least 2 clusters that can be scored, got {contrast.n_weighted}")
    if 2 * len(defined) <= len(drawn):
        raise ValueError(
            f"metric {contrast.metric.name} must be defined on most resamples of {contrast.n_clusters} clusters, "
            f"got {len(defined)} of {len(drawn)}"
        )
    return defined


def _ends(contrast: Contrast, drawn: np.ndarray, reach: tuple[float, float] | None) -> tuple[float, float]:
    """The interval's two ends; reach is the lowest and the highest value that there can be, None where unknown."""
    value, n = contrast.value, contrast.n_weighted  # a cluster without weight is no evidence
    alike = reach is not None and np.ptp(drawn) <= 1e-12 * (reach[1] - reach[0])  # the same but for rounding
    if reach is not None and (alike or n < 2):
        unseen = 1 - 0.025 ** (1 / n) if n else 1.0  # the largest share of other clusters
        return value - unseen * (value - reach[0]), value + unseen * (reach[1] - value)
    n = max(2, n)
    tail = (1 - expanded_level(n)) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    if n < SPARSE:
        half = stats.t.ppf(0.975, n - 1) * drawn.std() * np.sqrt(n / (n - 1))
        low, high = min(low, value - half), max(high, value + half)
        low, high = (low, high) if reach is None else np.clip((low, high), *reach)
    return float(low), float(high)


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
