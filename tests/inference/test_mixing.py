"""Folds and runs put together: by NumPy's own mean, and by hand where a clock left some out."""

import numpy as np
import pytest

from kit.inference.mixing import Mixer
from kit.inference.nets import fold_nets


@pytest.fixture
def nets(run_a, run_b):
    return [*fold_nets(run_a), *fold_nets(run_b)]


def filled(nets, value):
    return np.full((20, len(nets[0].classes)), value, dtype=np.float32)


@pytest.mark.parametrize("folds", [1, 2, 3, 5, 10])
def test_a_running_sum_is_the_mean_over_folds_in_the_last_bit(nets, sounds, folds):
    parts = np.random.default_rng(folds).random((folds, 20, 3)).astype(np.float32)
    mixer = Mixer(nets, sounds, None, "mean")
    for part in parts:
        mixer.add(nets[0], part, True)
    np.testing.assert_array_equal(mixer.table().iloc[:, 1:].to_numpy(), np.mean(list(parts), axis=0))


def test_weights_are_of_the_runs_that_there_are(nets, sounds):
    """0.2 of the first run and 0.8 of the second; with the first alone all is its own."""
    mixer = Mixer(nets, sounds, [1.0, 4.0], "mean")
    mixer.add(nets[0], filled(nets, 0.1), True)
    np.testing.assert_allclose(mixer.table().iloc[:, 1:], 0.1, rtol=1e-6)
    mixer.add(nets[2], filled(nets, 0.6), True)
    np.testing.assert_allclose(mixer.table().iloc[:, 1:], 0.2 * 0.1 + 0.8 * 0.6, rtol=1e-6)
    assert mixer.notes([]) == ["2 of 4 folds were left out for time: a-s0 fold 1, b-s1 fold 1"]


def test_part_of_a_fold_counts_only_as_the_first(nets, sounds):
    part = filled(nets, 0.25)
    part[5:] = np.nan
    mixer = Mixer(nets[:2], sounds, None, "mean")
    mixer.add(nets[0], part, False)
    np.testing.assert_allclose(mixer.table().iloc[:5, 1:], 0.25)
    np.testing.assert_allclose(mixer.table().iloc[5:, 1:], 1 / 3, rtol=1e-6)  # the priors
    mixer.add(nets[1], filled(nets, 0.75), False)
    np.testing.assert_allclose(mixer.table().iloc[:5, 1:], 0.25)
    notes = mixer.notes([])
    assert notes[0].startswith("15 of 20 test rows got the class priors, such as 't5.wav': 15 × no time was left")
    assert notes[1] == "1 of 2 folds were left out for time: a-s0 fold 1"


def test_the_first_whole_fold_takes_the_place_of_a_part(nets, sounds):
    part = filled(nets, 0.25)
    part[5:] = np.nan
    mixer = Mixer(nets[:2], sounds, None, "mean")
    mixer.add(nets[0], part, False)
    mixer.add(nets[1], filled(nets, 0.75), True)
    np.testing.assert_array_equal(mixer.table().iloc[:, 1:], np.full((20, 3), 0.75, np.float32))
    assert mixer.notes([]) == ["1 of 2 folds were left out for time: a-s0 fold 0"]


def test_a_row_that_no_net_gives_a_number_for_is_not_blamed_on_time(nets, sounds):
    silent = filled(nets, 0.5)
    silent[4] = np.nan
    mixer = Mixer(nets[:2], sounds, None, "mean")
    for net in nets[:2]:
        mixer.add(net, silent, True)
    assert mixer.notes([]) == ["1 of 20 test rows got the class priors, such as 't4.wav': no fold gave a number for it"]


def test_an_error_is_the_reason_where_it_ended_the_predictions(nets, sounds):
    notes = Mixer(nets[:2], sounds, None, "mean").notes([], "no memory")
    assert "20 × stopped by an error, no memory" in notes[0]
    assert notes[1] == "2 of 2 folds were left out after an error (no memory): a-s0 fold 0, a-s0 fold 1"


def test_weights_that_sum_to_more_than_1_by_rounding_leave_a_probability_of_1(nets, sounds):
    """0.6, 0.3 and 0.1 of 1 are 1.0000000000000002 in the last bit."""
    from kit.results.blend import weighted

    mixer = Mixer(nets[:1], sounds, None, "mean")
    mixer.add(nets[0], filled(nets, 1.0), True)
    shares = np.array([0.6, 0.3, 0.1])
    table = weighted([mixer.table()] * 3, shares / shares.sum())
    assert table.iloc[:, 1:].to_numpy().max() == 1
