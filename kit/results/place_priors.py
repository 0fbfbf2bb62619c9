"""Priors by place and time: what is heard at a site, or at an hour, is likelier there again.

Of each class the share of a site's rows that have it is held against its share of all: the odds of a prediction there
are multiplied by the ratio of the two odds. A site of few rows says little, so `added` rows with the share of all are
counted with it. A site, or hour, that no labelled row is of leaves predictions as they are.
"""

from collections.abc import Callable

import numpy as np

from kit.competition.labels import UNKNOWN
from kit.competition.metrics import Metric
from kit.parts import above, at_least, part
from kit.results.post_rows import Rows
from kit.results.priors import times_odds

HOURS = 24


@part
class SitePrior:
    """Odds times (odds at the site / odds over all) ** strength; added: rows of all's share that count as a site's."""

    strength: float = 1.0
    added: float = 20.0

    def check(self):
        _check(self)

    def fit(self, rows: Rows, target: np.ndarray, metric: Metric) -> Callable[[Rows], np.ndarray]:
        sites = sorted(set(rows.site.tolist()) - {""})
        ratios = [odds_ratio(target[rows.site == site], target, self.added) for site in sites]
        ratio = {site: one**self.strength for site, one in zip(sites, ratios, strict=True)}
        neutral = np.ones(target.shape[1])

        def apply(rows: Rows) -> np.ndarray:
            scale = np.array([ratio.get(site, neutral) for site in rows.site]).reshape(rows.probability.shape)
            return times_odds(rows.probability, scale)

        return apply


@part
class HourPrior:
    """As SitePrior, by the hour of the day, with the rows of `width` hours before and after it."""

    strength: float = 1.0
    added: float = 20.0
    width: int = 1

    def check(self):
        _check(self)
        if not 0 <= self.width < HOURS // 2:
            raise ValueError(f"width must be in [0, {HOURS // 2}), got {self.width}")

    def fit(self, rows: Rows, target: np.ndarray, metric: Metric) -> Callable[[Rows], np.ndarray]:
        apart = np.abs(rows.hour - np.arange(HOURS)[:, None])  # (24, N), NaN where the hour is not known
        near = np.minimum(apart, HOURS - apart) <= self.width
        ratio = np.array([odds_ratio(target[one], target, self.added) for one in near]) ** self.strength  # (24, C)

        def apply(rows: Rows) -> np.ndarray:
            known = np.isfinite(rows.hour)
            scale = np.ones_like(rows.probability)
            scale[known] = ratio[rows.hour[known].astype(int)]
            return times_odds(rows.probability, scale)

        return apply


def odds_ratio(part: np.ndarray, target: np.ndarray, added: float) -> np.ndarray:
    """The odds of each class (C,) in a part of the rows over its odds in all of them; part (M, C), target (N, C).

    The share of all is (rows that have the class + ½) / (rows where it is known + 1); `added` rows with it count as the
    part's.
    """
    has, known = _counts(target)
    share = (has + 0.5) / (known + 1)
    has, known = _counts(part)
    there = (has + added * share) / (known + added)
    return there / (1 - there) / (share / (1 - share))


def _counts(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (target == 1).sum(0), (target != UNKNOWN).sum(0)


def _check(prior: SitePrior | HourPrior) -> None:
    at_least(prior, 0, "strength")
    above(prior, 0, "added")
