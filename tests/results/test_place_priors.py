"""Priors by site and hour, by hand."""

import numpy as np
import pytest

from kit.competition.metrics import METRICS
from kit.results.place_priors import HourPrior, SitePrior, odds_ratio
from kit.results.post_rows import Rows

ROC = METRICS["roc_auc"]


def rows_at(probability, site=None, hour=None):
    n, nowhere = len(probability), np.full(len(probability), np.nan)
    site = np.array([""] * n if site is None else site, dtype=object)
    hour = nowhere if hour is None else np.asarray(hour, dtype=float)
    file = np.array(["f"] * n)
    return Rows(("x",), np.arange(n), np.asarray(probability)[:, None], file, nowhere, site, hour, nowhere)


def test_odds_by_hand():
    """4 of 9 rows have the class: (4 + ½) / 10 is 0.45. A part where 3 of 3 have it, and 2 rows of 0.45: 3.9 of 5,
    odds 39 : 11 over 9 : 11. One with no row has the odds of all.
    """
    target = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0])[:, None]
    assert odds_ratio(target[:3], target, 2.0) == pytest.approx([39 / 9])
    assert odds_ratio(target[:0], target, 2.0) == pytest.approx([1.0])
    unknown = np.vstack([target, np.full((5, 1), -1)])
    assert odds_ratio(np.vstack([target[:3], [[-1]]]), unknown, 2.0) == pytest.approx([39 / 9]), "unknown says nothing"


def test_a_site_multiplies_the_odds():
    """Site A has 3 of 3, so its ratio is 39 / 9; a probability of ½ becomes 39 / 48; a site that is new stays."""
    target = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0])[:, None]
    apply = SitePrior(added=2.0).fit(rows_at([0.5] * 9, ["A"] * 3 + ["B"] * 6), target, ROC)
    found = apply(rows_at([0.5, 0.5, 0.5, 1.0], ["A", "C", "", "A"]))[:, 0]
    assert found == pytest.approx([39 / 48, 0.5, 0.5, 1.0])
    root = SitePrior(strength=0.5, added=2.0).fit(rows_at([0.5] * 9, ["A"] * 3 + ["B"] * 6), target, ROC)
    odds = (39 / 9) ** 0.5
    assert root(rows_at([0.5], ["A"]))[0, 0] == pytest.approx(odds / (1 + odds))


def test_where_no_row_names_a_site_nothing_changes():
    apply = SitePrior().fit(rows_at([0.2, 0.4]), np.array([[1], [0]]), ROC)
    assert apply(rows_at([0.2, 0.4], ["A", ""]))[:, 0] == pytest.approx([0.2, 0.4])


def test_hours_go_round_midnight():
    """Rows at 23 and 0 h count at both, and at 22 and 1 h one of them; those at 12 h count at neither."""
    target = np.array([1, 1, 0, 0])[:, None]
    apply = HourPrior(added=1.0).fit(rows_at([0.5] * 4, hour=[23, 0, 12, 12]), target, ROC)
    found = apply(rows_at([0.5] * 6, hour=[23, 0, 22, 12, 6, np.nan]))[:, 0]
    # All: (2 + ½) / 5, even odds. Both of 23 and 0 h: 2.5 of 3; one: 1.5 of 2; 12 h: 0.5 of 3.
    assert found == pytest.approx([2.5 / 3, 2.5 / 3, 0.75, 0.5 / 3, 0.5, 0.5])
    alone = HourPrior(added=1.0, width=0).fit(rows_at([0.5] * 4, hour=[23, 0, 12, 12]), target, ROC)
    assert alone(rows_at([0.5, 0.5], hour=[23, 1]))[:, 0] == pytest.approx([0.75, 0.5])


def test_bad_parts_are_refused():
    with pytest.raises(ValueError, match="strength must be at least 0, got -1"):
        SitePrior(strength=-1.0)
    with pytest.raises(ValueError, match="added must be above 0, got 0"):
        HourPrior(added=0.0)
    with pytest.raises(ValueError, match=r"width must be in \[0, 12\), got 12"):
        HourPrior(width=12)
