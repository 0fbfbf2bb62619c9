"""The intervals keep their promise: tested on synthetic predictions whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from kit.competition.metrics import METRICS
from kit.results.bootstrap import Difference, Interval, interval, paired, smallest_p
from kit.results.resampling import Contrast
from kit.results.significance import expanded_level

TRIALS = 400


def predictions(rng, target, skill, groups=None):
    """Random probabilities (N, C) whose true class stands out by `skill`, more in some groups than in others."""
    logits = rng.normal(size=(len(target), 4))
    logits[np.arange(len(target)), target] += skill
    if groups is not None:
        logits[np.arange(len(target)), target] += rng.normal(size=groups.max() + 1)[groups]
    odds = np.exp(logits)
    return odds / odds.sum(1, keepdims=True)


def share_that_excludes_zero(metric, n_rows, n_groups=None, clustered=False):
    """Of TRIALS pairs of equally good models."""
    rng, hits = np.random.default_rng(0), 0
    for trial in range(TRIALS):
        target = rng.integers(0, 4, n_rows)
        groups = None if n_groups is None else rng.integers(0, n_groups, n_rows)
        prob_a, prob_b = (predictions(rng, target, 1.0, groups) for _ in range(2))
        found = paired(target, prob_a, prob_b, metric, groups if clustered else None, seed=trial, n_resamples=1000)
        hits += found.excludes_zero
    return hits / TRIALS


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "lwlrap"])
def test_without_a_difference_the_interval_excludes_zero_in_5_percent(metric):
    assert 0.03 <= share_that_excludes_zero(metric, n_rows=100) <= 0.07


def test_with_dependent_rows_only_the_clustered_interval_keeps_its_promise():
    assert 0.03 <= share_that_excludes_zero("accuracy", n_rows=160, n_groups=16, clustered=True) <= 0.07
    assert share_that_excludes_zero("accuracy", n_rows=160, n_groups=16) > 0.12


def test_with_a_true_difference_the_interval_covers_it_in_95_percent():
    rng = np.random.default_rng(1)
    many = rng.integers(0, 4, 400_000)
    skills = (1.5, 1.0)
    truth = np.subtract(*(np.mean(predictions(rng, many, skill).argmax(1) == many) for skill in skills))
    covered = told = 0
    for trial in range(TRIALS):
        target = rng.integers(0, 4, 150)
        probs = [predictions(rng, target, skill) for skill in skills]
        found = paired(target, *probs, "accuracy", seed=trial, n_resamples=1000)
        covered += found.low <= truth <= found.high
        told += found.excludes_zero
    assert truth > 0.1
    assert 0.93 <= covered / TRIALS <= 0.97
    assert told / TRIALS > 0.5  # and it is short enough to be of use


def test_a_score_of_few_clusters_is_covered_in_95_percent():
    rng, covered = np.random.default_rng(2), 0
    for trial in range(TRIALS):
        groups = np.repeat(np.arange(8), 25)
        skill = rng.normal(0.7, 0.1, 8)[groups]
        right = rng.random(200) < skill
        probability = np.stack([right, ~right], 1).astype(float)
        found = interval(np.zeros(200, int), probability, "accuracy", groups, seed=trial, n_resamples=1000)
        covered += found.low <= 0.7 <= found.high
    assert 0.93 <= covered / TRIALS <= 0.97


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    right = np.arange(2000) < 1500  # accuracy 0.75
    found = interval(np.zeros(2000, int), np.stack([right, ~right], 1), "accuracy")
    error = 1.96 * np.sqrt(0.75 * 0.25 / 2000)
    assert found.value == 0.75
    assert (found.low, found.high) == (pytest.approx(0.75 - error, abs=0.002), pytest.approx(0.75 + error, abs=0.002))


def test_any_metric_function_gives_what_its_row_sums_give():
    rng = np.random.default_rng(0)
    target, groups = rng.integers(0, 4, 300), rng.integers(0, 30, 300)
    prob_a, prob_b = predictions(rng, target, 1.0), predictions(rng, target, 0.7)

    def accuracy(target, probability):
        return np.mean(probability.argmax(1) == target)

    by_sums = paired(target, prob_a, prob_b, "accuracy", groups)
    by_rows = paired(target, prob_a, prob_b, accuracy, groups)
    assert vars(by_rows) == pytest.approx(vars(by_sums))


def test_metrics_that_are_no_sum_over_rows_work_too():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 4, 100)
    found = interval(target, predictions(rng, target, 1.0), "precision", n_resamples=50)
    assert found.low < found.value < found.high


def test_seeds_are_averaged_before_rows_are_drawn():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 4, 200)
    seeds = np.stack([predictions(rng, target, 1.0) for _ in range(3)])
    alone = [interval(target, probability, "accuracy") for probability in seeds]
    together = interval(target, seeds, "accuracy")
    assert together.value == pytest.approx(np.mean([found.value for found in alone]))
    assert together.high - together.low < min(found.high - found.low for found in alone)
    twice = interval(target, np.stack([seeds[0], seeds[0]]), "accuracy")
    assert vars(twice) == pytest.approx(vars(alone[0]))  # the same seed again is no new evidence


def test_the_difference_turns_its_sign_with_its_sides():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 4, 300)
    better, worse = predictions(rng, target, 2.0), predictions(rng, target, 0.5)
    there, back = paired(target, better, worse, "accuracy"), paired(target, worse, better, "accuracy")
    assert there.delta > 0 and there.excludes_zero and there.p < 0.05
    assert (back.delta, back.low, back.high) == pytest.approx((-there.delta, -there.high, -there.low))
    assert back.excludes_zero and back.p == there.p


def test_a_run_does_not_differ_from_itself():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 4, 50)
    probability = predictions(rng, target, 1.0)
    found = paired(target, probability, probability, "log_loss")
    assert found == Difference(0, 0, 0, 1) and not found.excludes_zero


def test_p_is_below_5_percent_where_the_interval_leaves_0_out():
    rng, told = np.random.default_rng(3), 0  # 120 clusters: p is the bootstrap's
    for trial in range(200):
        target = rng.integers(0, 4, 120)
        probs = [predictions(rng, target, skill) for skill in (1.3, 1.0)]
        found = paired(target, *probs, "log_loss", seed=trial, n_resamples=2000)
        if abs(found.p - 0.05) > 0.005:  # nearer than that, they differ by a resample or two
            assert (found.p < 0.05) == found.excludes_zero
            told += found.excludes_zero
    assert 20 < told < 180


def right(share_by_cluster, n_rows=20):
    """Probabilities (G · n_rows, 2) of which each cluster's first rows, by its share, are right; true class 0."""
    hits = np.concatenate([np.arange(n_rows) < round(share * n_rows) for share in share_by_cluster])
    return np.stack([hits, ~hits], 1).astype(float)


