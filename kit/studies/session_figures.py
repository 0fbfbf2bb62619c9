"""The figures of few-shot sessions: accuracy by session, and which prototypes resemble each other."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kit.results.figures import styled


def session_curves(table: pd.DataFrame, value: str = "accuracy") -> Figure:
    """A line a recipe, its mean over draws after each session, in a band of one sd either side.

    table: columns recipe, draw, session, classes and `value`, as kit.studies.few_shot.run_sessions gives them.
    """
    classes = table.groupby("session")["classes"].first()
    shown = {"accuracy": "all classes seen", "base": "the base classes", "new": "the new classes"}
    with styled():
        figure, axes = plt.subplots(figsize=(7, 3.8))
        for name, part in table.groupby("recipe", sort=False):
            drawn = part.pivot(index="draw", columns="session", values=value).dropna(axis=1, how="all")
            mean, sd = drawn.mean(), drawn.std().fillna(0)
            (line,) = axes.plot(mean.index, mean, "o-", ms=4, label=name)
            axes.fill_between(mean.index, mean - sd, mean + sd, color=line.get_color(), alpha=0.15, lw=0)
        axes.set_xticks(classes.index, [f"{session}\n{n} classes" for session, n in classes.items()])
        axes.set(title="Mean over the draws of the shots, ± 1 sd", xlabel="session (0 is the base session)")
        axes.set_ylabel(f"accuracy, {shown.get(value, value)}")
        axes.legend()
    return figure


def prototype_similarities(similarity: np.ndarray, names: Sequence[str], n_base: int, title: str) -> Figure:
    """similarity (C, C), cosines of prototypes, as a heat map; the first n_base names are marked as base, others new.

    Raises ValueError where the shapes do not fit.
    """
    similarity, n = np.asarray(similarity), len(names)
    if similarity.shape != (n, n):
        raise ValueError(f"similarity must be ({n}, {n}) like names, got {similarity.shape}")
    if not 0 < n_base < n:
        raise ValueError(f"n_base must be above 0 and below {n}, got {n_base}")
    limit = max(0.1, float(np.abs(similarity[~np.eye(n, dtype=bool)]).max()))  # the diagonal's 1 takes no colour
    with styled():
        size = 2.2 + 0.16 * n
        figure, axes = plt.subplots(figsize=(size + 0.8, size))
        image = axes.imshow(similarity, cmap="RdBu_r", vmin=-limit, vmax=limit)
        for line in (axes.axvline, axes.axhline):
            line(n_base - 0.5, color="black", lw=1)
        axes.set_xticks(range(n), names, rotation=90, fontsize=7)
        axes.set_yticks(range(n), names, fontsize=7)
        for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
            for tick in ticks[n_base:]:
                tick.set(color="#b0413e", fontweight="bold")
        axes.set(title=title, xlabel="base | new (bold)", ylabel="new (bold) | base")
        figure.colorbar(image, ax=axes, label="cosine of the prototypes", fraction=0.04)
    return figure
