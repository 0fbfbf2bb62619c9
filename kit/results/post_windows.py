"""Post-processing over the windows of a recording: smoothing, and the recording's peak.

Rows that are whole recordings stay as they are. BirdCLEF's kernels of 2025 and 2026 do both, with constants of their
own: here they are held against out-of-fold rows (kit.results.post).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from kit.competition.metrics import Metric
from kit.data.windows import pool_windows
from kit.parts import at_least, part
from kit.results.post_rows import Rows

Apply = Callable[[Rows], np.ndarray]


@part
class Smooth:
    """Each window as the weighted mean of itself and its neighbours; taps: an odd number of weights, its own amid them.

    A neighbour that is not there, at an end or where a window has no prediction, leaves its weight to the others.
    """

    taps: tuple = (0.2, 0.6, 0.2)

    def check(self):
        number = all(isinstance(tap, int | float) and not isinstance(tap, bool) and tap >= 0 for tap in self.taps)
        if len(self.taps) % 2 == 0 or not number or not self.taps[len(self.taps) // 2] > 0:
            raise ValueError(
                f"taps must be an odd number of weights of at least 0, the middle above 0, got {self.taps}"
            )

    def fit(self, rows: Rows, target: np.ndarray, metric: Metric) -> Apply:
        return self.apply

    def apply(self, rows: Rows) -> np.ndarray:
        """Probabilities (N, C)."""
        windows = np.flatnonzero(rows.windows)
        keys = _places(rows.take(windows))
        row_at = pd.Series(windows, index=keys)
        total, weight = np.zeros((len(windows), rows.probability.shape[1])), np.zeros((len(windows), 1))
        for offset, tap in enumerate(self.taps, -(len(self.taps) // 2)):
            beside = keys.set_levels(keys.levels[1] + offset, level=1)
            neighbour = row_at.reindex(beside, fill_value=-1).to_numpy()  # (W,)
            there = (neighbour >= 0)[:, None] & (tap > 0)
            total += np.where(there, tap * rows.probability[neighbour], 0)
            weight += np.where(there, tap, 0)
        smoothed = rows.probability.copy()
        smoothed[windows] = total / weight
        return smoothed


@part
class FilePeak:
    """Each window times (the mean over the `top` windows of its file where the class is likeliest) ** power."""

    power: float = 1.0
    top: int = 2

    def check(self):
        at_least(self, 0, "power")
        at_least(self, 1, "top")

    def fit(self, rows: Rows, target: np.ndarray, metric: Metric) -> Apply:
        return self.apply

    def apply(self, rows: Rows) -> np.ndarray:
        """Probabilities (N, C)."""
        windows = np.flatnonzero(rows.windows)
        if not len(windows):
            return rows.probability
        file, number = np.unique(rows.file[windows].astype(str), return_inverse=True)
        order = number.argsort(kind="stable")
        first = np.searchsorted(number[order], np.arange(len(file)))
        peak = pool_windows(rows.probability[windows[order]], first, "top", self.top)  # (F, C)
        raised = rows.probability.copy()
        raised[windows] *= peak[number] ** self.power
        return raised


def _places(rows: Rows) -> pd.MultiIndex:
    """(file, place) of windows, places counted in hops of `_hop_seconds`. Raises ValueError where one is twice."""
    table = pd.DataFrame({"file": rows.file, "second": rows.second}).sort_values(["file", "second"])
    steps = table.groupby("file")["second"].diff().dropna()
    if (steps == 0).any():
        row = steps.index[int((steps == 0).to_numpy().argmax())]
        raise ValueError(f"windows must be there once, got {rows.file[row]} at {rows.second[row]:g} s twice")
    hop = _hop_seconds(steps.to_numpy(), rows.length_seconds)
    place = np.floor(rows.second / hop + 0.5).astype(np.int64)  # no two at one: a half goes up, never to the even
    return pd.MultiIndex.from_arrays([rows.file, place], names=["file", "place"])


def _hop_seconds(steps: np.ndarray, lengths: np.ndarray) -> float:
    """The smallest of the steps between windows of a file; the usual window's length where another would fit between.

    So windows may overlap, or leave a little out, but lone ones far apart are no neighbours. 1 where there is none.
    """
    if not len(lengths):
        return 1.0
    usual, smallest = float(np.median(lengths)), steps.min(initial=np.inf)
    return float(smallest) if smallest < 2 * usual else usual
