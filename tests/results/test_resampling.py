"""By its sums a metric is resampled as by its calls."""

import numpy as np
import pytest

from kit.competition.metrics import METRICS, Metric, as_metric
from kit.competition.scores import accuracy, accuracy_terms, lwlrap
from kit.results.bootstrap import interval, paired
from kit.results.resampling import Contrast


def predictions(rng, target, n_classes=4):
    truth = target if target.ndim == 2 else np.eye(n_classes)[target]
    return 1 / (1 + np.exp(-rng.normal(1.5 * truth - 1, 1)))


def example(name, seed=0, n_rows=60, n_groups=9):
    """target, A, B (2 seeds of each) and clusters; several labels a row, some unknown, but for accuracy."""
    rng = np.random.default_rng(seed)
    if name in ("accuracy", "precision"):
        target = rng.integers(0, 4, n_rows)
    else:
        target = rng.choice([-1, 0, 1], (n_rows, 4), p=[0.1, 0.6, 0.3])
    sides = [np.stack([predictions(rng, target) for _ in range(2)]) for _ in "ab"]
    return target, *sides, rng.permutation(np.arange(n_rows) % n_groups)


@pytest.mark.parametrize("name", METRICS)
def test_by_name_and_by_function_are_the_same(name):
    target, a, b, groups = example(name)
    called = Metric(lambda target, probability: METRICS[name].function(target, probability))
    settings = {"clusters": groups, "seed": 3, "n_resamples": 40}
    by_name, by_call, by_function = (
        paired(target, a, b, metric, **settings) for metric in (name, called, METRICS[name].function)
    )
    assert vars(by_name) | {"p": 0} == pytest.approx(vars(by_call) | {"p": 0}, abs=1e-12) and by_function == by_name
    by_name, by_call = (interval(target, a, metric, **settings) for metric in (name, called))
    assert vars(by_name) == pytest.approx(vars(by_call), abs=1e-12)
    sides = [(1.0, a[0]), (-1.0, b[0])]
    by_name, by_call = (Contrast(target, sides, as_metric(metric), np.arange(60)) for metric in (name, called))
    assert by_name.drawn(3, 40) == pytest.approx(by_call.drawn(3, 40), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_the_value_is_the_metrics_own(name):
    target, a, b, groups = example(name, seed=1)
    metric = METRICS[name]
    mean_a, mean_b = (np.mean([metric(target, seed) for seed in side]) for side in (a, b))
    found = paired(target, a, b, name, groups, n_resamples=20)
    assert found.delta == pytest.approx(mean_a - mean_b)
    assert interval(target, b, name, groups, n_resamples=20).value == pytest.approx(mean_b)


def test_p_by_function_is_that_by_name_of_a_mean_over_rows():
    target, a, b, groups = example("accuracy", n_rows=60)  # clusters of six and seven rows
    called = Metric(lambda target, probability: accuracy(target, probability))
    by_name, by_call = (paired(target, a, b, metric, groups, n_resamples=40).p for metric in ("accuracy", called))
    assert by_name == by_call


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.per_row])
def test_contributions_sum_to_the_difference(name):
    target, a, b, groups = example(name, seed=2)
    contrast = Contrast(target, [(1.0, a[0]), (-1.0, b[0])], METRICS[name], groups)
    assert contrast.contributions().sum() == pytest.approx(contrast.value)
    turned = Contrast(target, [(1.0, b[0]), (-1.0, a[0])], METRICS[name], groups)
    assert turned.contributions() == pytest.approx(-contrast.contributions())


def test_the_jackknifes_contributions_by_hand():
    """Two clusters of two rows: right 2 and 1 by A, 0 and 1 by B; without a cluster the differences are 0 and 1."""
    hits = {"a": [1, 1, 1, 0], "b": [0, 0, 1, 0]}
    a, b = (np.stack([hit, 1 - np.array(hit)], 1).astype(float) for hit in hits.values())
    for metric in (METRICS["accuracy"], Metric(lambda target, probability: accuracy(target, probability))):
        contrast = Contrast(np.zeros(4, int), [(1.0, a), (-1.0, b)], metric, np.array([0, 0, 1, 1]))
        assert contrast.value == 0.5 and contrast.contributions() == pytest.approx([0.5, 0])


def test_resamples_that_the_metric_refuses_are_left_out_by_sums_and_by_calls():
    target = np.zeros((6, 3), int)
    target[[0, 1, 2], [0, 1, 2]] = 1  # rows 3 to 5 have no label
    probability = np.random.default_rng(0).random((6, 3))
    called = Metric(lambda target, probability: lwlrap(target, probability))
    sums, calls = (Contrast(target, [(1.0, probability)], m, np.arange(6)) for m in (METRICS["lwlrap"], called))
    by_sums, by_calls = sums.drawn(0, 500), calls.drawn(0, 500)
    assert 0 < np.isnan(by_sums).sum() < 30  # 1 in 64
    np.testing.assert_allclose(by_sums, by_calls)
    assert (sums.n_weighted, calls.n_weighted) == (3, 6)


def test_a_cluster_has_weight_where_either_prediction_has():
    """Of three rows, A calls something in the first, B in the second."""
    a, b = (np.where(np.arange(3)[:, None] == row, [[0.9, 0.1]], [[0.1, 0.1]]) for row in (0, 1))
    contrast = Contrast(np.ones((3, 2), int), [(1.0, a), (-1.0, b)], METRICS["micro_precision"], np.arange(3))
    assert (contrast.n_weighted, contrast.n_clusters, contrast.value) == (2, 3, 0)


def test_inputs_stay_and_few_elements_at_once_change_nothing(monkeypatch):
    target, a, _, groups = example("micro_precision")
    kept = target.copy(), a.copy()
    whole = Contrast(target, [(1.0, a[0])], METRICS["micro_precision"], groups).drawn(7, 100)
    weighted = Contrast(target, [(1.0, a[0])], METRICS["cmap"], groups).drawn(7, 30)  # sums may round otherwise
    monkeypatch.setattr("kit.results.resampling.ELEMENTS", 8 * 9)  # 8 resamples of 9 clusters
    assert Contrast(target, [(1.0, a[0])], METRICS["cmap"], groups).drawn(7, 30) == pytest.approx(weighted, rel=1e-12)
    assert Contrast(target, [(1.0, a[0])], METRICS["micro_precision"], groups).drawn(7, 100).tolist() == whole.tolist()
    assert (target == kept[0]).all() and (a == kept[1]).all()


def test_row_terms_of_another_metric_are_refused():
    target, a, _, groups = example("accuracy")
    wrong = Metric(lambda target, probability: 2 * accuracy(target, probability), per_row=accuracy_terms)
    with pytest.raises(
        ValueError, match=r"per_row of metric <lambda> must give its score as sum\(total\) / sum\(weight\)"
    ):
        Contrast(target, [(1.0, a[0])], wrong, groups)


def test_other_errors_than_a_refusal_are_not_swallowed():
    target, a, _, groups = example("accuracy")
    calls = []

    def broken(target, probability):
        calls.append(1)
        if len(calls) > 1:
            raise KeyError("gone")
        return 0.5

    with pytest.raises(KeyError, match="gone"):
        interval(target, a[0], broken, groups)
