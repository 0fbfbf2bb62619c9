"""A metric knows its direction, its name and what it may give."""

import functools
import math
import pickle

import numpy as np
import pytest

from kit.competition.metrics import METRICS, Metric, as_metric
from kit.competition.scores import accuracy, accuracy_terms, log_loss, lwlrap, micro_precision

TARGET = np.array([0, 1, 2])
PROBABILITY = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])


def rank_hits(target, probability):
    return (probability.argsort(1)[:, -2:] == target[:, None]).any(1).mean()


def test_a_metric_gives_what_its_function_gives():
    metric = Metric(rank_hits)
    assert metric(TARGET, PROBABILITY) == 1 and type(metric(TARGET, PROBABILITY)) is float
    assert (metric.name, metric.higher_is_better, metric.per_row, metric.bounds) == ("rank_hits", True, None, None)
    assert METRICS["accuracy"](TARGET, PROBABILITY) == accuracy(TARGET, PROBABILITY) == pytest.approx(2 / 3)


def test_the_table_has_each_metric_by_its_functions_name():
    assert list(METRICS) == [metric.name for metric in METRICS.values()]
    assert {"accuracy", "log_loss", "lwlrap", "precision", "micro_precision"} <= set(METRICS)
    assert {"roc_auc", "cmap", "padded_cmap", "f1_macro", "f1_rows"} <= set(METRICS)
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["log_loss"]
    assert [name for name, metric in METRICS.items() if metric.bounds is None] == ["log_loss"]


def test_direction_by_hand():
    higher, lower = METRICS["accuracy"], METRICS["log_loss"]
    assert (higher.sign, lower.sign, higher.worst, lower.worst) == (1, -1, -math.inf, math.inf)
    assert higher.better(0.3, 0.2) and not higher.better(0.2, 0.3)
    assert lower.better(0.2, 0.3) and not lower.better(0.3, 0.2)
    for metric in (higher, lower):
        assert metric.better(0.5, metric.worst) and not metric.better(0.5, 0.5)
        assert not metric.better(math.nan, 0.5) and not metric.better(0.5, math.nan)
    assert higher.best([0.2, 0.9, 0.9, 0.1]) == 1 and lower.best([0.2, 0.9, 0.1, 0.1]) == 2
    assert lower.best(score for score in (3.0, 2.0)) == 1 and lower.best([math.inf, 7]) == 1


def test_a_name_stands_for_the_tables_metric_with_all_its_fields():
    assert Metric("log_loss") == METRICS["log_loss"] == Metric("log_loss", higher_is_better=False)
    assert Metric("accuracy", per_row=accuracy_terms) == METRICS["accuracy"]
    with pytest.raises(ValueError, match="higher_is_better of metric 'log_loss' must be left out or be its own, False"):
        Metric("log_loss", higher_is_better=True)
    with pytest.raises(ValueError, match="per_row of metric 'cmap' must be left out or be its own, None, got"):
        Metric("cmap", per_row=accuracy_terms)


def test_as_metric():
    metric = Metric(rank_hits, higher_is_better=False)
    assert as_metric(metric) is metric
    assert as_metric("cmap") is METRICS["cmap"]
    assert as_metric(log_loss) is METRICS["log_loss"]  # a known function keeps its direction
    assert as_metric(rank_hits) == Metric(rank_hits)
    for wrong in ("auc", 3, None):
        with pytest.raises(ValueError, match=f"metric must be a function or one of accuracy, .*, got {wrong!r}"):
            as_metric(wrong)
    with pytest.raises(ValueError, match="metric must be a function or one of accuracy, log_loss"):
        Metric("auc")


def test_names_of_functions_of_every_sort():
    class Hits:
        def __call__(self, target, probability):
            return 1.0

    at_three = functools.partial(micro_precision, threshold=0.3)
    assert [Metric(f).name for f in (lambda t, p: 0.0, at_three, Hits())] == ["<lambda>", "micro_precision", "Hits"]


def test_a_metric_travels_to_a_worker():
    for metric in METRICS.values():
        assert pickle.loads(pickle.dumps(metric)) == metric  # noqa: S301


def test_the_terms_are_checked():
    def given(total, weight):
        return Metric(accuracy, per_row=lambda target, probability: (total, weight)).terms(TARGET, PROBABILITY)

    total, weight = METRICS["accuracy"].terms(TARGET, PROBABILITY)
    assert total.tolist() == [1, 0, 1] and weight.tolist() == [1, 1, 1]
    assert [term.dtype for term in given([1, 0, 1], [True] * 3)] == [np.float64] * 2
    with pytest.raises(
        ValueError, match=r"per_row of metric accuracy must give two arrays \(3,\), got \(\) and \(3,\)"
    ):
        given(2.0, [1, 1, 1])
    for total, weight in (([1, np.nan, 0], [1, 1, 1]), ([1, 1, 0], [1, -1, 1])):
        with pytest.raises(ValueError, match="per_row of metric accuracy must give finite totals and weights of at"):
            given(total, weight)


@pytest.mark.parametrize("value", [np.nan, np.inf, np.array([0.5]), "0.5", None, 1j])
def test_anything_but_one_finite_number_is_refused(value):
    def half(target, probability):
        return value

    with pytest.raises(ValueError, match="metric half must give one finite number, got"):
        Metric(half)(TARGET, PROBABILITY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": 0.5}, r"function must be a function\(target, probability\), got 0.5"),
        ({"function": lambda target: 0}, "function must take two arguments, target and probability, got <lambda>"),
        ({"function": lambda a, b, c: 0}, r"got <lambda>\(a, b, c\)"),
        ({"function": lambda *, target, probability: 0}, "function must take two arguments"),
        ({"per_row": lambda target: 0}, "per_row must take two arguments, target and probability, got"),
        ({"per_row": "accuracy"}, r"per_row must be a function\(target, probability\), got 'accuracy'"),
        ({"higher_is_better": "no"}, "higher_is_better must be .*, got 'no'"),
        ({"bounds": (1, 0)}, r"bounds must be two finite numbers, the lower first, got \(1, 0\)"),
        ({"bounds": (0, math.inf)}, r"bounds must be two finite numbers, the lower first, got \(0, inf\)"),
        ({"bounds": (0, 1, 2)}, "bounds must be two finite numbers"),
    ],
)
def test_a_wrong_metric_is_refused_when_it_is_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        Metric(**{"function": rank_hits} | arguments)


@pytest.mark.parametrize("scores", [[], [0.5, math.nan]])
def test_no_score_is_the_best_of_none_or_of_nan(scores):
    with pytest.raises(ValueError, match="scores must be at least one number, none nan, got"):
        METRICS["lwlrap"].best(scores)


def test_more_arguments_with_defaults_are_fine():
    assert Metric(lwlrap).function is lwlrap and Metric(micro_precision)(np.ones((1, 2)), np.ones((1, 2))) == 1
