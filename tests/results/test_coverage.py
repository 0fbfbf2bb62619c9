"""Each metric's 95 % interval covers the true score in 95 %, and tells equal models apart in 5 %."""

import numpy as np
import pytest

from kit.competition.metrics import METRICS
from kit.results.bootstrap import interval, paired

TRIALS, ROWS, CLASSES = 400, 8, 4
SINGLE = ("accuracy", "precision")  # of one label a row; the others are tried with several


def predictions(rng, name, n_clusters, skills):
    """target, a probability (N, C) a skill, and clusters of 8 rows: some clusters are easier, and for one more so."""
    clusters = np.repeat(np.arange(n_clusters), ROWS)
    n_rows = len(clusters)
    target = rng.integers(0, CLASSES, n_rows) if name in SINGLE else (rng.random((n_rows, CLASSES)) < 0.35).astype(int)
    side = np.eye(CLASSES)[target] if name in SINGLE else target - 0.5
    ease, noise = rng.normal(0, 0.5, n_clusters)[clusters][:, None], rng.normal(0, 0.7, (n_rows, CLASSES))
    found = []
    for skill in skills:
        own = rng.normal(0, 0.3, n_clusters)[clusters][:, None]
        logits = (skill + ease + own) * side + noise + rng.normal(0, 0.7, (n_rows, CLASSES))
        odds = np.exp(logits)
        found.append(odds / odds.sum(1, keepdims=True) if name in SINGLE else odds / (1 + odds))
    return target, found, clusters


def shares(name, n_clusters, seed=1):
    """Of 400 trials, how many intervals and differences cover the truth, and how many tell equal models apart.

    The truth is the mean over 4000 sets of the same size, as some scores (padded cmAP) depend on it.
    """
    metric, rng = METRICS[name], np.random.default_rng(seed)
    n_resamples = 1000 if metric.per_row else 250
    skills = (1.6, 1.0, 1.0)
    true = np.mean([each(metric, *predictions(rng, name, n_clusters, skills[:2])) for _ in range(4000)], axis=0)
    covered = told_covered = false_alarms = 0
    for trial in range(TRIALS):
        target, (a, b, equal), clusters = predictions(rng, name, n_clusters, skills)
        settings = {"clusters": clusters, "seed": trial, "n_resamples": n_resamples}
        score, gap = interval(target, a, name, **settings), paired(target, a, b, name, **settings)
        covered += score.low <= true[0] <= score.high
        told_covered += gap.low <= true[0] - true[1] <= gap.high
        false_alarms += paired(target, b, equal, name, **settings).excludes_zero
    return covered / TRIALS, told_covered / TRIALS, false_alarms / TRIALS


def each(metric, target, found, clusters):
    return [metric(target, probability) for probability in found]


@pytest.mark.nightly
@pytest.mark.parametrize("name", METRICS)
def test_of_24_clusters_the_interval_covers_95_percent_and_alarms_in_5(name):
    covered, gap_covered, false_alarms = shares(name, 24)
    assert 0.93 <= covered <= 0.97 and 0.93 <= gap_covered <= 0.97 and 0.03 <= false_alarms <= 0.07


@pytest.mark.nightly
@pytest.mark.parametrize("name", METRICS)
def test_of_5_clusters_the_interval_covers_90_percent(name):
    covered, gap_covered, false_alarms = shares(name, 5)
    assert covered >= 0.9 and gap_covered >= 0.9 and false_alarms <= 0.1
