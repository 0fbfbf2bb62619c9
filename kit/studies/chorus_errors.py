"""What a net of several labels a row takes for what: pairs of classes, and its most certain errors."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from kit.training.runs import Run


def taken_for(run: Run) -> pd.DataFrame:
    """(C, C): where the row's class calls, how high the column's is ranked among all rows, from 0 to 1, on average.

    Off the diagonal only rows that lack the column's class count: 0.5 is what a net gives that does not confuse the
    two. NaN where there is no such row.
    """
    target, rank = run.target, rankdata(run.probability, axis=0) / len(run.oof)
    present, absent = (target == 1).astype(float), (target == 0).astype(float)
    count = present.T @ absent
    share = np.divide(present.T @ (absent * rank), count, out=np.full(count.shape, np.nan), where=count > 0)
    there = present.sum(0)
    np.fill_diagonal(share, np.divide((present * rank).sum(0), there, out=np.full(len(there), np.nan), where=there > 0))
    return pd.DataFrame(share, run.classes, run.classes)


def confusion_table(run: Run, most: int = 8, least: int = 5) -> pd.DataFrame:
    """The pairs of classes that are most confused, of those with at least so many rows."""
    share, target = taken_for(run).to_numpy(copy=True), run.target
    count = (target == 1).T.astype(int) @ (target == 0).astype(int)
    share[:, np.isnan(np.diag(share))] = np.nan  # classes that are nowhere
    right = np.diag(share).copy()
    share[(count < least) | np.eye(len(share), dtype=bool)] = np.nan
    order = np.argsort(-np.nan_to_num(share, nan=-1.0), axis=None, kind="stable")[:most]
    pairs = [(a, b) for a, b in zip(*np.unravel_index(order, share.shape), strict=True) if not np.isnan(share[a, b])]
    rows = [(run.classes[a], run.classes[b], count[a, b], share[a, b], right[b]) for a, b in pairs]
    return pd.DataFrame(rows, columns=["calls", "taken for", "rows", "rank of it there", "rank where it calls"])


def certain_errors(run: Run, most: int = 3) -> pd.DataFrame:
    """The likeliest classes that are not there, a row a class, each beside the row where it is there and likeliest."""
    target, probability, ids = run.target, run.probability, run.oof["id"].to_numpy()
    wrong, right = np.where(target == 0, probability, -1.0), np.where(target == 1, probability, -1.0)
    heard = np.flatnonzero((target == 1).any(0))
    order = heard[np.argsort(-wrong[:, heard].max(0), kind="stable")][:most]
    names = np.array(run.classes, dtype=object)
    rows = []
    for number in order:
        row, good = int(wrong[:, number].argmax()), int(right[:, number].argmax())
        there = ", ".join(names[target[row] == 1]) or "nothing"
        rows.append((ids[row], names[number], wrong[row, number], there, ids[good], right[good, number]))
    return pd.DataFrame(rows, columns=["row", "said", "probability", "there", "right", "probability in right"])
