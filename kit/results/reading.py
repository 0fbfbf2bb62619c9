"""Tables of runs in the form that is read: values with their intervals in one cell, columns named in words, no NaN."""

import math

import pandas as pd

from kit.results.bootstrap import Difference, Interval


def cv_reading(table: pd.DataFrame) -> pd.DataFrame:
    """cv_table to read: each experiment's score over folds and out of fold, and its cost.

    The interval is of one experiment by itself, not corrected for the number of them.
    """
    rows = []
    for row in table.to_dict("records"):
        folds = f"{row['mean']:.3f}" + ("" if math.isnan(row["sd"]) else f" ± {row['sd']:.3f}")
        score = str(Interval(row["oof"], row["low"], row["high"]))
        rows.append(
            (row["name"], row["metric"], row["seeds"], folds, score, f"{row['minutes']:.1f}", row["parameters"])
        )
    columns = ["experiment", "metric", "seeds", "mean of folds ± sd", "out of fold [95 %]", "minutes", "parameters"]
    return pd.DataFrame(rows, columns=columns).assign(parameters=lambda frame: frame["parameters"].map("{:,}".format))


def compare_reading(table: pd.DataFrame) -> pd.DataFrame:
    """compare to read: Δ from the baseline with its own interval, p corrected for all comparisons, and a verdict."""
    rows = []
    for row in table.to_dict("records"):
        is_base = math.isnan(row["low"])
        delta = "" if is_base else str(Difference(row["delta"], row["low"], row["high"], row["p"]))
        p_holm = "" if is_base else f"{row['p_holm']:.3f}"
        rows.append((row["name"], row["seeds"], f"{row['score']:.3f}", delta, p_holm, row["verdict"]))
    columns = ["experiment", "seeds", "score", "Δ [95 %, uncorrected]", "p, corrected (Holm)", "verdict"]
    return pd.DataFrame(rows, columns=columns)
