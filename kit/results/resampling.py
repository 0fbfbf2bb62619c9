"""A metric, or a difference of two, on clusters drawn with replacement.

A metric with `per_row` is a ratio of sums: each prediction's totals and weights are summed by cluster once, and a
resample adds up some of them. Numerator and denominator are kept for each prediction alone, because the denominator
may depend on it (micro precision divides by what that very prediction called). Of the kit's macro metrics the rows are
ranked, or counted, once, and a resample is weights of theirs. Any other metric is called anew.
"""

from typing import Any

import numpy as np

from kit.competition.metrics import Metric, cmap, f1_macro, padded_cmap, precision, roc_auc
from kit.results.weighted_auc import WeightedRocAuc
from kit.results.weighted_scores import WeightedCmap, WeightedPaddedCmap, weighted_f1_macro, weighted_precision

ELEMENTS = 2**22  # numbers drawn at once, which bounds the memory
WEIGHTED: dict[Any, Any] = {  # by a metric's function, what scores weighted rows
    cmap: WeightedCmap,
    f1_macro: weighted_f1_macro,
    padded_cmap: WeightedPaddedCmap,
    precision: weighted_precision,
    roc_auc: WeightedRocAuc,
}


class Contrast:
    """The sum of factor * metric(target, probability) over `parts`, as a whole and on drawn clusters.

    target (N,) or (N, C); parts holds (factor, probability (N, C)); members (N,) is the cluster number of each row.
    value is the contrast on all rows, n_clusters the number G of clusters.
    """

    def __init__(self, target: np.ndarray, parts: list[tuple[float, np.ndarray]], metric: Metric, members: np.ndarray):
        self.target, self.parts, self.metric, self.members = target, parts, metric, members
        self.n_clusters = int(members.max()) + 1
        scores = [metric(target, probability) for _, probability in parts]
        self.value = float(sum(factor * score for (factor, _), score in zip(parts, scores, strict=True)))
        self._sums = None if metric.per_row is None else self._cluster_sums(scores)
        weighted = WEIGHTED.get(metric.function) if self._sums is None else None
        self._weighted = weighted and [(factor, weighted(target, probability)) for factor, probability in parts]
        self.n_weighted = self.n_clusters  # clusters that bear on the score at all, as far as it can be known
        if self._sums is not None:
            self.n_weighted = int(np.any([weights > 0 for _, weights, _ in self._sums], axis=0).sum())
        self._rows = np.split(np.argsort(members, kind="stable"), np.cumsum(np.bincount(members))[:-1])

    def drawn(self, seed: int, n_resamples: int) -> np.ndarray:
        """The contrast on each of R resamples of G clusters (R,); nan where the metric is not defined there."""
        rng, batch = np.random.default_rng(seed), max(1, ELEMENTS // self.n_clusters)
        sizes = [min(batch, n_resamples - start) for start in range(0, n_resamples, batch)]
        draws = (rng.integers(0, self.n_clusters, (size, self.n_clusters)) for size in sizes)
        return np.concatenate([self._on(draw) for draw in draws])

    def contributions(self) -> np.ndarray:
        """What each cluster adds to a difference (G,), even around 0 where there is none; nan where undefined.

        Of a ratio, its total less what its weight would bring at the score of all predictions together, over the
        prediction's whole weight. Of another metric, what its absence changes (the jackknife, Efron and Tibshirani
        1993, chapter 11), as a mean over rows would have it: for such a mean both are the same.
        """
        if self._sums is not None:
            total, weight = (sum(sums[k].sum() for sums in self._sums) for k in (0, 1))
            pooled = total / weight if weight else 0.0
            shares = [(totals - pooled * weights) / (weights.sum() or 1) for totals, weights, _ in self._sums]
            whole: Any = sum(factor * share for (factor, _), share in zip(self.parts, shares, strict=True))
            return whole
        n = self.n_clusters
        without = self._on(np.array([np.delete(np.arange(n), cluster) for cluster in range(n)]))
        share = np.bincount(self.members) / len(self.members)  # of all rows
        return (1 - share) * (self.value - without) + share * self.value

    def _cluster_sums(self, scores: list[float]) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """Of each part, its totals (G,), weights (G,), and the score where no weight is drawn."""
        sums = []
        for (_, probability), score in zip(self.parts, scores, strict=True):
            total, weight = self.metric.terms(self.target, probability)
            empty = self._score(np.flatnonzero(weight == 0), probability) if (weight == 0).any() else np.nan
            ratio = total.sum() / weight.sum() if weight.any() else empty
            if not np.isclose(ratio, score, rtol=1e-6, atol=1e-9):
                raise ValueError(
                    f"per_row of metric {self.metric.name} must give its score as sum(total) / sum(weight), "
                    f"got {ratio:g} for {score:g}"
                )
            sums.append((np.bincount(self.members, total), np.bincount(self.members, weight), empty))
        return sums

    def _on(self, drawn: np.ndarray) -> np.ndarray:
        """The contrast (R,) on the clusters drawn (R, n)."""
        if self._weighted:
            size = max(1, ELEMENTS // len(self.members))
            return np.concatenate([self._of_weights(drawn[n : n + size]) for n in range(0, len(drawn), size)])
        if self._sums is None:
            return np.array([self._of_rows(clusters) for clusters in drawn])
        value = np.zeros(len(drawn))
        for (factor, _), (totals, weights, empty) in zip(self.parts, self._sums, strict=True):
            total, weight = totals[drawn].sum(1), weights[drawn].sum(1)
            value += factor * np.where(weight > 0, total / np.where(weight > 0, weight, 1), empty)
        return value

    def _of_weights(self, drawn: np.ndarray) -> np.ndarray:
        counts = np.stack([np.bincount(clusters, minlength=self.n_clusters) for clusters in drawn], axis=1)  # (G, R)
        weights = counts[self.members].astype(float)  # (N, R)
        whole: Any = sum(factor * score(weights) for factor, score in self._weighted)
        return whole

    def _of_rows(self, clusters: np.ndarray) -> float:
        rows = np.concatenate([self._rows[cluster] for cluster in clusters])
        return sum(factor * self._score(rows, probability) for factor, probability in self.parts)

    def _score(self, rows: np.ndarray, probability: np.ndarray) -> float:
        """The metric on some rows, nan where it refuses them: no label among them, no class with both labels, …"""
        try:
            return self.metric(self.target[rows], probability[rows])
        except ValueError:
            return np.nan
