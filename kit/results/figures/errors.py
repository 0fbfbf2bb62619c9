"""Figures of what runs get wrong: which classes are confused, whether confidence is earned, whose errors are shared."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from kit.results.figures.style import COLORS, styled

NAMED = 60  # classes that an axis names one by one


def confusion(share: pd.DataFrame, title: str) -> Figure:
    """A table of kit.results.errors.confusion_shares: rows are true classes, columns answers, each row sums to 1.

    A square's colour goes with the root of its share, so that rare confusions are seen beside the diagonal.
    """
    with styled():
        figure, axes = plt.subplots(figsize=(6.6, 5.6))
        norm = PowerNorm(0.5, 0, 1)
        image = axes.imshow(share, norm=norm, cmap=plt.get_cmap("Blues", 64), interpolation="nearest")
        size = 8 if len(share) <= 20 else 6
        if len(share) <= NAMED:
            axes.set_xticks(np.arange(len(share)), share.columns, rotation=90, fontsize=size)
            axes.set_yticks(np.arange(len(share)), share.index, fontsize=size)
        axes.set(title=title, xlabel="the answer", ylabel="the true class")
        axes.spines[["top", "right"]].set_visible(True)
        bar = figure.colorbar(image, ax=axes, label="share of the true class's rows", fraction=0.04)
        bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
    return figure


def calibration(table: pd.DataFrame, title: str) -> Figure:
    """A table of kit.results.errors.calibration_table: how often an answer is right, by how sure it is said."""
    with styled():
        figure, axes = plt.subplots(figsize=(5.2, 4.2))
        axes.plot([0, 1], [0, 1], "--", color="0.6", lw=1, label="as often right as it says")
        reach = [table["right"] - table["low"], table["high"] - table["right"]]
        label = "a bin of answers, 95 % interval (Wilson, rows)"
        axes.errorbar(table["says"], table["right"], reach, fmt="o-", color=COLORS[0], lw=1.2, ms=5, label=label)
        axes.set(title=title, xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set(xlabel="probability of the answer", ylabel="share of answers that are right")
        figure.legend(loc="outside lower center", ncols=1)
    return figure


def error_correlation(table: pd.DataFrame, title: str) -> Figure:
    """A table of kit.results.errors.error_correlation, its numbers written into the squares."""
    with styled():
        size = 2.6 + 0.62 * len(table)
        figure, axes = plt.subplots(figsize=(size + 0.8, size - 0.6))
        image = axes.imshow(table, vmin=0, vmax=1, cmap="cividis")
        for row, values in enumerate(table.to_numpy()):
            for column, value in enumerate(values):
                color = "white" if value < 0.5 else "black"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=9)
        axes.set_xticks(np.arange(len(table)), table.columns, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(np.arange(len(table)), table.index)
        axes.set_title(title)
        figure.colorbar(image, ax=axes, label="correlation of errors", fraction=0.04)
    return figure
