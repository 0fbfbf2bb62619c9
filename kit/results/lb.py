"""Cross-validation beside the leaderboard: the table, how far their ranks agree, where they part."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from kit.competition.metrics import METRICS
from kit.results.bootstrap import Interval
from kit.results.compare import difference
from kit.results.ledger import ledger_table, shown, signs
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
        paired = loaded.get(run) is not None and base is not None and run != rows["run"].iloc[first]
        deltas.append(str(difference(loaded[run], base, metric)) if paired else shown(delta, "Δ CV"))
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


def to_html(table: pd.DataFrame) -> str:
    """The table for a notebook, its numbers as in to_markdown."""
    cells = pd.DataFrame({title: [shown(value, title) for value in table[title]] for title in table.columns})
    return cells.to_html(index=False, border=0, escape=True)


def _predictions(run: str, runs: Path, known: Mapping[str, Run]) -> Run | None:
    if run in known:
        return known[run]
    folder = runs / run
    return load_run(folder) if (folder / "metrics.json").exists() else None
