"""Figures of few-shot sessions: accuracy by session, which prototypes resemble each other; and confusions to hear."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kit.data.store import Store
from kit.results.figures import run_styles, styled
from kit.studies.players import player
from kit.studies.session_draws import Sessions

if TYPE_CHECKING:
    from IPython.display import HTML


def session_curves(sessions: Sessions, methods: Sequence[str], title: str) -> Figure:
    """A line a method, its mean over draws and trainings after each session, in a band of one sd over draws.

    Left over the words of all sessions so far, right over those known by their shots alone.
    """
    protocol, styles = sessions.protocol, run_styles(sessions.predicted)
    panels = (("all words so far", 0, 0), ("new words alone", 1, 1))  # with the first session of their words, and shown
    with styled():
        figure, grid = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
        for axes, (shown, first_word, first) in zip(grid, panels, strict=True):
            for name in methods:
                values = _by_session(sessions, name, first_word)[:, first:]  # (D, sessions)
                x, mean = np.arange(first, protocol.sessions + 1), values.mean(0)
                sd = values.std(0, ddof=1) if len(values) > 1 else np.zeros_like(mean)
                axes.plot(x, mean, ms=5, label=name, **styles[name])
                axes.fill_between(x, mean - sd, mean + sd, color=styles[name]["color"], alpha=0.15, lw=0)
            ticks = range(first, protocol.sessions + 1)
            axes.set_xticks(ticks, [f"{session}\n{protocol.n_seen(session)} words" for session in ticks])
            axes.set(xlabel="session (0 is the base session)", ylabel=f"accuracy, {shown}")
        figure.suptitle(f"{title} (bands: ± 1 sd over draws)", fontsize=11, x=0.01, ha="left")
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(len(methods), 5))
    return figure


def _by_session(sessions: Sessions, name: str, first_word: int) -> np.ndarray:
    """Accuracy (D, S + 1) over the rows whose words came in sessions from first_word on; NaN where none has."""
    entered, right = sessions.entered, sessions.right(name).mean(0)  # (D, M, S + 1)
    seen = [(entered >= first_word) & (entered <= session) for session in range(right.shape[2])]
    columns = [right[:, rows, session].mean(1) if rows.any() else np.full(len(right), np.nan)
               for session, rows in enumerate(seen)]  # fmt: skip
    return np.stack(columns, 1)


def difference_intervals(table: pd.DataFrame, sessions: Sessions, title: str, xlabel: str) -> Figure:
    """session_differences: a dot and its 95 % interval a row, in the colour that its first method has in the curves."""
    table, styles = table.iloc[::-1], run_styles(sessions.predicted)
    with styled():
        figure, axes = plt.subplots(figsize=(7, 0.42 * len(table) + 1.3))
        for height, row in enumerate(table.itertuples()):
            axes.hlines(height, row.low, row.high, lw=2.5, alpha=0.6, color=styles[row.ours]["color"])
            axes.plot(row.delta, height, **styles[row.ours])
        axes.axvline(0, color="0.4", lw=1)
        axes.set_yticks(np.arange(len(table)), table["name"])
        axes.set(title=title, xlabel=f"{xlabel}    better →", ylim=(-0.6, len(table) - 0.4))
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
        size = 2.2 + 0.14 * n
        figure, axes = plt.subplots(figsize=(size + 0.8, size))
        image = axes.imshow(similarity, cmap="RdBu_r", vmin=-limit, vmax=limit)
        for line in (axes.axvline, axes.axhline):
            line(n_base - 0.5, color="black", lw=1)
        axes.set_xticks(range(n), names, rotation=90, fontsize=6)
        axes.set_yticks(range(n), names, fontsize=6)
        for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
            for tick in ticks[n_base:]:
                tick.set(fontweight="bold")
        axes.set(title=title, xlabel="base | new (bold)", ylabel="new (bold) | base")
        figure.colorbar(image, ax=axes, label="cosine of the prototypes", fraction=0.04)
    return figure


def confused_players(table: pd.DataFrame, store: Store, known: np.ndarray, n_base: int) -> "HTML":
    """confusions of session_scores to hear: the test clip most often taken wrongly, beside one of each of both words.

    known: rows of the store that the examples are of. A store of log-mels has nothing to play.
    """
    from IPython.display import HTML

    target = store.index["target"].to_numpy()

    def told(word: str) -> str:
        return f"{word} ({'base' if store.classes.index(word) < n_base else 'new'})"

    def example(word: str) -> str:
        return _player(store, known[target[known] == store.classes.index(word)][0])

    rows = [
        {
            "word": told(pair.word), "taken for": told(pair.taken_for), "share of its clips": f"{pair.share:.3f}",
            "clip most often taken so": _player(store, pair.row), "how often": f"{pair.times:.3f}",
            "an example of the word": example(pair.word), "of what it was taken for": example(pair.taken_for),
        }
        for pair in table.itertuples()
    ]  # fmt: skip
    return HTML(pd.DataFrame(rows).to_html(index=False, border=0, escape=False))


def _player(store: Store, row: int) -> str:
    if store.kind != "wave":
        return "no audio"
    return player(store.recording(row)[:, 0].numpy(), store.mel.sample_rate_hz)
