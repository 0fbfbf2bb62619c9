"""Figures of CV beside the leaderboard: runs with intervals both ways, fold by fold, and public beside private."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kit.competition.metrics import METRICS
from kit.results.figures.runs import better
from kit.results.figures.style import FELL_COLOR, run_styles, styled
from kit.results.lb import FELL, cv_rose_lb_fell
from kit.results.ledger import is_share, noise


def cv_against_lb(ledger: pd.DataFrame, title: str, public_rows: int | None = None) -> Figure:
    """Each submission's CV against its public score, with 95 % intervals; the dashed line is where both are equal.

    CV's interval is the ledger's; the public score's is what public_rows rows leave to chance, and is drawn where that
    number is given and the metric is a share. A ring is around a run whose CV is better than the first row's, and
    public score worse.
    """
    ledger = ledger.dropna(subset=["cv", "public"])
    with styled():
        figure, axes = plt.subplots(figsize=(7, 4.4))
        fell, share = cv_rose_lb_fell(ledger), is_share(ledger["metric"].iloc[0])
        styles = run_styles(ledger["name"])
        for row in ledger.itertuples():
            across = [[row.cv - row.cv_low], [row.cv_high - row.cv]]
            up = 1.96 * noise(row.public, public_rows) if public_rows is not None and share else None
            axes.errorbar(row.cv, row.public, up, across, ls="", lw=1.2, ms=6, label=row.name, **styles[row.name])
        ends = [ledger[["cv", "public"]].min().min(), ledger[["cv", "public"]].max().max()]
        axes.plot(ends, ends, "--", color="0.6", lw=1, label="CV = public score")
        if fell.any():
            ring = {"ms": 13, "mfc": "none", "mec": FELL_COLOR, "ls": "", "label": FELL}
            axes.plot(ledger["cv"][fell], ledger["public"][fell], "o", **ring)
        axes.set(title=title, xlabel=f"CV score (95 % interval)    {_arrow(ledger)}")
        chance = f" (95 % of chance, {public_rows} rows)" if public_rows is not None and share else ""
        axes.set_ylabel(f"public score{chance}    {_arrow(ledger)}")
        figure.legend(loc="outside right center")
    return figure


def folds_against_lb(folds: Mapping[str, Sequence[float]], public: Mapping[str, float], title: str) -> Figure:
    """Each run's score of each fold, joined, at the height of its public score."""
    with styled():
        figure, axes = plt.subplots(figsize=(7, 4.0))
        for (name, scores), style in zip(folds.items(), run_styles(folds).values(), strict=True):
            height = np.full(len(scores), public[name])
            axes.plot(scores, height, color=style["color"], lw=1.2, alpha=0.6)
            axes.plot(scores, height, ls="", ms=6, label=name, **style)
            for fold, score in enumerate(scores):
                axes.annotate(str(fold), (score, public[name]), (0, 6), textcoords="offset points", ha="center", size=7)
        axes.set(title=title, xlabel="score of a fold (its number above the mark)", ylabel="public score")
        figure.legend(loc="outside right center")
    return figure


def shake_up(table: pd.DataFrame, title: str) -> Figure:
    """A line a run from its public to its private score; columns name, public, private."""
    with styled():
        figure, axes = plt.subplots(figsize=(6, 4.0))
        styles = run_styles(table["name"])
        for row in table.itertuples():
            axes.plot([0, 1], [row.public, row.private], lw=1.5, ms=6, label=row.name, **styles[row.name])
        axes.set_xticks([0, 1], ["public", "private"])
        axes.set(title=title, xlim=(-0.2, 1.2), ylabel="score")
        figure.legend(loc="outside right center")
    return figure


def _arrow(ledger: pd.DataFrame) -> str:
    metric = METRICS.get(ledger["metric"].iloc[0])
    return better(metric) if metric else {"False": "← better"}.get(ledger["higher_is_better"].iloc[0], "better →")
