"""What would tell a difference from noise: more seeds, more rows, or nothing at all?

A measured difference errs for two reasons. The rows are a sample: the bootstrap's interval says how much, and no seed
mends it. And a training is a draw: its share shrinks with the number of seeds averaged.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from kit.competition.metrics import Metric, MetricLike
from kit.results.compare import as_run, compare, experiments, metric_of
from kit.training.runs import Run

Z = 1.96  # of a 95 % interval
MOST_SEEDS = 100  # beyond which nobody trains


def seeds_to_tell(delta: float, rows_sd: float, seed_sd: float) -> int | None:
    """The fewest seeds S with |delta| > 1.96 sqrt(rows_sd² + seed_sd² / S); None where no number will do.

    rows_sd is the standard error that the rows leave, seed_sd the standard deviation of one seed's difference.
    """
    room = (delta / Z) ** 2 - rows_sd**2
    if room <= 0:
        return None
    return max(1, math.floor(seed_sd**2 / room) + 1) if seed_sd else 1


def advise(runs: Iterable[Run | str | Path], baseline: str, metric: MetricLike | None = None) -> pd.DataFrame:
    """A row an experiment: its difference from the baseline, both noises, and what would tell it from 0.

    The noise of a seed is measured over seeds where both have two and more; else it is what the spread over folds
    leaves after the rows' share, which is rough, and NaN where that leaves nothing: one seed can't say that there is
    none. Arguments as in `compare`.
    """
    loaded = [as_run(run) for run in runs]
    groups, rows = experiments(loaded), []
    table = compare(loaded, baseline, metric).set_index("name").drop(index=baseline)
    metric = metric_of(groups[baseline][0], metric)
    for name, compared in table.iterrows():
        rows_sd = (compared["high"] - compared["low"]) / (2 * Z)
        seed_sd = _seed_sd(groups[name], groups[baseline], compared["spread"], rows_sd, metric)
        seeds = min(len(groups[name]), len(groups[baseline]))
        row = {
            "name": name,
            "seeds": seeds,
            "Δ CV": compared["delta"],
            "noise of rows": rows_sd,
            "noise of a seed": seed_sd,
        }
        rows.append(row | {"advice": _said(compared["delta"], rows_sd, seed_sd, seeds)})
    return pd.DataFrame(rows, columns=["name", "seeds", "Δ CV", "noise of rows", "noise of a seed", "advice"])


def _said(delta: float, rows_sd: float, seed_sd: float, seeds: int) -> str:
    needed = seeds_to_tell(delta, rows_sd, 0.0 if math.isnan(seed_sd) else seed_sd)
    if delta == 0:
        return "no difference to tell"
    if needed is None:
        return f"no number of seeds: it takes {(Z * rows_sd / delta) ** 2:.1f} times as many rows"
    if math.isnan(seed_sd):
        return "beyond the rows' noise; a second seed of both shows a training's own"
    if needed > MOST_SEEDS:
        return f"more than {MOST_SEEDS} seeds"
    return "told from noise" if needed <= seeds else f"{needed - seeds} more seeds of both"


def _seed_sd(group: list[Run], base: list[Run], spread: float, rows_sd: float, metric: Metric) -> float:
    if len(group) > 1 and len(base) > 1:
        return math.sqrt(_variance(group, metric) + _variance(base, metric))
    n_folds = group[0].oof["fold"].nunique()
    left = spread**2 / n_folds - rows_sd**2 if n_folds > 1 else 0.0
    return math.sqrt(left) if left > 0 else math.nan


def _variance(group: list[Run], metric: Metric) -> float:
    return float(np.var([metric(run.target, run.probability) for run in group], ddof=1))
