"""Smoothing and a file's peak, by hand."""

import numpy as np
import pytest

from kit.competition.metrics import METRICS
from kit.results.post_rows import Rows
from kit.results.post_windows import FilePeak, Smooth


def rows_at(probability, second, file=None, length=5.0):
    n = len(second)
    file = np.array(["f"] * n if file is None else file, dtype=object)
    probability = np.asarray(probability, dtype=float).reshape(n, -1)
    return Rows(
        ("x", "y")[: probability.shape[1]], np.arange(n), probability, file, np.asarray(second, dtype=float),
        np.array([""] * n, dtype=object), np.full(n, np.nan), np.where(np.isnan(second), np.nan, length),
    )  # fmt: skip


def applied(part, rows):
    kept = rows.probability.copy()
    found = part.fit(rows, None, METRICS["roc_auc"])(rows)
    assert np.array_equal(rows.probability, kept, equal_nan=True) and found.shape == kept.shape
    return found


def test_neighbours_by_hand():
    """Taps 1 2 1 over 0.8, 0.4, 0.0: the ends (1.6 + 0.4) / 3 and 0.4 / 3, amid (0.8 + 0.8 + 0) / 4."""
    found = applied(Smooth((1, 2, 1)), rows_at([0.8, 0.4, 0.0], [0, 5, 10]))
    assert found[:, 0] == pytest.approx([2 / 3, 0.4, 0.4 / 3])
    five = applied(Smooth((1.0, 0.0, 2.0, 0.0, 1.0)), rows_at([0.8, 0.4, 0.0], [0, 5, 10]))
    assert five[:, 0] == pytest.approx([1.6 / 3, 0.4, 0.8 / 3]), "every second neighbour"


def test_time_goes_one_way():
    """All of the weight but the window's own is on the one before it."""
    found = applied(Smooth((1, 1, 0)), rows_at([0.8, 0.4, 0.0], [0, 5, 10]))
    assert found[:, 0] == pytest.approx([0.8, 0.6, 0.2])


def test_rows_in_any_order_gaps_and_other_files():
    """A window at 15 s has no neighbour where 10 s is missing; another file is none; a whole recording stays."""
    rows = rows_at([0.4, 0.9, 0.8, 0.3, 0.7], [5, 15, 0, 5, np.nan], ["f", "f", "f", "g", "h"])
    found = applied(Smooth((1, 2, 1)), rows)
    assert found[:, 0] == pytest.approx([(0.8 + 0.8) / 3, 0.9, (1.6 + 0.4) / 3, 0.3, 0.7])
    assert applied(Smooth((1.0,)), rows) == pytest.approx(rows.probability)


def test_overlapping_windows_are_as_far_apart_as_their_hop():
    rows = rows_at([0.8, 0.4, 0.0], [0, 2.5, 5.0])
    assert applied(Smooth((1, 2, 1)), rows)[1, 0] == pytest.approx(0.4)


def test_windows_far_apart_are_no_neighbours():
    """Of 5 s each, a step of 30 s or of 10 s leaves room for another window; one of 6 s does not."""
    for step in (30, 10):
        rows = rows_at([0.8, 0.4], [0, step])
        assert applied(Smooth((1, 2, 1)), rows)[:, 0] == pytest.approx([0.8, 0.4])
    assert applied(Smooth((1, 2, 1)), rows_at([0.8, 0.5], [0, 6]))[:, 0] == pytest.approx([0.7, 0.6])


def test_a_row_without_a_number_spoils_its_neighbours_alone():
    """The last row's NaN is of another file; amid a file it reaches as far as the taps that have weight."""
    rows = rows_at([0.8, 0.4, np.nan], [0, 5, 0], ["f", "f", "g"])
    found = applied(Smooth((1, 2, 1)), rows)[:, 0]
    assert found[:2] == pytest.approx([2 / 3, 1.6 / 3]) and np.isnan(found[2])
    amid = applied(Smooth((1, 2, 0)), rows_at([0.8, np.nan, 0.4, 0.2], [0, 5, 10, 15]))[:, 0]
    assert np.isnan(amid).tolist() == [False, True, True, False]


def test_half_hops_do_not_fall_together():
    """Windows at 2.5 and 7.5 s of one file beside those at 0 and 5 of another: half hops, which both round up."""
    rows = rows_at([0.8, 0.4, 0.2, 0.6], [2.5, 7.5, 0, 5], ["f", "f", "g", "g"])
    assert applied(Smooth((1, 1, 1)), rows)[:, 0] == pytest.approx([0.6, 0.6, 0.4, 0.4])


def test_a_files_peak_by_hand():
    """File f: the mean of the two highest of 0.8, 0.4, 0.0 is 0.6; of its other class 0.2; of g 0.5 of one window."""
    rows = rows_at([[0.8, 0.1], [0.4, 0.2], [0.0, 0.2], [0.5, 0.5]], [0, 5, 10, 0], ["f", "f", "f", "g"])
    found = applied(FilePeak(), rows)
    assert found == pytest.approx(np.array([[0.48, 0.02], [0.24, 0.04], [0.0, 0.04], [0.25, 0.25]]))
    root = applied(FilePeak(power=0.5, top=1), rows)
    assert root[0] == pytest.approx([0.8 * 0.8**0.5, 0.1 * 0.2**0.5])
    assert applied(FilePeak(power=0.0), rows) == pytest.approx(rows.probability)


def test_whole_recordings_have_no_peak():
    rows = rows_at([0.8, 0.4], [np.nan, np.nan])
    assert applied(FilePeak(), rows) == pytest.approx(rows.probability)
    assert applied(Smooth(), rows) == pytest.approx(rows.probability)


def test_bad_parts_and_rows_are_refused():
    for taps in ((0.5, 0.5), (), (0.2, -0.1, 0.2), (0.5, 0, 0.5), ("a",)):
        with pytest.raises(ValueError, match="taps must be an odd number of weights of at least 0, the middle above 0"):
            Smooth(taps)
    with pytest.raises(ValueError, match="power must be at least 0, got -1"):
        FilePeak(power=-1.0)
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        FilePeak(top=0)
    with pytest.raises(ValueError, match="windows must be there once, got f at 5 s twice"):
        applied(Smooth(), rows_at([0.1, 0.2, 0.3], [0, 5, 5]))
