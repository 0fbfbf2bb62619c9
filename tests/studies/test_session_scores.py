import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kit.studies.session_scores import draw_scores, session_differences, session_table

# Accuracy after sessions 0, 1, 2 of two draws: averages 0.7 and 0.6, drops 0.4 and 0.6; and of the other 0.8 and 0.6.
SCORES = {"plain": [(0.9, 0.7, 0.5), (0.9, 0.6, 0.3)], "other": [(1.0, 0.8, 0.6), (0.9, 0.6, 0.3)]}


def table(scores=SCORES):
    rows = [
        {"recipe": recipe, "draw": draw, "session": session, "classes": 4 + 2 * session, "accuracy": value}
        for recipe, draws in scores.items()
        for draw, values in enumerate(draws)
        for session, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def constant(deltas):
    """Plain at 0.5 in every session, the other delta above it, a delta a draw."""
    return table({"plain": [(0.5, 0.5)] * len(deltas), "other": [(0.5 + d, 0.5 + d) for d in deltas]})


def test_average_and_drop_by_hand():
    found = draw_scores(table()).set_index(["recipe", "draw"])
    assert found.loc[("plain", 0)].to_dict() == pytest.approx({"base": 0.9, "last": 0.5, "average": 0.7, "drop": 0.4})
    assert found.loc[("plain", 1)].to_dict() == pytest.approx({"base": 0.9, "last": 0.3, "average": 0.6, "drop": 0.6})


def test_the_table_has_mean_and_sd_over_draws_in_the_recipes_order():
    found = session_table(table()).set_index("name")
    assert list(found.index) == ["plain", "other"]
    plain = found.loc["plain"]
    assert plain["average"] == pytest.approx(0.65) and plain["average sd"] == pytest.approx(0.1 / np.sqrt(2))
    assert plain["drop"] == pytest.approx(0.5) and plain["drop sd"] == pytest.approx(0.2 / np.sqrt(2))
    assert plain["base"] == pytest.approx(0.9) and plain["base sd"] == pytest.approx(0)


def test_the_order_of_rows_does_not_matter():
    shuffled = table().sample(frac=1, random_state=0)
    ordered = session_table(shuffled).set_index("name").loc[["plain", "other"]].reset_index()
    pd.testing.assert_frame_equal(ordered, session_table(table()))


def test_a_difference_is_taken_draw_by_draw():
    row = session_differences(table(), "plain").iloc[0]
    assert row["name"] == "other"
    assert (row["delta"], row["wins"]) == (pytest.approx(0.05), 0.5)
    assert row["sd"] == pytest.approx(0.1 / np.sqrt(2))
    assert not row["differs"]
    assert session_differences(table(), "plain", "drop").iloc[0]["delta"] == pytest.approx(0.0)


def test_intervals_and_p_are_scipys():
    deltas = np.array([0.01, 0.03, 0.02, 0.05, -0.01, 0.02])
    row = session_differences(constant(deltas), "plain").iloc[0]
    wanted = stats.ttest_1samp(deltas, 0)
    low, high = wanted.confidence_interval(0.95)
    assert (row["low"], row["high"], row["p"]) == pytest.approx((low, high, wanted.pvalue))
    assert row["differs"] == (wanted.pvalue < 0.05)


def test_draws_that_all_agree_are_no_division_by_zero():
    assert session_differences(constant([0.0, 0.0, 0.0]), "plain").iloc[0]["p"] == 1.0
    sure = session_differences(constant([0.25, 0.25, 0.25]), "plain").iloc[0]
    assert (sure["low"], sure["high"], sure["p"]) == (0.25, 0.25, 0.0) and sure["differs"]


def test_p_is_corrected_for_the_number_of_recipes():
    scores = {"plain": [(0.5, 0.5)] * 4}
    deltas = {"one": (0.01, 0.02, 0.03, 0.02), "two": (0.0, 0.01, -0.01, 0.02), "three": (0.1, -0.1, 0.1, -0.1)}
    scores |= {name: [(0.5 + d, 0.5 + d) for d in values] for name, values in deltas.items()}
    found = session_differences(table(scores), "plain").set_index("name")
    assert found.loc["one", "p_holm"] == pytest.approx(3 * found.loc["one", "p"])


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="measure must be one of base, last, average, drop, got 'best'"):
        session_differences(table(), "plain", "best")
    with pytest.raises(ValueError, match="baseline must be one of plain, other, got 'none'"):
        session_differences(table(), "none")
    with pytest.raises(ValueError, match="table must hold at least 2 draws, got 1"):
        session_differences(table().query("draw == 0"), "plain")
    with pytest.raises(ValueError, match="table must hold every session of every recipe and draw"):
        session_table(table().iloc[:-1])