@pytest.mark.parametrize("n_clusters", [2, 3, 5, 8, 15])
def test_a_large_effect_on_few_clusters_has_the_p_of_its_sign_vectors(n_clusters):
    target, groups = np.zeros(20 * n_clusters, int), np.repeat(np.arange(n_clusters), 20)
    found = paired(target, right([1] * n_clusters), right(np.arange(n_clusters) / 20), "accuracy", groups)
    assert found.p == 2 / 2**n_clusters == smallest_p(n_clusters, 2000)


def test_the_p_of_few_clusters_by_hand():
    """Differences of 4, 3, 2 and -1 hits: of 16 sign vectors, the sums ±10 and ±8 are as far from 0 as 8."""
    a, b = right([0.6, 0.5, 0.4, 0.3]), right([0.4, 0.35, 0.3, 0.35])
    groups = np.repeat(np.arange(4), 20)
    found = paired(np.zeros(80, int), a, b, "accuracy", groups)
    assert found.delta == pytest.approx(8 / 80) and found.p == 4 / 16
    assert paired(np.zeros(80, int), b, a, "accuracy", groups).p == 4 / 16


def tags(n_rows=60, n_classes=4):
    return np.ones((n_rows, n_classes), int), np.full((n_rows, n_classes), 0.9)


def test_a_ratio_has_each_predictions_own_denominator():
    """All that either predicts is right, but B predicts half as much: both precisions are 1."""
    target, everything = tags()
    half = np.where(np.arange(4) < 2, 0.9, 0.1) * np.ones((60, 1))
    assert paired(target, everything, half, "micro_precision").delta == 0
    assert interval(target, np.stack([everything, half]), "micro_precision").value == 1
    # A calls all pairs, of which 1 in 2 is there; B only the first class, which is there in all of the first 40 rows
    target[:, 2:], target[40:, 0] = 0, 0
    first = np.where(np.arange(4) < 1, 0.9, 0.1) * np.ones((60, 1))
    expected = (40 + 60) / 240 - 40 / 60
    found = paired(target, everything, first, "micro_precision")
    assert found.delta == pytest.approx(expected) and found.high < 0
    seeds = np.stack([everything, first])
    assert interval(target, seeds, "micro_precision").value == pytest.approx((100 / 240 + 40 / 60) / 2)
    assert paired(target, seeds, first, "micro_precision").delta == pytest.approx(expected / 2)


