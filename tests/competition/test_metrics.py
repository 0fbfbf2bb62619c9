"""The metrics against numbers worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as reference

from kit.competition.metrics import (
    METRICS,
    ROW_TERMS,
    accuracy,
    class_average_precision,
    log_loss,
    lwlrap,
    micro_precision,
    precision,
)

TARGET = np.array([0, 1, 2])
PROBABILITY = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
TAGS = np.array([[1, 0, 1], [0, 1, 0]])
TAG_PROBABILITY = np.array([[0.9, 0.6, 0.2], [0.1, 0.7, 0.4]])


@pytest.fixture
def single(rng):
    return rng.integers(0, 5, 200), rng.dirichlet(np.ones(5), 200)


@pytest.fixture
def multi(rng):
    return (rng.random((200, 6)) < 0.3).astype(int), rng.random((200, 6)).round(1)  # rounded: with ties


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_accuracy_by_hand():
    assert accuracy(TARGET, PROBABILITY) == pytest.approx(2 / 3)


def test_log_loss_by_hand():
    assert log_loss(TARGET, PROBABILITY) == pytest.approx(-np.log([0.5, 0.3, 0.8]).mean())
    right = [[0.9, 0.4, 0.2], [0.9, 0.7, 0.6]]  # the probability that each pair's truth was given
    assert log_loss(TAGS, TAG_PROBABILITY) == pytest.approx(-np.log(right).mean())


def test_a_sure_mistake_costs_a_finite_log_loss():
    assert log_loss(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]])) == pytest.approx(-np.log(1e-15) / 2)


def test_lwlrap_by_hand():
    # first row: its labels are at ranks 1 and 3, precisions 1 and 2/3; second: rank 1; three labels in all
    assert lwlrap(TAGS, TAG_PROBABILITY) == pytest.approx((1 + 2 / 3 + 1) / 3)
    # one label a row: the mean of 1 / rank
    assert lwlrap(TARGET, PROBABILITY) == pytest.approx((1 + 1 / 2 + 1) / 3)


def test_precision_by_hand():
    assert precision(TAGS, TAG_PROBABILITY) == pytest.approx(2 / 3)  # 0.9 and 0.7 are right, 0.6 is wrong
    # predicted 0, 0, 2: class 0 is right once of twice, class 1 never predicted, class 2 right
    assert precision(TARGET, PROBABILITY) == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert precision(TAGS, np.full((2, 3), 0.5)) == pytest.approx(3 / 6)  # 0.5 counts as predicted
    assert precision(TAGS, np.full((2, 3), 0.49)) == 0


def test_unknown_pairs_are_left_out_and_for_lwlrap_are_no_labels():
    known = np.array([[1, -1, 1], [-1, 1, 0]])
    assert micro_precision(known, TAG_PROBABILITY) == 1  # 0.6 is of a pair that nobody checked
    assert micro_precision(known, TAG_PROBABILITY, threshold=0.4) == pytest.approx(2 / 3)
    assert micro_precision(known, TAG_PROBABILITY, threshold=0.95) == 0
    assert log_loss(known, TAG_PROBABILITY) == pytest.approx(-np.log([0.9, 0.2, 0.7, 0.6]).mean())
    assert lwlrap(known, TAG_PROBABILITY) == lwlrap(TAGS, TAG_PROBABILITY)


def test_each_classs_average_precision_by_hand():
    target = np.array([[1, 0, -1], [0, 0, 1], [1, -1, 0]])
    probability = np.array([[0.9, 0.1, 0.9], [0.5, 0.2, 0.3], [0.4, 0.3, 0.8]])
    found = class_average_precision(target, probability)
    assert found[0] == pytest.approx((1 + 2 / 3) / 2) and np.isnan(found[1])
    assert found[2] == pytest.approx(1 / 2)  # without its unknown row, second of two


def test_average_precision_agrees_with_scikit_learn(multi):
    expected = reference.average_precision_score(*multi, average=None)
    assert class_average_precision(*multi) == pytest.approx(expected)


def test_single_labels_agree_with_scikit_learn(single):
    target, probability = single
    predicted = probability.argmax(1)
    assert accuracy(target, probability) == pytest.approx(reference.accuracy_score(target, predicted))
    assert log_loss(target, probability) == pytest.approx(reference.log_loss(target, probability, labels=range(5)))
    macro = reference.precision_score(target, predicted, average="macro", zero_division=0)
    assert precision(target, probability) == pytest.approx(macro)


def test_lwlrap_agrees_with_scikit_learn(multi):
    target, probability = multi
    expected = reference.label_ranking_average_precision_score(target, probability, sample_weight=target.sum(1))
    assert lwlrap(target, probability) == pytest.approx(expected)


@pytest.mark.parametrize("name", ROW_TERMS)
def test_a_metric_is_the_ratio_of_its_row_terms(name, single, multi):
    for target, probability in (single, multi):
        if name == "accuracy" and target.ndim == 2:
            continue
        total, weight = ROW_TERMS[name](target, probability)
        assert total.shape == weight.shape == (len(target),)
        assert total.sum() / weight.sum() == pytest.approx(METRICS[name](target, probability))


def test_rows_without_labels_add_nothing_to_lwlrap():
    target, probability = np.vstack([TAGS, [[0, 0, 0]]]), np.vstack([TAG_PROBABILITY, [[0.2, 0.9, 0.4]]])
    assert lwlrap(target, probability) == pytest.approx(lwlrap(TAGS, TAG_PROBABILITY))
    total, weight = ROW_TERMS["lwlrap"](target, probability)
    assert total[2] == weight[2] == 0


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_rows_does_not_matter_and_inputs_stay(name, single, rng):
    target, probability = single
    kept, order = probability.copy(), rng.permutation(len(target))
    assert METRICS[name](target[order], probability[order]) == pytest.approx(METRICS[name](target, probability))
    assert type(METRICS[name](target, probability)) is float
    assert (probability == kept).all()


@pytest.mark.parametrize(
    ("target", "probability", "message"),
    [
        ([0], [0.5, 0.5], r"probability must have shape \(N, C\), got \(2,\)"),
        ([], np.zeros((0, 3)), r"probability must have shape \(N, C\), got \(0, 3\)"),
        ([0, 1], PROBABILITY, r"target must have shape \(3,\) or \(3, 3\), got \(2,\)"),
        ([0, 1, 3], PROBABILITY, "target must hold whole numbers from 0 to 2, got 0 to 3"),
        ([0, 1, 0.5], PROBABILITY, "target must hold whole numbers from 0 to 2, got 0.0 to 1.0"),
        (np.full((3, 3), 2), PROBABILITY, "target must hold whole numbers from -1 to 1, got 2 to 2"),
        ([0], [[0.5, np.nan]], "probability must be finite, got nan in row 0, class 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(target, probability, message):
    for metric in METRICS.values():
        with pytest.raises(ValueError, match=message):
            metric(target, probability)


def test_what_one_metric_cannot_score_is_refused():
    with pytest.raises(ValueError, match=r"accuracy needs one label a row, target \(N,\), got shape \(2, 3\)"):
        accuracy(TAGS, TAG_PROBABILITY)
    with pytest.raises(ValueError, match=r"probability must be in \[0, 1\], got -1 to 3"):
        log_loss([0], [[3.0, -1.0]])
    with pytest.raises(ValueError, match="target must have at least one true label, got none"):
        lwlrap(np.zeros((2, 3)), TAG_PROBABILITY)
