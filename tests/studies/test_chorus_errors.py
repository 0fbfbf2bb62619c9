"""What is taken for what, on four rows that can be ranked by hand."""

import numpy as np
import pandas as pd
import pytest

from kit.studies.chorus_errors import certain_errors, confusion_table, taken_for
from kit.training.runs import Run

LABELS = ["x -*", "x -*", "y -*", "-*"]
SAID = {"x": [0.9, 0.8, 0.1, 0.2], "y": [0.7, 0.1, 0.6, 0.2], "z": [0.1, 0.2, 0.3, 0.4]}


def run_of(labels=LABELS, said=SAID):
    oof = pd.DataFrame({"id": [f"r{n}" for n in range(len(labels))], "fold": 0, "label": labels, **said})
    return Run("a-s0", {"name": "a"}, {"seed": 0, "metric": "roc_auc", "cluster": None, "task": "multi"}, oof)


def test_a_class_is_ranked_where_another_calls():
    share = taken_for(run_of())
    # x is ranked 4, 3, 1, 2 of four; y 4, 1, 3, 2; z 1, 2, 3, 4.
    assert share.loc["x", "x"] == pytest.approx((4 + 3) / 2 / 4)
    assert share.loc["x", "y"] == pytest.approx((4 + 1) / 2 / 4)
    assert share.loc["y", "x"] == pytest.approx(1 / 4)
    assert share.loc["y", "y"] == pytest.approx(3 / 4)
    assert share.loc["z"].isna().all(), "no row has z"


def test_what_is_unknown_counts_nowhere():
    share = taken_for(run_of(["x ?y -*", "x -*", "y -*", "-*"]))
    assert share.loc["x", "y"] == pytest.approx(1 / 4), "of the two rows with x one says nothing of y"


def test_pairs_come_the_most_confused_first_and_only_of_classes_that_call():
    table = confusion_table(run_of(), most=5, least=1)
    assert table[["calls", "taken for", "rows"]].to_numpy().tolist() == [["x", "y", 2], ["y", "x", 1]]
    assert table["rank of it there"].tolist() == pytest.approx([0.625, 0.25])
    assert table["rank where it calls"].tolist() == pytest.approx([0.75, 0.875])
    assert confusion_table(run_of(), least=2)["calls"].tolist() == ["x"]


def test_the_surest_error_of_a_class_stands_beside_its_surest_right_row():
    table = certain_errors(run_of())
    assert table["said"].tolist() == ["y", "x"], "z is nowhere, so that there is no right one to hear"
    first = table.iloc[0]
    assert (first["row"], first["probability"], first["there"]) == ("r0", 0.7, "x")
    assert (first["right"], first["probability in right"]) == ("r2", 0.6)
    assert table.iloc[1]["there"] == "nothing"


def test_nothing_is_changed():
    run = run_of()
    before = run.oof.copy()
    taken_for(run), confusion_table(run), certain_errors(run)
    pd.testing.assert_frame_equal(run.oof, before)
    assert np.isfinite(run.probability).all()