def test_where_hardly_anything_is_predicted_the_interval_is_wide_and_not_refused():
    target, shy = np.random.default_rng(0).integers(0, 2, (50, 4)), np.full((50, 4), 0.1)
    assert interval(target, shy, "micro_precision") == Interval(0, 0, 1)  # nothing was predicted: nothing is known
    one_row = np.where(np.arange(50)[:, None] == 0, 0.9, shy)
    found = interval(target, one_row, "micro_precision")
    assert found.value == target[0].mean() and found.low < 0.05 and found.high > 0.95
    three_rows = np.where(np.arange(50)[:, None] < 3, 0.9, shy)
    found = interval(target, three_rows, "micro_precision")
    assert found.low == 0 and found.value == target[:3].mean()  # a resample without them scores 0, as the metric does
    with pytest.raises(ValueError, match="at least 2 clusters that can be scored, got 1"):
        interval(np.eye(50, 4, dtype=int)[[0] + [49] * 49], shy, "lwlrap")


def test_an_interval_never_shrinks_to_a_point():
    """Clopper and Pearson's interval of 20 of 20 is [0.8316, 1], of 0 of 20 [0, 0.1684]."""
    target = np.zeros(20, int)
    exact = stats.binomtest(20, 20).proportion_ci(method="exact").low
    found = interval(target, right([1]), "accuracy")
    assert (found.value, found.low, found.high) == (1, pytest.approx(exact), 1) and exact == pytest.approx(
        0.8316, abs=1e-4
    )
    found = interval(target, right([0]), "accuracy")
    assert (found.value, found.low, found.high) == (0, 0, pytest.approx(1 - exact))
    groups = np.repeat(np.arange(5), 20)
    five = 0.025 ** (1 / 5)  # rows of a cluster are no evidence of their own
    assert interval(np.zeros(100, int), right([1] * 5), "accuracy", groups).low == pytest.approx(five)
    half = interval(np.zeros(100, int), right([0.5] * 5), "accuracy", groups)
    assert (half.low, half.high) == (pytest.approx(0.5 * five), pytest.approx(1 - 0.5 * five))
    sure = paired(np.zeros(100, int), right([1] * 5), right([0] * 5), "accuracy", groups)
    assert (sure.delta, sure.high) == (1, 1) and sure.low == pytest.approx(1 - 2 * (1 - five))
    alike = paired(target, right([1]), right([1]) * 0.8 + 0.1, "accuracy")
    assert (alike.delta, alike.p) == (0, 1) and alike.low == pytest.approx(exact - 1) == -alike.high


def test_an_accuracy_near_1_is_covered_although_most_samples_are_all_right():
    rng, covered = np.random.default_rng(4), 0
    for trial in range(TRIALS):
        hits = rng.random(60) < 0.99
        found = interval(np.zeros(60, int), np.stack([hits, ~hits], 1), "accuracy", seed=trial, n_resamples=300)
        covered += found.low <= 0.99 <= found.high
    assert covered / TRIALS >= 0.93


