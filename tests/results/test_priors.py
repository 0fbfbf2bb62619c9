import numpy as np
import pytest

from kit.competition.metrics import METRICS, lwlrap
from kit.results.priors import LEAST_GAIN, PASSES, STEPS, ClassPriors, apply_scale, cross_fitted, fit_scale


def test_a_scale_multiplies_the_odds():
    probability = np.array([[0.5, 0.2], [0.9, 0.0]])
    found = apply_scale(probability, np.array([3.0, 0.5]))
    assert found[0] == pytest.approx([0.75, 1 / 9]) and found[1, 0] == pytest.approx(27 / 28)
    assert found[1, 1] == 0
    assert apply_scale(probability, np.ones(2)) == pytest.approx(probability)


def test_the_order_within_a_class_stays_however_small_or_sure():
    probability = np.array([0.0, 1e-300, 1e-9, 1e-7, 0.5, 1 - 1e-9, 1 - 1e-15, 1.0])[:, None]
    for scale in (0.25, 1.0, 4.0):
        found = apply_scale(probability, np.array([scale])).ravel()
        assert (np.diff(found) > 0).all() and (found[0], found[-1]) == (0, 1)


def test_where_no_row_has_a_label_nothing_is_scaled():
    target = np.array([[1, 0], [0, 0], [-1, 0], [0, -1]])  # fold 1 alone has no positive
    probability = np.array([[0.5, 0.2], [0.3, 0.6], [0.7, 0.1], [0.4, 0.9]])
    assert fit_scale(target[2:], probability[2:]).tolist() == [1, 1]
    found = cross_fitted(target, probability, np.array([0, 0, 1, 1]))
    assert found[:2] == pytest.approx(probability[:2]), "by the scale of fold 1"


def test_certain_and_impossible_classes_are_fitted_too():
    target = np.array([[1, 0], [0, 1]])
    assert np.isfinite(fit_scale(target, np.array([[1.0, 0.0], [0.0, 1.0]]))).all()


@pytest.fixture
def biased():
    """200 rows of 6 classes, one label each, told well but for class 0, which is 8 times too likely by its odds."""
    rng = np.random.default_rng(0)
    target = np.eye(6, dtype=int)[rng.integers(0, 6, 200)]
    logit = 2.0 * target + rng.normal(0, 1, target.shape)
    logit[:, 0] += np.log(8)
    return target, 1 / (1 + np.exp(-logit))


def test_the_scale_of_a_class_that_is_too_sure_is_found(biased):
    target, probability = biased
    scale = fit_scale(target, probability)
    assert scale[0] == scale.min() < 0.4 and np.log(scale).mean() == pytest.approx(0)
    assert lwlrap(target, apply_scale(probability, scale)) > lwlrap(target, probability) + 0.02


def test_the_scale_is_that_of_ranking_anew_at_each_step():
    rng = np.random.default_rng(3)
    target = rng.choice([-1, 0, 1], (60, 5), p=[0.1, 0.6, 0.3])
    target[:, 3] = 0  # never there
    probability = rng.integers(1, 8, (60, 5)) / 8  # with ties
    logit = np.log(probability) - np.log1p(-probability)
    shift, best = np.zeros(5), lwlrap(target, logit)
    for number in list(range(5)) * PASSES:
        for step in np.log(STEPS):
            moved = shift + step * (np.arange(5) == number)
            if (score := lwlrap(target, logit + moved)) > best + LEAST_GAIN:
                best, shift = score, moved
    assert fit_scale(target, probability) == pytest.approx(np.exp(shift - shift.mean())) and np.ptp(shift) > 1


@pytest.mark.parametrize("name", ["roc_auc", "cmap", "padded_cmap"])
def test_a_metric_that_a_scale_cannot_change_is_refused(name, biased):
    target, probability = biased
    scaled = apply_scale(probability, np.array([0.25, 0.5, 1, 2, 3, 4]))
    assert METRICS[name](target, scaled) == pytest.approx(METRICS[name](target, probability), abs=1e-12)
    with pytest.raises(ValueError, match=f"metric of ClassPriors must compare the classes of a row, .* got {name}$"):
        ClassPriors().fit(None, target, METRICS[name])


def test_unknown_pairs_count_as_absent_and_rows_without_a_label_as_nothing(biased):
    target, probability = biased
    hidden = np.where(target == 1, 1, -1)
    assert fit_scale(hidden, probability) == pytest.approx(fit_scale(target, probability))
    more = np.vstack([target, np.zeros((5, 6), dtype=int)]), np.vstack([probability, np.full((5, 6), 0.9)])
    assert fit_scale(*more) == pytest.approx(fit_scale(target, probability))


def test_each_fold_is_corrected_by_the_others_alone(biased):
    target, probability = biased
    fold = np.arange(200) % 4
    corrected = cross_fitted(target, probability, fold)
    other = target.copy()
    other[fold == 2] = np.roll(target[fold == 2], 1, axis=1)  # its own labels must not matter to it
    again = cross_fitted(other, probability, fold)
    assert np.array_equal(corrected[fold == 2], again[fold == 2])
    assert not np.array_equal(corrected[fold != 2], again[fold != 2])
    own = apply_scale(probability, fit_scale(target, probability))
    assert lwlrap(target, probability) < lwlrap(target, corrected) <= lwlrap(target, own) + 0.005


def test_a_bad_scale_is_refused():
    with pytest.raises(ValueError, match=r"scale must hold 2 positive numbers, got \[1.0, 0.0\]"):
        apply_scale(np.full((3, 2), 0.5), np.array([1.0, 0.0]))
