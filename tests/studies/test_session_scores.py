import numpy as np
import pytest

from kit.results.bootstrap import interval, paired
from kit.studies.session_draws import Sessions
from kit.studies.session_protocol import Protocol
from kit.studies.session_scores import (
    MEASURES,
    by_session,
    confusions,
    differences_reading,
    scores,
    session_differences,
    session_table,
    told,
)

SMALL = Protocol(("a", "b", "c", "d", "e", "f"), n_base=2, sessions=2, ways=2, shots=3)
# Rows of the classes a, a, b, c, d, e; right after sessions 0, 1, 2: 3 of 3, 4 of 5, 3 of 6.
ENTERED = np.array([0, 0, 0, 1, 1, 2])
RIGHT = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1], [1, 0, 0]], dtype=bool)


def sessions(n_rows=240, seed=0, better=0.2, trainings=2, clusters=True):
    """Methods "plain", right in half of the cases, and "ours", right in more; "same" is plain again."""
    rng, target = np.random.default_rng(seed), np.arange(n_rows) % 6
    shape = (trainings, 3, n_rows, 3)
    plain, ours = (
        np.where(rng.random(shape) < p, target[:, None], (target[:, None] + 1) % 6) for p in (0.5, 0.5 + better)
    )
    predicted = {"plain": plain, "ours": ours, "same": plain}
    return Sessions(SMALL, np.arange(n_rows), target, np.arange(n_rows) // 6 if clusters else None, predicted)


def test_measures_by_hand():
    assert by_session(ENTERED, RIGHT).tolist() == [1.0, 4 / 5, 3 / 6]
    found = {name: metric(ENTERED, RIGHT) for name, metric in MEASURES.items()}
    assert found == pytest.approx(
        {"base session": 1.0, "last session": 0.5, "average": (1 + 0.8 + 0.5) / 3, "drop": 0.5,
         "new words": 2 / 3, "base words": 1 / 3}
    )  # fmt: skip
    assert not MEASURES["drop"].higher_is_better and MEASURES["average"].higher_is_better


def test_a_measure_of_the_mean_over_draws_is_the_mean_of_the_measures():
    draws = sessions().right("ours")[0]
    entered = sessions().entered
    for metric in MEASURES.values():
        assert metric(entered, draws.mean(0)) == pytest.approx(np.mean([metric(entered, draw) for draw in draws]))


def test_rows_without_what_a_measure_is_of_are_refused():
    with pytest.raises(ValueError, match="right must hold a row of a base class, got none"):
        MEASURES["average"](ENTERED[3:], RIGHT[3:])
    with pytest.raises(ValueError, match="right must hold a row of a new class, got none"):
        MEASURES["new words"](ENTERED[:3], RIGHT[:3])
    with pytest.raises(ValueError, match="right must hold a row of a base class, got none"):
        MEASURES["base words"](ENTERED[3:], RIGHT[3:])


def test_the_table_has_the_kits_intervals_and_the_luck_of_draws_and_trainings():
    given = sessions()
    table = session_table(given, ["average"]).set_index("method")
    assert list(table.index) == ["plain", "ours", "same"]
    right = given.right("ours")
    wanted = interval(given.entered, right.mean((0, 1)), MEASURES["average"], given.clusters)
    assert table.loc["ours", "average"] == str(wanted)
    values = np.array([[MEASURES["average"](given.entered, draw) for draw in training] for training in right])
    assert table.loc["ours", "by training"] == ", ".join(f"{mean:.3f}" for mean in values.mean(1))
    assert table.loc["ours", "sd over draws"] == f"{values.mean(0).std(ddof=1):.3f}"


def test_differences_are_paired_by_rows_draws_and_trainings():
    given = sessions()
    table = session_differences(given, [("ours", "plain"), ("same", "plain")])
    ours, same = (row for _, row in table.iterrows())
    wanted = paired(
        given.entered, given.right("ours").mean((0, 1)), given.right("plain").mean((0, 1)), MEASURES["average"],
        given.clusters,
    )  # fmt: skip
    assert (ours["delta"], ours["low"], ours["high"], ours["p"]) == (wanted.delta, wanted.low, wanted.high, wanted.p)
    assert ours["verdict"] == "better" and ours["p_holm"] == pytest.approx(min(1, 2 * ours["p"]))
    assert (same["delta"], same["sd over draws"], same["verdict"]) == (0, "0.000", "not told apart")
    assert same["by training"] == "+0.000, +0.000"
    worse = session_differences(given, [("plain", "ours")]).iloc[0]
    assert worse["verdict"] == "worse" and worse["delta"] == -ours["delta"]


def test_less_of_a_drop_is_better():
    target = np.arange(240) % 6
    steady = np.broadcast_to(target[:, None], (1, 2, 240, 3)).copy()
    falling = steady.copy()
    falling[..., ::2, 2] = (falling[..., ::2, 2] + 1) % 6
    given = Sessions(SMALL, np.arange(240), target, None, {"steady": steady, "falling": falling})
    row = session_differences(given, [("steady", "falling")], "drop").iloc[0]
    assert row["delta"] == pytest.approx(-0.5) and row["verdict"] == "better"


def test_a_table_to_read_has_its_interval_in_one_cell():
    table = differences_reading(session_differences(sessions(), [("ours", "plain")]))
    assert table["methods"].tolist() == ["ours − plain"]
    assert table["Δ [95 %, uncorrected]"].str.fullmatch(r"\+0\.\d{3} \[\+0\.\d{3}, \+0\.\d{3}\]").all()


def test_a_line_tells_two_methods_apart():
    line = told(sessions(), "ours", "plain")
    row = session_differences(sessions(), [("ours", "plain")]).iloc[0]
    assert f"(average): {row['delta']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], 95 %" in line
    assert line.startswith(f"ours {scores(sessions(), 'average')['ours']:.3f}, plain 0.") and line.endswith(
        "2 training(s) of each"
    )


def test_confusions_by_hand():
    """Of class c's four rows in two draws, five of eight go to d, row 2 in both; one of a's goes to b."""
    target = np.array([0, 1, 2, 2, 2, 2, 3, 4, 5])
    last = np.tile(target, (1, 2, 1))
    last[0, :, 2:4], last[0, 0, 4], last[0, 1, 0] = 3, 3, 1
    predicted = np.repeat(last[..., None], 3, axis=3)
    found = confusions(Sessions(SMALL, 10 * np.arange(9), target, None, {"m": predicted}), "m", 2)
    assert found.values.tolist() == [["c", "d", 5 / 8, 20, 1.0], ["a", "b", 1 / 2, 0, 1 / 2]]


def test_bad_names_are_told():
    with pytest.raises(ValueError, match="measure must be one of base session, .*, got 'best'"):
        session_differences(sessions(), [("ours", "plain")], "best")
    with pytest.raises(ValueError, match="method must be one of plain, ours, same, got 'x'"):
        session_differences(sessions(), [("x", "plain")])
