"""Few-shot sessions in numbers: each recipe's mean and spread over draws of the shots, and paired differences.

All recipes see the same draws, so a difference is taken draw by draw. Its interval is Student's over the draws; it
speaks of the shots alone, for one net and one set of test rows.
"""

import numpy as np
import pandas as pd
from scipy import stats

from kit.results.bootstrap import holm

MEASURES = ("base", "last", "average", "drop")


def draw_scores(table: pd.DataFrame) -> pd.DataFrame:
    """A row a recipe and draw of the table of kit.studies.few_shot.run_sessions: columns recipe, draw, and

    base, the accuracy of the base session; last, of the last; average, over all sessions; drop, base − last.
    """
    wide = table.pivot(index=["recipe", "draw"], columns="session", values="accuracy")  # a column a session
    wide = wide.loc[table["recipe"].unique()]
    if wide.isna().any(axis=None):
        raise ValueError("table must hold every session of every recipe and draw, and some are missing")
    first, last = wide[wide.columns[0]], wide[wide.columns[-1]]
    scores = pd.DataFrame({"base": first, "last": last, "average": wide.mean(axis=1), "drop": first - last})
    return scores.reset_index()


def session_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row a recipe: the mean over draws of base, last, average and drop, and beside each its sd over draws."""
    groups = draw_scores(table).groupby("recipe", sort=False)[list(MEASURES)]
    mean, sd = groups.mean(), groups.std().add_suffix(" sd")
    columns = [name for measure in MEASURES for name in (measure, f"{measure} sd")]
    return mean.join(sd)[columns].reset_index(names="name")


def session_differences(table: pd.DataFrame, baseline: str, measure: str = "average") -> pd.DataFrame:
    """A row for each other recipe: delta, its measure minus the baseline's on the same draws, and how sure that is.

    sd is delta's over draws, wins the share of draws in which it is above 0, low and high Student's 95 % interval of
    its mean, differs whether p, corrected by Holm for the number of rows, is below 0.05.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    scores = draw_scores(table).pivot(index="draw", columns="recipe", values=measure)
    names = list(table["recipe"].unique())
    if baseline not in names:
        raise ValueError(f"baseline must be one of {', '.join(names)}, got {baseline!r}")
    if len(scores) < 2:
        raise ValueError(f"table must hold at least 2 draws, got {len(scores)}")
    rows = [
        {"name": name, **_paired(scores[name].to_numpy() - scores[baseline].to_numpy())}
        for name in names
        if name != baseline
    ]
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    return table.assign(differs=table["p_holm"] < 0.05)


def _paired(delta: np.ndarray) -> dict[str, float]:
    """What is known of a difference from its values (S,) over S draws."""
    n, mean, sd = len(delta), delta.mean(), delta.std(ddof=1)
    error = sd / np.sqrt(n)
    half = stats.t.ppf(0.975, n - 1) * error
    t = np.inf if error == 0 and mean else abs(mean) / error if error else 0.0  # all draws alike: sure, or nothing
    return {
        "delta": mean, "sd": sd, "wins": (delta > 0).mean(), "low": mean - half, "high": mean + half,
        "p": 2 * stats.t.sf(t, n - 1),
    }  # fmt: skip
