"""Cross-validation beside the leaderboard: the table, how far their ranks agree, where they part."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from kit.competition.metrics import METRICS
from kit.results.bootstrap import Interval
from kit.results.compare import difference
from kit.results.ledger import is_share, ledger_table, noise, shown, signs
from kit.training.runs import Run, load_run

FELL = "CV rose, LB fell"
COLUMNS = [
    "name",
    "metric",
    "mix",
    "backbone",
    "CV",
    "Δ CV",
    "precision",
    "public",
    "noise",
    "Δ public",
    "private",
    "Δ private",
]
COLUMNS += ["CV rank", "public rank", "private rank", "note"]


def lb_table(
    rows: pd.DataFrame,
    public_rows: int | None = None,
    baseline: str | None = None,
    runs: str | Path = "runs",
    known: Mapping[str, Run] | None = None,
) -> pd.DataFrame:
    """ledger_table, its Δ CV with a paired 95 % interval where out-of-fold predictions are at hand, and a note.

    The predictions are those of the folder `runs`/<run>, or of `known` by a row's run; the interval needs a metric of
    METRICS. The note marks a run whose CV is better than the baseline's and whose public score is worse.
    """
    rows = rows.reset_index(drop=True)
    table = ledger_table(rows, public_rows, baseline)
    if rows.empty:
        return table.assign(note="")[COLUMNS]
    first = base_row(rows, baseline)
    metric = METRICS.get(rows["metric"].iloc[first])
    loaded = {run: _predictions(run, Path(runs), known or {}) for run in rows["run"] if metric}
    base = loaded.get(rows["run"].iloc[first])
    deltas = []
    for run, delta in zip(rows["run"], table["Δ CV"], strict=True):
        own = None if run == rows["run"].iloc[first] else loaded.get(run)
        deltas.append(shown(delta, "Δ CV") if own is None or base is None else str(difference(own, base, metric)))
    table["Δ CV"] = deltas
    return table.assign(note=np.where(cv_rose_lb_fell(rows, baseline), FELL, ""))[COLUMNS]


def cv_rose_lb_fell(rows: pd.DataFrame, baseline: str | None = None) -> np.ndarray:
    """Of each row of read_ledger, whether its CV is better than the baseline's and its public score worse."""
    base, sign = rows.iloc[base_row(rows, baseline)], signs(rows)
    return ((sign * (rows["cv"] - base["cv"]) > 0) & (sign * (rows["public"] - base["public"]) < 0)).to_numpy()


def base_row(rows: pd.DataFrame, baseline: str | None = None) -> int:
    """The place of the baseline's first row; of the first of all where no name is given."""
    return 0 if baseline is None else list(rows["name"]).index(baseline)


def spearman(cv: np.ndarray, public: np.ndarray) -> Interval:
    """The rank correlation over runs, with its 95 % interval; with three runs or fewer that is all of -1 to 1.

    Fisher's z with the standard error of Bonett and Wright 2000 (doi 10.1007/BF02294183). A correlation of 1 is taken
    as half a step below, a step being what one swap of neighbours costs, since z has no bound there.
    """
    n_runs = len(cv)
    if n_runs < 3:
        raise ValueError(f"a rank correlation must have at least 3 runs, got {n_runs}")
    rho = float(stats.spearmanr(cv, public).statistic)
    if n_runs == 3 or np.isnan(rho):
        return Interval(rho, -1.0, 1.0)
    most = 1 - 6 / (n_runs * (n_runs**2 - 1))
    inner = float(np.clip(rho, -most, most))
    reach = stats.norm.ppf(0.975) * np.sqrt((1 + inner**2 / 2) / (n_runs - 3))
    low, high = np.tanh(np.arctanh(inner) - reach), np.tanh(np.arctanh(inner) + reach)
    return Interval(rho, min(float(low), rho), max(float(high), rho))


def ranks_told(rho: Interval, n_runs: int) -> str:
    """What a rank correlation says: that CV and leaderboard rank alike or against each other, or that it can't tell."""
    told = f"Spearman {rho.value:.2f} [{rho.low:.2f}, {rho.high:.2f}] over {n_runs} runs"
    if rho.low > 0:
        return f"CV ranks runs as the leaderboard does more often than by chance: {told}"
    if rho.high < 0:
        return f"CV ranks runs against the leaderboard: {told}"
    return f"So few runs can't tell whether CV ranks as the leaderboard does: {told}"


def fold_table(folds: Mapping[str, Sequence[float]], public: Mapping[str, float]) -> pd.DataFrame:
    """A row a fold: how its scores rank the runs beside the public score, and how far below it they are on average."""
    names = [name for name in folds if not math.isnan(public[name])]
    lb, rows = np.array([public[name] for name in names]), []
    for fold, scores in enumerate(zip(*(folds[name] for name in names), strict=True)):
        rho = spearman(np.array(scores), lb)
        told = f"{rho.value:.2f} [{rho.low:.2f}, {rho.high:.2f}]"
        rows.append((fold, np.mean(scores), np.mean(lb - scores), told))
    return pd.DataFrame(rows, columns=["fold", "mean score", "Δ public − fold", "Spearman with public [95 %]"])


def shake_table(rows: pd.DataFrame, public_rows: int, private_rows: int) -> pd.DataFrame:
    """From the public to the private score of each row of read_ledger that has both.

    Columns name, public, private, Δ (private − public), chance, public rank, private rank. chance is what 95 % of
    two scores of so many rows differ by where the run is as good on both parts; NaN where the metric is no share.
    """
    rows = rows.dropna(subset=["public", "private"]).reset_index(drop=True)
    table, sign = rows[["name", "public", "private"]].copy(), signs(rows)
    table["Δ"] = table["private"] - table["public"]
    total = public_rows + private_rows
    pooled = (table["public"] * public_rows + table["private"] * private_rows) / total
    reach = [
        1.96 * math.hypot(noise(score, public_rows), noise(score, private_rows)) if is_share(metric) else math.nan
        for score, metric in zip(pooled, rows["metric"], strict=True)
    ]
    table["chance"] = reach
    for part in ("public", "private"):
        table[f"{part} rank"] = (sign * table[part]).rank(ascending=False, method="min").astype(int)
    return table


def rank_shake(table: pd.DataFrame) -> float:
    """The mean change of rank from public to private, as a share of the number of runs; 0 is none, 0.33 a new draw.

    (1 / n) Σ |private rank − public rank| / n, as competitors measure a whole leaderboard's.
    """
    return float((table["private rank"] - table["public rank"]).abs().mean() / len(table))


def to_html(table: pd.DataFrame) -> str:
    """The table for a notebook, its numbers as in to_markdown."""
    cells = pd.DataFrame({title: [shown(value, title) for value in table[title]] for title in table.columns})
    return cells.to_html(index=False, border=0, escape=True)


def _predictions(run: str, runs: Path, known: Mapping[str, Run]) -> Run | None:
    if run in known:
        return known[run]
    folder = runs / run
    return load_run(folder) if (folder / "metrics.json").exists() else None
