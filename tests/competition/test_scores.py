"""The scores against numbers worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as reference

from kit.competition.metrics import METRICS
from kit.competition.scores import (
    accuracy,
    class_average_precision,
    cmap,
    f1_macro,
    f1_rows,
    log_loss,
    lwlrap,
    micro_precision,
    padded_cmap,
    precision,
    roc_auc,
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


def test_a_probability_may_leave_its_range_by_rounding_alone():
    assert log_loss([0], [[1 + 5e-7, -5e-7]]) == 0
    for wrong in ([[1.0, -0.5]], [[1.5, 0.0]]):
        with pytest.raises(ValueError, match=r"^probability must be in \[0, 1\], got "):
            log_loss([0], wrong)


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


def test_roc_auc_by_hand():
    # class 0: 0.9 above 0.4, 0.2 below it: 1 of 2 pairs in order; class 1: a tie is half; class 2 has no negative
    target = np.array([[1, 1, 1], [0, 0, 1], [1, -1, 1]])
    probability = np.array([[0.9, 0.5, 0.1], [0.4, 0.5, 0.6], [0.2, 0.7, 0.8]])
    assert roc_auc(target, probability) == pytest.approx((1 / 2 + 1 / 2) / 2)
    probability[2, 1] = 0.0  # of the pair that nobody checked
    assert roc_auc(target, probability) == pytest.approx(1 / 2)
    assert roc_auc(TARGET, PROBABILITY) == pytest.approx((1 / 2 + 3 / 4 + 1) / 3)  # 0.3 ties with one of two, beats one


def test_cmap_by_hand():
    target = np.array([[1, 0, -1], [0, 0, 1], [1, -1, 0]])
    probability = np.array([[0.9, 0.1, 0.9], [0.5, 0.2, 0.3], [0.4, 0.3, 0.8]])
    assert cmap(target, probability) == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)  # the second class is never there
    # one row of ones in front: class 0 has hits at 1, 2 and 4, class 1 at 1, class 2 (of known rows) at 1 and 3
    by_class = [(1 + 1 + 3 / 4) / 3, 1, (1 + 2 / 3) / 2]
    assert padded_cmap(target, probability, 1) == pytest.approx(np.mean(by_class))
    by_class = [(5 + 1 + 7 / 8) / 7, 1, (5 + 6 / 7) / 6]
    assert padded_cmap(target, probability) == pytest.approx(np.mean(by_class))


def test_padding_calms_a_class_of_one_row():
    """Its only row last of ten: average precision 0.1 without padding, (5 + 6 / 15) / 6 with it."""
    target, probability = np.eye(10, 1, dtype=int), np.linspace(0.1, 0.9, 10)[:, None]
    assert cmap(target, probability) == pytest.approx(1 / 10)
    assert padded_cmap(target, probability) == pytest.approx((5 + 6 / 15) / 6)


def test_f1_by_hand():
    # calls: row 0 classes 0 and 1, row 1 class 1; labels: 0 and 2, 1. Class F1 1, 2/3, 0; row F1 2/4, 1
    assert f1_macro(TAGS, TAG_PROBABILITY) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert f1_rows(TAGS, TAG_PROBABILITY) == pytest.approx((1 / 2 + 1) / 2)
    # predicted 0, 0, 2 of 0, 1, 2: class F1 2/3, 0, 1; with at least 0.5: 0, 0 and 2, so rows 1, 0, 1
    assert f1_macro(TARGET, PROBABILITY) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert f1_rows(TARGET, PROBABILITY) == pytest.approx(2 / 3)


def test_a_row_without_label_and_call_is_right_and_one_that_nobody_checked_is_left_out():
    silent, unknown, shy = np.zeros((1, 3), int), np.full((1, 3), -1), np.full((1, 3), 0.1)
    assert f1_rows(silent, shy) == 1 and f1_rows(silent, shy + 0.5) == 0
    assert f1_rows(np.vstack([TAGS, silent]), np.vstack([TAG_PROBABILITY, shy])) == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert f1_rows(np.vstack([TAGS, unknown]), np.vstack([TAG_PROBABILITY, shy])) == pytest.approx((1 / 2 + 1) / 2)
    known = np.array([[1, -1, 1], [-1, 1, 0]])
    assert f1_rows(known, TAG_PROBABILITY) == pytest.approx((2 / 3 + 1) / 2)  # the call of 0.6 is left out
    assert f1_macro(known, TAG_PROBABILITY) == pytest.approx((1 + 1 + 0) / 3)


def test_roc_auc_and_cmap_agree_with_scikit_learn(multi, single):
    target, probability = multi
    assert roc_auc(*multi) == pytest.approx(reference.roc_auc_score(*multi, average="macro"))
    assert cmap(*multi) == pytest.approx(reference.average_precision_score(*multi, average="macro"))
    ones = np.ones((5, 6), int)
    padded = np.vstack([target, ones]), np.vstack([probability, ones])
    assert padded_cmap(*multi) == pytest.approx(reference.average_precision_score(*padded, average="macro"))
    one_against_rest = reference.roc_auc_score(*single, multi_class="ovr", average="macro")
    assert roc_auc(*single) == pytest.approx(one_against_rest)
    target[:, 0], target[:, 1] = 0, 1  # left out: never there, always there
    assert roc_auc(*multi) == pytest.approx(reference.roc_auc_score(target[:, 2:], probability[:, 2:]))


def test_unknown_pairs_are_left_out_as_scikit_learn_has_it_class_by_class(multi, rng):
    target, probability = multi
    target[rng.random(target.shape) < 0.3] = -1
    columns = [(labels[labels >= 0], found[labels >= 0]) for labels, found in zip(target.T, probability.T, strict=True)]
    assert roc_auc(*multi) == pytest.approx(np.mean([reference.roc_auc_score(*pair) for pair in columns]))
    assert cmap(*multi) == pytest.approx(np.mean([reference.average_precision_score(*pair) for pair in columns]))
    f1 = [reference.f1_score(labels, found >= 0.5, zero_division=0) for labels, found in columns]
    assert f1_macro(*multi) == pytest.approx(np.mean(f1))
    inner = probability.clip(0.1, 0.9)  # scikit-learn's least probability is another
    losses = [reference.log_loss(t[t >= 0], p[t >= 0], labels=[0, 1]) for t, p in zip(target.T, inner.T, strict=True)]
    assert log_loss(target, inner) == pytest.approx(np.average(losses, weights=(target >= 0).sum(0)))


def test_f1_agrees_with_scikit_learn(multi, single):
    target, probability = multi
    target[:40], probability[:20] = 0, 0.1  # rows without labels, half of them without calls
    calls = probability >= 0.5
    assert f1_macro(*multi) == pytest.approx(reference.f1_score(target, calls, average="macro", zero_division=0))
    assert f1_rows(*multi) == pytest.approx(reference.f1_score(target, calls, average="samples", zero_division=1))
    macro = reference.f1_score(single[0], single[1].argmax(1), average="macro", zero_division=0)
    assert f1_macro(*single) == pytest.approx(macro)


def test_ties_count_as_in_scikit_learn(rng):
    """Of few distinct probabilities, as a saturated sigmoid or a coarse blend gives."""
    target, probability = (rng.random((60, 5)) < 0.4).astype(int), rng.integers(0, 3, (60, 5)) / 2
    expected = reference.label_ranking_average_precision_score(target, probability, sample_weight=target.sum(1))
    assert lwlrap(target, probability) == pytest.approx(expected)
    assert roc_auc(target, probability) == pytest.approx(reference.roc_auc_score(target, probability))
    assert cmap(target, probability) == pytest.approx(reference.average_precision_score(target, probability))
    constant = np.full((60, 5), 0.7)
    assert roc_auc(target, constant) == 0.5
    assert cmap(target, constant) == pytest.approx(target.mean(0).mean())
    assert lwlrap(target, constant) == pytest.approx((target.sum(1) ** 2).sum() / 5 / target.sum())


def test_a_sigmoid_in_float32_ties_what_its_logits_order():
    logits, target = np.array([[19.0, 18.0, 17.0]]), np.array([[1, 0, 0]])
    single, double = (1 / (1 + np.exp(-logits.astype(dtype))) for dtype in (np.float32, np.float64))
    assert (single == 1).all() and lwlrap(target, single) == pytest.approx(1 / 3)  # a tie is at its worst place
    assert lwlrap(target, double) == lwlrap(target, logits) == 1


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


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.per_row])
def test_a_metric_is_the_ratio_of_its_row_terms(name, single, multi):
    for target, probability in (single, multi):
        if name == "accuracy" and target.ndim == 2:
            continue
        total, weight = METRICS[name].terms(target, probability)
        assert total.shape == weight.shape == (len(target),)
        assert total.sum() / weight.sum() == pytest.approx(METRICS[name](target, probability))


def test_rows_without_labels_add_nothing_to_lwlrap():
    target, probability = np.vstack([TAGS, [[0, 0, 0]]]), np.vstack([TAG_PROBABILITY, [[0.2, 0.9, 0.4]]])
    assert lwlrap(target, probability) == pytest.approx(lwlrap(TAGS, TAG_PROBABILITY))
    total, weight = METRICS["lwlrap"].terms(target, probability)
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
    with pytest.raises(ValueError, match="target must have at least one true label, got none"):
        cmap(np.zeros((2, 3)), TAG_PROBABILITY)
    with pytest.raises(ValueError, match="target must have a class with rows that have it and rows that lack it, got"):
        roc_auc(np.ones((2, 3)), TAG_PROBABILITY)
    for score in (log_loss, f1_rows):
        with pytest.raises(ValueError, match="target must have at least one known pair, got none"):
            score(np.full((2, 3), -1), TAG_PROBABILITY)
    for factor in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"padding_factor must be a whole number of at least 1, got {factor}"):
            padded_cmap(TAGS, TAG_PROBABILITY, factor)
