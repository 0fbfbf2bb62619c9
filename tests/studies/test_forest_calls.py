"""Who calls in the made-up rainforest: counts by the tables themselves, false alarms by a run made by hand."""

import numpy as np
import pandas as pd
import pytest

from kit.competition.labels import known_matrix
from kit.demos.rainforest import read_truth
from kit.studies import forest_calls
from kit.studies.forest_calls import Scene, call_table, calls_to_hear, false_alarms, listening
from kit.training.runs import Run


def test_a_row_a_species_by_its_band(rainforest):
    table, boxes = call_table(rainforest, read_truth(rainforest.folder)).set_index("species"), rainforest.boxes
    assert table["from (kHz)"].is_monotonic_increasing and set(table.index) == set(boxes["label"])
    name = table.index[0]
    own = boxes[boxes["label"] == name]
    assert table.at[name, "from (kHz)"] == pytest.approx(np.median(own["f_min"]) / 1000)
    assert table.at[name, "to (kHz)"] == pytest.approx(np.median(own["f_max"]) / 1000)
    assert table.at[name, "right"] == own["true"].sum() and table.at[name, "wrong"] == (~own["true"]).sum()
    assert table["right"].sum() + table["wrong"].sum() == len(boxes)
    assert (table["truly there"] >= table["right"]).all() and "truly there" not in call_table(rainforest)


def test_calls_to_hear_are_right_boxes_from_low_to_high(rainforest):
    heard = calls_to_hear(rainforest, most=2)
    order = call_table(rainforest).query("right > 0")["species"].tolist()
    assert heard["species"].tolist() == [order[0], order[-1]]
    box = rainforest.boxes.query("true and label == @order[0]").iloc[0]
    assert heard.at[0, "call"].seconds == pytest.approx((box["t_min"] + box["t_max"]) / 2)
    page = listening(heard).data
    assert page.count("<audio controls") == 2 and "Scene(" not in page


def test_false_alarms_are_what_is_likeliest_and_not_there(rainforest, monkeypatch):
    """Row 0's first wrong species at 0.9, row 1's at 0.8; nets are not asked where, but told."""
    target = known_matrix(rainforest.train["label"], rainforest.classes)
    both = np.flatnonzero((target == 0).any(0) & (target == 1).any(0))
    one, two = both[:2]
    probability = np.full(target.shape, 0.1)
    row, other = int(np.flatnonzero(target[:, one] == 0)[0]), int(np.flatnonzero(target[:, two] == 0)[0])
    probability[row, one], probability[other, two] = 0.9, 0.8
    good = int(np.flatnonzero(target[:, one] == 1)[-1])
    probability[good, one] = 0.7
    facts = pd.DataFrame({"id": rainforest.train["id"], "fold": 0, "label": rainforest.train["label"]})
    table = pd.concat([facts, pd.DataFrame(probability, columns=list(rainforest.classes))], axis=1)
    run = Run("hand", {"name": "hand"}, {"metric": "lwlrap", "task": "multi"}, table)
    monkeypatch.setattr(forest_calls, "_heard_at", lambda run, store, row, number: 2.5)
    alarms = false_alarms(run, None, rainforest, most=2)
    ids = rainforest.train["id"]
    assert alarms["said"].tolist() == [rainforest.classes[one], rainforest.classes[two]]
    assert alarms["probability"].tolist() == ["0.90", "0.80"]
    assert alarms.at[0, "recording"] == f"{ids[row]}, 2.5 s"
    assert alarms.at[0, "right call"] == Scene(rainforest, ids[good], 2.5)
    assert rainforest.classes[one] not in alarms.at[0, "calls there"].split(", ")


def test_what_truly_calls_in_what_is_played():
    rows = [("x", "s1", 0.0, 1.0), ("x", "s2", 2.0, 2.4), ("x", "s3", 4.1, 5.0), ("y", "s4", 2.0, 3.0)]
    truth = pd.DataFrame(rows, columns=["id", "label", "t_min", "t_max"])
    assert forest_calls._truly_at(truth, "x", 3.0) == ["s2"], "from 2 to 4 s"
