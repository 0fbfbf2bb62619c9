"""Stratified folds, grouped where the data has groups (scikit-learn's)."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


def make_folds(train: pd.DataFrame, n_folds: int, seed: int = 0) -> np.ndarray:
    """The fold (N,) of each training row, every row in one; the rows of a `group` share theirs.

    Raises ValueError where a class has too few rows, or the table too few groups, to be in every fold.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2, got {n_folds}")
    counts = train["label"].value_counts()
    if counts.min() < n_folds:
        raise ValueError(
            f"n_folds must be at most the rows of the rarest class ({counts.idxmin()}: {counts.min()}), got {n_folds}"
        )
    groups = train.get("group")
    if groups is not None and groups.nunique() < n_folds:
        raise ValueError(f"n_folds must be at most the number of groups ({groups.nunique()}), got {n_folds}")
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kind(n_folds, shuffle=True, random_state=seed)
    folds = np.full(len(train), -1)
    for fold, (_, held_out) in enumerate(splitter.split(train, train["label"], groups)):
        folds[held_out] = fold
    return folds
