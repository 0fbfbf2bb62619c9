"""Exported nets beside PyTorch's own: how far their predictions differ, and how many rows a second each does."""

import time
from collections.abc import Sequence
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kit.competition.competition import Competition
from kit.data.store import pack
from kit.inference.nets import fold_nets
from kit.inference.serving import FoldServing
from kit.results.figures import styled
from kit.studies.second_run import predict_aloud
from kit.training.runs import Run

NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino")}
NAMES = {"torch": "PyTorch", "onnx": "ONNX Runtime", "openvino": "OpenVINO"}


def engines_here() -> list[str]:
    """The engines that nets can be exported for here; a line tells how to install those that are missing."""
    there = [engine for engine, packages in NEEDED.items() if all(map(find_spec, packages))]
    if missing := [NAMES[engine] for engine in NEEDED if engine not in there]:
        print(f"{' and '.join(missing)} can't be used here; to try: pip install -e .[inference]")
    return there


def differences(runs: Sequence[Run], competition: Competition, engines: Sequence[str]) -> pd.DataFrame:
    """A row a run and engine: how far test probabilities are from training's own at most, and labels that changed.

    Each is of the run's first fold, by the file that export wrote into the run's folder.
    """
    rows = []
    for run in runs:
        (net, *_), classes = fold_nets(run), list(competition.classes)
        expected = pd.read_parquet(net.path.with_name("test.parquet"))[classes].to_numpy()
        for engine in engines:
            table = predict_aloud(run, competition, folds=[net.fold], engine=engine, progress=False)
            probability = table[classes].to_numpy()
            changed = int((probability.argmax(1) != expected.argmax(1)).sum())
            largest = float(np.abs(probability - expected).max())
            rows.append([run.experiment["name"], NAMES[engine], len(table), largest, changed])
    return pd.DataFrame(rows, columns=["run", "engine", "rows", "largest difference", "other labels"])


def rates(
    runs: Sequence[Run], competition: Competition, engines: Sequence[str], n_rows: int = 100, rounds: int = 5
) -> pd.DataFrame:
    """Rows a second of each run's first net by each engine on one thread: columns run, engine, round, rows_a_second.

    Reading packed features is included. The engines take turns, so that a slow spell of the machine touches all alike;
    a first turn, in which weights are loaded, is not counted.
    """
    rows = []
    for run in runs:
        net = fold_nets(run)[0]
        store = pack(competition, "cache", getattr(net.experiment.features, "mel", None), net.experiment.features.packs,
                     progress=False)  # fmt: skip
        servings = {engine: FoldServing(net, store, n_rows=n_rows, engine=engine) for engine in engines}
        for number in range(-1, rounds):
            for engine, serving in servings.items():
                started = time.perf_counter()
                done = sum(len(rows) for rows, _ in serving.batches(serving.serving.batches, threads=1))
                rate = done / (time.perf_counter() - started)
                rows.append([run.experiment["name"], NAMES[engine], number, rate])
    table = pd.DataFrame(rows, columns=["run", "engine", "round", "rows_a_second"])
    return table[table["round"] >= 0].reset_index(drop=True)


def rate_bars(table: pd.DataFrame) -> Figure:
    """A group of bars a run, the median rows a second by engine, each turn a dot; table as `rates` gives it.

    The title says which engine is faster than PyTorch, where its slowest turn is above PyTorch's fastest.
    """
    runs, engines = table["run"].unique(), table["engine"].unique()
    width = 0.8 / len(engines)
    with styled():
        figure, axes = plt.subplots(figsize=(7, 3.4))
        for number, engine in enumerate(engines):
            x = np.arange(len(runs)) + (number - (len(engines) - 1) / 2) * width
            turns = [table.loc[(table["run"] == run) & (table["engine"] == engine), "rows_a_second"] for run in runs]
            bars = axes.bar(x, [turn.median() for turn in turns], width * 0.92, label=engine)
            axes.bar_label(bars, fmt="%.0f", label_type="center", color="white")
            for at, turn in zip(x, turns, strict=True):
                axes.plot(np.full(len(turn), at), turn, "o", ms=3, color="0.2", alpha=0.6)
        axes.set_xticks(range(len(runs)), runs)
        axes.set(title=_told(table), xlabel="run (its first fold), on one thread: the median of turns, and each turn")
        axes.set(ylabel="rows a second", ylim=(0, 1.15 * table["rows_a_second"].max()))
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _told(table: pd.DataFrame) -> str:
    """Of each run the fastest engine whose slowest turn is above PyTorch's fastest, and by how much."""
    told = []
    for run, turns in table.groupby("run", sort=False):
        by_engine = {engine: turn["rows_a_second"] for engine, turn in turns.groupby("engine")}
        own = by_engine.pop(NAMES["torch"])
        faster = {engine: turn.median() for engine, turn in by_engine.items() if turn.min() > own.max()}
        if faster:
            engine = max(faster, key=faster.__getitem__)
            told.append(f"{run}: {engine} {faster[engine] / own.median():.1f} times PyTorch's speed")
        else:
            told.append(f"{run}: no engine is plainly faster than PyTorch")
    return "\n".join(told)
