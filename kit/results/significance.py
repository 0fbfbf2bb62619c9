"""How small is the chance of such a difference where there is none: p, its floor, and its correction for many.

With few clusters p comes from an exact test: where two predictions do not differ, what a cluster adds to the difference
is as likely to be positive as negative, so all 2^G signs are tried (Fisher 1935; Good 2005, chapter 3).
A bootstrap's tail can't be trusted there, and its number of resamples bounds it: 2000 leave a p of 0.008 at best of 13
clusters. With more clusters p is that tail, so that it says the same as the interval.
"""

import numpy as np
from scipy import stats

FEW = 100  # clusters below which signs are flipped
FLIPS = 2**14  # sign vectors; up to 15 clusters these are all that differ
BATCH = 2**12


def sign_flip_p(contributions: np.ndarray, seed: int = 0) -> float:
    """The two-sided p that contributions (G,) sum as far from 0 as they do, were each as likely of the other sign.

    Exact up to 15 clusters that contribute; above, from 16,384 random sign vectors, the given one among them.
    """
    rounding = 1e-12 * np.abs(contributions).sum()  # what sums of other order differ by
    contributions = contributions[np.abs(contributions) > rounding]  # a contribution of 0 is the same of either sign
    n, observed = len(contributions), abs(contributions.sum())
    least = observed - rounding
    half = 2 ** max(0, n - 1)  # a sign vector and its opposite sum to the same distance
    exact = half <= FLIPS
    rng, n_flips, reached = np.random.default_rng(seed), half if exact else FLIPS - 1, 0
    for start in range(0, n_flips, BATCH):
        numbers = np.arange(start, min(start + BATCH, n_flips))
        negative = (
            numbers[:, None] >> np.arange(n) & 1 if exact else rng.integers(0, 2, (len(numbers), n), dtype=np.int8)
        )
        reached += int((np.abs((1 - 2 * negative) @ contributions) >= least).sum())
    return reached / n_flips if exact else (1 + reached) / (1 + n_flips)


def bootstrap_p(distribution: np.ndarray, n_clusters: int) -> float:
    """Below 0.05 where the expanded interval leaves 0 out: the tail beyond 0, back through the same expansion."""
    beyond = min((distribution <= 0).sum(), (distribution >= 0).sum())
    return _from_tail((1 + beyond) / (1 + len(distribution)), n_clusters)


def smallest_p(n_clusters: int, n_resamples: int) -> float:
    """The smallest p that so many clusters can give, whatever the difference: 1/16 of 5, 1/32 of 6."""
    if n_clusters < FEW:
        return 1 / min(2 ** (n_clusters - 1), FLIPS)
    return _from_tail(1 / (1 + n_resamples), n_clusters)


def expanded_level(n: int) -> float:
    """The level at which a percentile interval of n clusters covers 95 %: 0.9785 at 12, 0.9507 at 600."""
    t = stats.t.ppf(0.975, n - 1)
    return float(1 - 2 * stats.norm.sf(t * np.sqrt(n / (n - 1))))


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values (K,) of K comparisons (Holm 1979): below 0.05 for some where none differs in at most 5 %."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)  # smallest p times K, the next times K - 1, …
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(steps).clip(max=1)
    return adjusted


def _from_tail(tail: float, n: int) -> float:
    t = stats.norm.isf(min(0.5, tail)) / np.sqrt(n / (n - 1))
    return float(2 * stats.t.sf(t, n - 1))
