"""Figures of trainings: curves of loss, score and learning rate, scores with intervals, scores against their cost."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.competition.metrics import Metric, MetricLike, as_metric
from kit.results.compare import as_run, metric_of
from kit.results.figures.style import run_styles, styled
from kit.training.runs import Run


def learning_curves(runs: Sequence[Run | str | Path], metric: MetricLike | None = None) -> Figure:
    """Loss and score by step, in training (dashed, the mean over folds) and validation (a line a fold), and the rate.

    A mark is the epoch that a fold kept. The training score is drawn where the metric is accuracy, which alone the log
    has of training batches. metric is what the runs were trained by, the first one's own by default.
    """
    loaded = [as_run(run) for run in runs]
    metric = metric_of(loaded[0], metric)
    with styled():
        figure, (loss, score, rate) = plt.subplots(1, 3, figsize=(10, 3.6), width_ratios=(4, 4, 2.4))
        for run, style in zip(loaded, _styles(loaded), strict=True):
            logs = [pd.read_csv(path) for path in sorted(run.folder.glob("fold*/log.csv"))]
            _draw_logs(logs, {"loss": loss, "score": score, "rate": rate}, style, metric, run.name)
        figure.suptitle("Dashed in training, a line a fold in validation; a mark is the epoch that is kept", size=11)
        loss.set(title="Loss", ylabel="training loss, validation log loss (nats)")
        score.set(title="Score", ylabel=f"{metric.name}    {better(metric)}", ylim=metric.bounds)
        rate.set(title="Learning rate", ylim=(0, None))
        rate.ticklabel_format(axis="y", scilimits=(0, 0))
        for axes in (loss, score, rate):
            axes.set_xlabel("training step")
        figure.legend(*score.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(loaded), 6))
    return figure


def _draw_logs(logs: list[pd.DataFrame], axes: dict[str, Axes], style: dict, metric: Metric, name: str) -> None:
    color = style["color"]
    for fold, log in enumerate(logs):
        axes["loss"].plot(log["step"], log["valid_loss"], color=color, lw=1, alpha=0.8)
        axes["score"].plot(log["step"], log["valid_score"], color=color, lw=1, alpha=0.8, label=None if fold else name)
        if log["valid_score"].notna().any():  # a run on all rows has none
            best = (log["valid_score"] * metric.sign).idxmax()
            axes["score"].plot(log["step"][best], log["valid_score"][best], color=color, marker=style["marker"], ms=5)
    training = pd.concat(logs).groupby("step").mean()
    axes["loss"].plot(training.index, training["loss"], "--", color=color, lw=1.5)
    if metric.name == "accuracy":
        axes["score"].plot(training.index, training["train_accuracy"], "--", color=color, lw=1.5)
    axes["rate"].plot(training.index, training["lr"], color=color, lw=1.5)


def score_against_minutes(table: pd.DataFrame, title: str, metric: MetricLike = "accuracy") -> Figure:
    """What each experiment of cv_table cost and what it scored, with its 95 % interval."""
    metric = as_metric(metric)
    with styled():
        figure, axes = plt.subplots(figsize=(7, 3.8))
        for row, style in zip(table.itertuples(), run_styles(table["name"]).values(), strict=True):
            reach = [[row.oof - row.low], [row.high - row.oof]]
            axes.errorbar(row.minutes, row.oof, reach, ls="", lw=1.5, ms=6, label=row.name, **style)
        axes.set(title=title, xlabel="training time of all folds of a seed (min)", xlim=(0, None))
        axes.set_ylabel(f"out-of-fold {metric.name} (95 % interval)\n{better(metric)}")
        figure.legend(loc="outside right center")
    return figure


def intervals(
    table: pd.DataFrame, value: str, title: str, xlabel: str, zero: bool = False, metric: MetricLike = "accuracy"
) -> Figure:
    """A dot and its 95 % interval a row: columns name, `value`, low, high; an arrow says which way is better."""
    table = table.dropna(subset=[value]).iloc[::-1]
    with styled():
        figure, axes = plt.subplots(figsize=(7, 0.42 * len(table) + 1.3))
        for height, (row, style) in enumerate(zip(table.itertuples(), _row_styles(table), strict=True)):
            axes.hlines(height, row.low, row.high, lw=2.5, alpha=0.6, color=style["color"])
            axes.plot(getattr(row, value), height, **style)
        if zero:
            axes.axvline(0, color="0.4", lw=1)
        axes.set_yticks(np.arange(len(table)), table["name"])
        axes.set(title=title, xlabel=f"{xlabel}    {better(as_metric(metric))}", ylim=(-0.6, len(table) - 0.4))
    return figure


def better(metric: Metric) -> str:
    """Which way along an axis is better, of the metric or of differences in it."""
    return "better →" if metric.higher_is_better else "← better"


def _row_styles(table: pd.DataFrame) -> list[dict[str, str]]:
    styles = run_styles(table["name"].iloc[::-1])
    return [styles[name] for name in table["name"]]


def _styles(runs: Sequence[Run]) -> list[dict[str, str]]:
    """By experiment; a run in memory may be named otherwise than its experiment."""
    names = [run.experiment["name"] for run in runs]
    styles = run_styles(names)
    return [styles[name] for name in names]
