"""What p can be, and what is left of it after many comparisons."""

import itertools

import numpy as np
import pytest
from scipy import stats

from kit.results.significance import FEW, bootstrap_p, expanded_level, holm, sign_flip_p, smallest_p


def test_sign_flips_by_hand():
    assert sign_flip_p(np.array([1.0, 2.0, 3.0])) == 2 / 8  # only all signs alike reach 6
    assert sign_flip_p(np.array([3.0, 2.0, -1.0])) == 4 / 8  # ±6 and ±4 reach 4
    assert sign_flip_p(np.zeros(4)) == 1
    assert sign_flip_p(np.array([0.1, 0.2, -0.3])) == 1  # a sum of 0 but for rounding
    many = np.random.default_rng(0).normal(0.2, 1, 30)  # too many to try every vector
    assert sign_flip_p(np.append(many, 1e-17)) == sign_flip_p(np.append(many, 0.0)) == sign_flip_p(many)


def test_sign_flips_try_every_vector():
    rng = np.random.default_rng(0)
    for n in (2, 5, 9):
        given = rng.normal(0.3, 1, n)
        sums = [abs(np.dot(signs, given)) for signs in itertools.product((1, -1), repeat=n)]
        expected = np.mean(np.array(sums) >= abs(given.sum()) * (1 - 1e-12))
        assert sign_flip_p(given) == pytest.approx(expected)
        reference = stats.permutation_test((given,), np.sum, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip_p(given) == pytest.approx(reference.pvalue)


def test_neither_sign_nor_scale_nor_order_matter():
    given = np.random.default_rng(1).normal(0.5, 1, 13)
    assert sign_flip_p(given) == sign_flip_p(-given) == sign_flip_p(given * 1e-9) == sign_flip_p(given[::-1])


def test_many_signs_are_drawn_and_agree_with_students_t():
    given = np.random.default_rng(2).normal(0.4, 1, 28)
    assert sign_flip_p(given, seed=3) == sign_flip_p(given, seed=3) != sign_flip_p(given, seed=5)
    assert sign_flip_p(given) == pytest.approx(stats.ttest_1samp(given, 0).pvalue, rel=0.15)
    assert sign_flip_p(np.ones(28)) == 1 / 2**14
    assert sign_flip_p(given) == sign_flip_p(given, seed=0)


def test_up_to_15_clusters_that_contribute_p_is_exact_and_above_drawn():
    given = np.random.default_rng(4).normal(0.3, 1, 16)
    assert sign_flip_p(given[:15], seed=1) == sign_flip_p(given[:15], seed=2)
    assert sign_flip_p(given, seed=1) != sign_flip_p(given, seed=2)
    assert sign_flip_p(np.append(given[:15], np.zeros(10**6)), seed=3) == sign_flip_p(given[:15])


def test_without_a_difference_p_is_below_5_percent_in_at_most_5():
    rng, trials = np.random.default_rng(3), 2000
    for n in (5, 8):
        small = np.mean([sign_flip_p(rng.standard_t(3, n)) < 0.05 for _ in range(trials)])
        assert small <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / trials) and (small == 0) == (n == 5)


def test_the_smallest_p():
    assert [smallest_p(n, 2000) for n in (2, 5, 6, 10)] == [1 / 2, 1 / 16, 1 / 32, 1 / 512]
    assert smallest_p(FEW - 1, 2000) == 1 / 2**14
    everything = np.ones(2000)
    assert smallest_p(FEW, 2000) == bootstrap_p(everything, FEW) < 0.0015
    assert smallest_p(10**6, 2000) == pytest.approx(2 / 2001, rel=1e-3)
    for n in (4, 15):
        assert sign_flip_p(np.ones(n)) == smallest_p(n, 2000)


def test_the_bootstraps_p_is_5_percent_where_the_expanded_interval_ends():
    tail = (1 - expanded_level(40)) / 2
    below = round(tail * 200_000)
    distribution = np.r_[np.full(below, -1.0), np.full(200_000 - below, 1.0)]
    assert bootstrap_p(distribution, 40) == pytest.approx(0.05, abs=1e-3)
    assert bootstrap_p(np.zeros(9), 40) == 1
    # of 8 clusters, 7 degrees of freedom: t(0.975) = 2.3646, times sqrt(8 / 7) = 2.5279, beyond which 0.005737 are
    distribution = np.r_[np.full(574, 1.0), np.full(99_426, -1.0)]
    assert bootstrap_p(distribution, 8) == pytest.approx(0.05, abs=1e-3)


def test_the_expanded_level_by_hand():
    # t(0.975, 11 degrees) = 2.20099, times sqrt(12 / 11) = 2.29886: the normal law leaves 0.01076 beyond
    assert expanded_level(12) == pytest.approx(1 - 2 * 0.010757, abs=1e-5)
    assert expanded_level(10**7) == pytest.approx(0.95, abs=1e-6)


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, never falling: 0.04, 0.06, 0.06, 0.06
    assert holm([0.02, 0.01, 0.04, 0.03]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.8, 0.9]) == pytest.approx([1, 1])  # and not 1.6
    assert len(holm([])) == 0
