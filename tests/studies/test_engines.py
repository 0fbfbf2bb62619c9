"""Engines side by side: whose predictions are held against whose, and what a rate counts."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kit.inference.serving import FoldServing
from kit.studies import engines
from kit.studies.engines import differences, engines_here, rate_bars, rates


def test_what_is_missing_is_told(monkeypatch, capsys):
    assert engines_here() == ["onnx", "openvino"] and capsys.readouterr().out == ""
    monkeypatch.setattr(engines, "find_spec", lambda name: name not in ("openvino",))
    assert engines_here() == ["onnx"]
    assert capsys.readouterr().out == "OpenVINO can't be used here; to try: pip install -e .[inference]\n"
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert engines_here() == [] and "ONNX Runtime and OpenVINO can't be used here" in capsys.readouterr().out


def test_differences_are_from_trainings_own_predictions(voices, small_run, monkeypatch):
    table = differences([small_run], voices, ["torch"])
    assert table.to_numpy().tolist() == [["small", "PyTorch", len(voices.test), 0.0, 0]]
    fold = pd.read_parquet(small_run.folder / "fold0/test.parquet")
    moved, (first, second) = fold.copy(), voices.classes[:2]
    said = fold.loc[0, list(voices.classes)].astype(float).idxmax()
    moved.loc[0, list(voices.classes)] = 0.0
    moved.loc[0, first if said != first else second] = 1.0
    monkeypatch.setattr(engines, "predict_aloud", lambda *_, **options: moved)
    table = differences([small_run], voices, ["onnx"])
    largest = np.abs(moved[list(voices.classes)] - fold[list(voices.classes)]).to_numpy().max()
    assert table.to_numpy().tolist() == [["small", "ONNX Runtime", len(voices.test), largest, 1]]


def test_a_rate_is_rows_by_seconds_and_engines_take_turns(voices, small_run, monkeypatch):
    seconds, asked = [0.0], []

    def batches(self, batches, threads):
        assert threads == 1
        asked.append(self.engine)
        seconds[0] += {"torch": 2.0, "onnx": 1.0}[self.engine]
        yield from ((np.array(batch), None) for batch in batches)

    monkeypatch.setattr(FoldServing, "batches", batches)
    monkeypatch.setattr(engines.time, "perf_counter", lambda: seconds[0])
    table = rates([small_run], voices, ["torch", "onnx"], n_rows=6, rounds=2)
    assert asked == ["torch", "onnx"] * 3
    assert table["rows_a_second"].tolist() == [3.0, 6.0, 3.0, 6.0] and table["round"].tolist() == [0, 0, 1, 1]


def test_bars_are_medians():
    table = pd.DataFrame({"run": "a", "engine": ["PyTorch", "OpenVINO"] * 3, "round": [0, 0, 1, 1, 2, 2],
                          "rows_a_second": [1.0, 20.0, 3.0, 30.0, 50.0, 10.0]})  # fmt: skip
    axes = rate_bars(table).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [3.0, 20.0]
    assert axes.get_ylabel() == "rows a second" and [line.get_ydata().tolist() for line in axes.lines][0] == [1, 3, 50]
    assert axes.get_title("left") == "a: no engine is plainly faster than PyTorch"
    faster = table.assign(run="b", rows_a_second=[4.0, 20.0, 5.0, 30.0, 6.0, 25.0])  # medians 5 and 25
    axes = rate_bars(pd.concat([table, faster])).axes[0]
    assert axes.get_title("left").endswith("\nb: OpenVINO 5.0 times PyTorch's speed")
    plt.close("all")


@pytest.fixture(autouse=True)
def in_the_cache(small_run, monkeypatch):
    monkeypatch.chdir(small_run.folder.parents[1])
