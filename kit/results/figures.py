"""The notebooks' figures, each from a table or a store, each with one message, axis names and units."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from kit.competition.metrics import MetricLike
from kit.data.store import Store
from kit.results.compare import as_run, metric_of, metric_title
from kit.results.lb import FELL, cv_rose_lb_fell
from kit.results.ledger import is_share, noise
from kit.training.runs import Run

STYLE = {
    "figure.dpi": 80,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.prop_cycle": plt.cycler(color=["#2a6f97", "#e07a3f", "#5b8c5a", "#8a5a9b", "#b0413e", "#6b6b6b"]),
    "legend.frameon": False,
}

RANGE_NATS = 12.0  # what a spectrogram shows below its loudest, 52 dB: silence would take all the colours


@contextmanager
def styled() -> Iterator[None]:
    """The kit's style for the figures that the block makes; settings outside stay as they are.

    A notebook's backend changes settings when it draws for the first time, which the block's end would undo, and no
    later figure would be shown: so it is made to do so before.
    """
    plt.draw_if_interactive()
    with plt.rc_context(STYLE):
        yield


def lengths(store: Store) -> Figure:
    """How long utterances are, training beside test."""
    hop = store.mel.hop_seconds if store.mel else 0.01
    seconds = store.index["frames"] * hop
    with styled():
        figure, axes = plt.subplots(figsize=(7, 3))
        bins = np.linspace(seconds.min(), seconds.max() + hop, 25)
        for split in ("train", "test"):
            part = seconds[store.index["split"] == split]
            axes.hist(part, bins, weights=np.full(len(part), 100 / len(part)), histtype="step", lw=2, label=split)
        axes.set(title="How long the utterances are", xlabel="length (s)", ylabel="share of the split (%)")
        axes.legend()
    return figure


def class_balance(train: pd.DataFrame) -> Figure:
    """Training utterances of each class, the commonest first."""
    counts = train["label"].value_counts()
    with styled():
        figure, axes = plt.subplots(figsize=(7, 2.6))
        axes.bar(np.arange(len(counts)), counts, width=0.9)
        span = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
        title = f"{len(counts)} classes, {span} training utterances each"
        axes.set(title=title, xlabel="class, by number of utterances", ylabel="training utterances")
    return figure


def spectrograms(mels: Sequence[Tensor], titles: Sequence[str], columns: int = 3, hop_seconds: float = 0.01) -> Figure:
    """Log-mels (T, F) side by side, on one colour scale."""
    rows = -(-len(mels) // columns)
    lowest, highest = np.percentile(np.concatenate([np.ravel(mel) for mel in mels]), [2, 99.5])
    lowest = max(lowest, highest - RANGE_NATS)
    with styled():
        figure, grid = plt.subplots(rows, columns, figsize=(2.7 * columns, 1.8 * rows + 0.4), squeeze=False)
        for axes in grid.flat[len(mels) :]:
            axes.set_visible(False)
        for axes, mel, title in zip(grid.flat, mels, titles, strict=False):
            extent = (0, len(mel) * hop_seconds, -0.5, mel.shape[1] - 0.5)
            image = axes.imshow(
                np.asarray(mel).T, origin="lower", aspect="auto", interpolation="nearest", extent=extent,
                vmin=lowest, vmax=highest, cmap=plt.get_cmap("magma", 32),
            )  # fmt: skip
            axes.set_title(title, fontsize=9)
        for axes in grid[-1]:
            axes.set_xlabel("time (s)")
        for axes in grid[:, 0]:
            axes.set_ylabel("mel bin")
        figure.colorbar(image, ax=grid, label="log power (nats)", fraction=0.03)
    return figure


def learning_curves(runs: Sequence[Run | str | Path], metric: MetricLike | None = None) -> Figure:
    """Each run's validation score by step, a thin line a fold, the fold's best epoch marked.

    metric is what the runs were trained by, the first one's own by default.
    """
    runs = [as_run(run) for run in runs]
    metric = metric_of(runs[0], metric)
    with styled():
        figure, axes = plt.subplots(figsize=(7, 3.4))
        colors = plt.rcParams["axes.prop_cycle"].by_key()["color"]
        for number, run in enumerate(runs):
            color = colors[number % len(colors)]
            for fold, path in enumerate(sorted(run.folder.glob("fold*/log.csv"))):
                log = pd.read_csv(path)
                best = (log["valid_score"] * metric.sign).idxmax()
                label = run.name if fold == 0 else None
                axes.plot(log["step"], log["valid_score"], color=color, lw=1, alpha=0.8, label=label)
                axes.plot(log["step"][best], log["valid_score"][best], "o", color=color, ms=4)
        title = "What each fold learned, its best validation marked"
        axes.set(title=title, xlabel="training step", ylabel=f"validation {metric_title(metric)}", ylim=metric.bounds)
        axes.legend(loc="upper left" if metric.higher_is_better else "upper right")
    return figure


def intervals(table: pd.DataFrame, value: str, title: str, xlabel: str, zero: bool = False) -> Figure:
    """A dot and its 95 % interval a row: columns name, `value`, low, high."""
    table = table.dropna(subset=[value]).iloc[::-1]
    with styled():
        figure, axes = plt.subplots(figsize=(7, 0.42 * len(table) + 1.2))
        height = np.arange(len(table))
        axes.hlines(height, table["low"], table["high"], lw=2.5, alpha=0.6)
        axes.plot(table[value], height, "o")
        if zero:
            axes.axvline(0, color="0.4", lw=1)
        axes.set_yticks(height, table["name"])
        axes.set(title=title, xlabel=xlabel, ylim=(-0.6, len(table) - 0.4))
    return figure


def cv_against_lb(ledger: pd.DataFrame, title: str, public_rows: int | None = None) -> Figure:
    """Each submission's CV (with its interval) against its public score; the dashed line is where both are equal.

    With public_rows a band shows what so many rows leave to chance, about the mean offset of public score from CV,
    where the metric is a share. Runs whose CV is better than the first row's, and public score worse, are red.
    """
    ledger = ledger.dropna(subset=["cv", "public"])
    with styled():
        figure, axes = plt.subplots(figsize=(5.6, 4.6))
        reach = [ledger["cv"] - ledger["cv_low"], ledger["cv_high"] - ledger["cv"]]
        axes.errorbar(ledger["cv"], ledger["public"], xerr=reach, fmt="o", lw=1.2, alpha=0.8)
        ends = [min(ledger["cv"].min(), ledger["public"].min()), max(ledger["cv"].max(), ledger["public"].max())]
        axes.plot(ends, ends, "--", color="0.6", lw=1)
        fell = cv_rose_lb_fell(ledger)
        if fell.any():
            axes.plot(ledger["cv"][fell], ledger["public"][fell], "o", color="#b0413e", label=FELL, zorder=3)
        if public_rows is not None and is_share(ledger["metric"].iloc[0]):
            cv = np.linspace(*ends, 50)
            middle = (cv + (ledger["public"] - ledger["cv"]).mean()).clip(0, 1)
            band = [1.96 * noise(score, public_rows) for score in middle]
            label = f"95 % of chance, {public_rows} public rows"
            axes.fill_between(cv, middle - band, middle + band, color="0.85", lw=0, zorder=0, label=label)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", fontsize=8)
        for row in ledger.itertuples():
            axes.annotate(row.name, (row.cv, row.public), xytext=(5, 5), textcoords="offset points", fontsize=8)
        axes.set(title=title, xlabel="CV score (95 % interval)", ylabel="public score")
    return figure
