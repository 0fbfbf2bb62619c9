"""Stratified folds, grouped where the data has groups (scikit-learn's)."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from kit.competition.labels import known_matrix


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


def make_label_folds(train: pd.DataFrame, classes: Sequence[str], n_folds: int, seed: int = 0) -> np.ndarray:
    """The fold (N,) of each row of a multi-label table, with its classes spread evenly; rows of a `group` share theirs.

    A row counts once for each label that it is known to have, or once as having none.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2, got {n_folds}")
    if len(train) < n_folds:
        raise ValueError(f"n_folds must be at most the number of recordings ({len(train)}), got {n_folds}")
    present = known_matrix(train["label"], classes) == 1
    rows, labels = np.nonzero(np.column_stack([present, ~present.any(1)]))
    groups = train["group"].to_numpy() if "group" in train else np.arange(len(train))
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = np.full(len(train), -1)
    with warnings.catch_warnings():
        # A species rarer than the folds is in some of them only, which partial labels must bear.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(rows, labels, groups[rows])):
            folds[rows[held_out]] = fold
    return folds