@pytest.mark.parametrize("n_clusters", [3, 5])
def test_few_clusters_are_covered_in_90_percent(n_clusters):
    rng, covered = np.random.default_rng(5), 0
    groups = np.repeat(np.arange(n_clusters), 50)
    for trial in range(TRIALS):
        hits = rng.random(len(groups)) < rng.normal(0.7, 0.1, n_clusters)[groups]
        probability = np.stack([hits, ~hits], 1).astype(float)
        found = interval(np.zeros(len(groups), int), probability, "accuracy", groups, seed=trial, n_resamples=300)
        assert 0 <= found.low <= found.value <= found.high <= 1
        covered += found.low <= 0.7 <= found.high
    assert covered / TRIALS >= 0.9


def test_clusters_without_a_label_are_no_evidence():
    """Of 60 recordings 5 have labels: the interval is as wide as of those 5 alone, and covers as often."""
    rng, covered, trials = np.random.default_rng(6), 0, 200
    clusters, has = np.repeat(np.arange(60), 4), np.repeat(np.arange(60) < 5, 4)
    target = np.stack([has, 0 * has, 0 * has], axis=1).astype(int)
    for trial in range(trials):
        first = rng.random(240) < rng.normal(0.6, 0.15, 60)[clusters]  # else the label is second: 1, or a half
        probability = np.stack([np.where(first, 0.9, 0.1), np.full(240, 0.5), np.zeros(240)], axis=1)
        settings = {"seed": trial, "n_resamples": 300}
        found = interval(target, probability, "lwlrap", clusters, **settings)
        alone = interval(target[has], probability[has], "lwlrap", clusters[has], **settings)
        assert found.value == alone.value
        covered += found.low <= 0.8 <= found.high
    assert covered / trials >= 0.9
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.5)
    better, worse = (np.tile([of_label, 0.5, 0.0], (240, 1)) for of_label in (0.9, 0.1))  # in each of 5
    assert paired(target, better, worse, "lwlrap", clusters, n_resamples=50).p == 2 / 2**5
    thrice = (np.tile(values, (3, 1)) for values in (target, better, worse))
    found = paired(*thrice, "lwlrap", np.arange(720) // 4, n_resamples=50)
    assert found.p == 2 / 2**15, "of 180 clusters 15 have labels, so that p is that of sign flips"


def test_of_two_clusters_the_interval_is_students():
    """Accuracies 0.50 and 0.51: the mean of two drawn has an sd of 0.005 / sqrt(2), and t of one degree is 12.71."""
    groups = np.repeat([0, 1], 100)
    found = interval(np.zeros(200, int), right([0.5, 0.51], n_rows=100), "accuracy", groups)
    half = 12.706 * 0.005 / np.sqrt(2) * np.sqrt(2)
    assert (found.low, found.high) == pytest.approx((0.505 - half, 0.505 + half), abs=0.05 * half)


def test_of_50_clusters_the_interval_is_the_expanded_percentiles_of_what_is_drawn():
    rng = np.random.default_rng(7)
    target = rng.integers(0, 4, 50)
    probability = predictions(rng, target, 1.0)
    drawn = Contrast(target, [(1, probability)], METRICS["log_loss"], np.arange(50)).drawn(0, 200)
    tail = (1 - expanded_level(50)) / 2
    found = interval(target, probability, "log_loss", n_resamples=200)
    assert (found.low, found.high) == tuple(np.quantile(drawn, [tail, 1 - tail]))


@pytest.mark.parametrize("n_clusters", [99, 100])
def test_below_100_clusters_p_is_of_sign_flips_and_from_there_on_the_bootstraps(n_clusters):
    groups = np.repeat(np.arange(n_clusters), 20)
    a, b = right([1] * n_clusters), right(np.arange(n_clusters) % 10 / 20)
    found = paired(np.zeros(20 * n_clusters, int), a, b, "accuracy", groups, n_resamples=200)
    assert found.p == smallest_p(n_clusters, 200)


def test_a_metric_must_be_defined_on_more_than_half_of_the_resamples():
    def every(share):
        calls = iter(range(10**6))

        def metric(target, probability):
            number = next(calls)
            if number and number % 20 >= share:
                raise ValueError("undefined")
            return 0.5 + number / 10**6

        return metric

    arguments = np.zeros(4, int), np.full((4, 2), 0.5)
    with pytest.raises(ValueError, match="must be defined on most resamples of 4 clusters, got 10 of 20"):
        interval(*arguments, every(10), n_resamples=20)
    assert interval(*arguments, every(11), n_resamples=20).value == 0.5
    some = np.eye(6, 3, dtype=int)  # half of the rows have no label: 1 in 64 resamples is left out
    assert interval(some, np.random.default_rng(0).random((6, 3)), "lwlrap", n_resamples=500).value > 0


def test_the_same_seed_gives_the_same_interval():
    target, probability = np.zeros(30, int), np.random.default_rng(0).dirichlet([1, 1], 30)
    other = np.random.default_rng(1).dirichlet([1, 1], 30)
    assert interval(target, probability, "log_loss") == interval(target, probability, "log_loss", seed=0)
    by_seed = [paired(target, probability, other, "log_loss", seed=seed) for seed in (0, 5)]
    assert paired(target, probability, other, "log_loss") == by_seed[0] and by_seed[0].p != by_seed[1].p
    assert interval(target, probability, "log_loss", seed=5) == interval(target, probability, "log_loss", seed=5)
    assert interval(target, probability, "log_loss", seed=5) != interval(target, probability, "log_loss", seed=6)


def test_names_of_clusters_do_not_matter():
    rng = np.random.default_rng(0)
    target, numbers = rng.integers(0, 4, 100), rng.integers(0, 9, 100)
    probability = predictions(rng, target, 1.0)
    by_name = interval(target, probability, "accuracy", [f"speaker {number}" for number in numbers])
    assert by_name == interval(target, probability, "accuracy", numbers)
    assert interval(target, probability, "accuracy", np.arange(100)) == interval(target, probability, "accuracy")


def test_they_print_compactly():
    assert str(Interval(0.7237, 0.701, 0.7459)) == "0.724 [0.701, 0.746]"
    assert str(Difference(-0.012, -0.02, 0.003, 0.2)) == "-0.012 [-0.020, +0.003]"


def only_whole(target, probability):
    """Refuses a resample without each row."""
    if sorted(target) != [0, 1, 1] or len(np.unique(probability[:, 0])) < 3:
        raise ValueError("a row is missing")
    return 0.5


TARGET, PROBABILITY = np.array([0, 1, 1]), np.array([[0.5, 0.5], [0.4, 0.6], [0.3, 0.7]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": PROBABILITY[:2]}, r"probability must hold the target's 3 rows, got shape \(2, 2\)"),
        (
            {"metric": "acuracy"},
            "metric must be a function or one of accuracy, log_loss, .*, got 'acuracy'",
        ),
        ({"clusters": [1, 2]}, r"clusters must have shape \(3,\), got \(2,\)"),
        ({"clusters": [7, 7, 7]}, "a bootstrap must have at least 2 clusters, got 1"),
        (
            {"target": np.eye(3, 2, dtype=int)[[0, 2, 2]], "metric": "lwlrap"},
            "at least 2 clusters that can be scored, got 1",
        ),
        ({"metric": lambda target, probability: np.nan}, "metric <lambda> must give one finite number, got nan"),
        (
            {"metric": only_whole, "n_resamples": 30},
            "metric only_whole must be defined on most resamples of 3 clusters, got . of 30",
        ),
    ],
)
def test_what_cannot_be_resampled_is_refused(change, message):
    arguments = {"target": TARGET, "probability": PROBABILITY, "metric": "accuracy", "n_resamples": 20} | change
    with pytest.raises(ValueError, match=message):
        interval(**arguments)


def test_runs_of_other_rows_are_not_compared():
    with pytest.raises(ValueError, match="probability must hold the target's 3 rows"):
        paired(TARGET, PROBABILITY, PROBABILITY[:2], "accuracy")
