"""Stratified folds, grouped where the data has groups (scikit-learn's), that bear classes rarer than the folds.

A class of one row, or of one group that holds no other class, can't be held out and trained on at once: its rows have
the fold -1, are in the training part of every fold, and in none of the scores. A class of fewer rows or groups than
folds is spread over as many folds as it has.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from kit.competition.labels import known_matrix
from kit.competition.names import told
from kit.parts import MOST_SEED, at_least, part


@part
class Folds:
    """How many folds, and the seed that shuffles the rows into them."""

    n: int = 5
    seed: int = 0

    def check(self):
        at_least(self, 2, "n")
        at_least(self, 0, "seed")
        if self.seed > MOST_SEED:
            raise ValueError(f"seed must be at most {MOST_SEED}, got {self.seed}")


ALWAYS = -1  # the fold of rows that are trained on in every fold
SHOWN = 10  # names in a note


def make_folds(train: pd.DataFrame, n_folds: int, seed: int = 0) -> np.ndarray:
    """The fold (N,) of each training row, or -1 where it is always trained on; the rows of a `group` share theirs.

    No fold is empty. Raises ValueError where fewer than n_folds rows, or groups, can be held out.
    """
    _check(n_folds)
    labels = train["label"].to_numpy()
    groups = train["group"].to_numpy() if "group" in train else np.arange(len(train))
    folds = np.full(len(train), ALWAYS)
    rows = np.flatnonzero(~_always_trained(labels, groups))
    unit = "groups" if "group" in train else "rows"
    if (count := len(np.unique(groups[rows]))) < n_folds:
        raise ValueError(f"n_folds must be at most the number of {unit} that can be held out ({count}), got {n_folds}")
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # here, since it takes a second

    kind = StratifiedGroupKFold if "group" in train else StratifiedKFold
    folds[rows] = _split(kind(n_folds, shuffle=True, random_state=seed), labels[rows], groups[rows])
    return folds


def make_label_folds(train: pd.DataFrame, classes: Sequence[str], n_folds: int, seed: int = 0) -> np.ndarray:
    """The fold (N,) of each row of a multi-label table, with its classes spread evenly; rows of a `group` share theirs.

    A row counts once for each label that it is known to have, or once as having none.
    """
    _check(n_folds)
    groups = train["group"].to_numpy() if "group" in train else np.arange(len(train))
    if (count := len(np.unique(groups))) < n_folds:
        unit = "groups" if "group" in train else "recordings"
        raise ValueError(f"n_folds must be at most the number of {unit} ({count}), got {n_folds}")
    rows, labels = _present(train, classes)
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = np.full(len(train), ALWAYS)
    folds[rows] = _split(splitter, labels, groups[rows])
    return folds


def fold_notes(train: pd.DataFrame, n_folds: int, seed: int = 0, classes: Sequence[str] | None = None) -> list[str]:
    """What these folds do to rare classes, by name: for a table of several labels a row, with all its `classes`.

    Raises ValueError as making the folds does.
    """
    folds = make_folds(train, n_folds, seed) if classes is None else make_label_folds(train, classes, n_folds, seed)
    rows, labels = _present(train, classes)
    table = pd.crosstab(folds[rows], labels)  # (folds, classes) of rows
    held_out = table[table.index != ALWAYS] > 0
    trained = (table > 0).sum() > 1
    trained |= table.reindex([ALWAYS], fill_value=0).iloc[0] > 0
    notes = rare_notes(train) if classes is None else []
    untrained = [name for name in table if not trained[name] and name != ""]
    if untrained:
        notes.append(
            f"{_names(untrained)}: all rows are in one of {n_folds} folds, which is scored by a net that never saw them"
        )
    rare = [name for name in table if trained[name] and 0 < held_out[name].sum() < n_folds and name != ""]
    if rare:
        notes.append(f"{_names(rare)}: held out in some of {n_folds} folds only, for there are too few rows or groups")
    return notes


def rare_notes(train: pd.DataFrame) -> list[str]:
    """The classes whose rows are always trained on and never scored, by name."""
    labels = train["label"].to_numpy()
    groups = train["group"].to_numpy() if "group" in train else np.arange(len(train))
    always = _always_trained(labels, groups)
    if not always.any():
        return []
    what = "of one group" if "group" in train else "of one row"
    names = _names(sorted(set(labels[always])))
    return [f"{names}: {what}, in the training part of every fold, so that no fold's score tells of it"]


def _check(n_folds: int) -> None:
    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2, got {n_folds}")


def _always_trained(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Which rows (N,) belong to a group that only classes of a single group have."""
    pairs = pd.DataFrame({"label": labels, "group": groups})
    lonely = pairs.groupby("label")["group"].transform("nunique") == 1
    return lonely.groupby(pairs["group"]).transform("all").to_numpy()


def _present(train: pd.DataFrame, classes: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and labels (M,), a row once for each label that it has, or once with the label "" for none."""
    if classes is None:
        return np.arange(len(train)), train["label"].to_numpy()
    present = known_matrix(train["label"], classes) == 1
    rows, numbers = np.nonzero(np.column_stack([present, ~present.any(1)]))
    return rows, np.array([*classes, ""], dtype=object)[numbers]


def _split(splitter, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    folds = np.full(len(labels), ALWAYS)
    grouped = groups if "Group" in type(splitter).__name__ else None
    with warnings.catch_warnings():
        # A class rarer than the folds is in some of them only: fold_notes says which.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(labels, labels, grouped)):
            folds[held_out] = fold
    return _mended(folds, labels, groups, splitter.n_splits)


def _mended(folds: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
    """Folds with a group moved to each that is empty, and with no class of two groups in one fold, where that can be.

    StratifiedGroupKFold places the groups one by one, each where the shares differ least, and promises neither.
    """
    folds = folds.copy()
    for empty in set(range(n_folds)) - set(folds.tolist()):
        of_fold = pd.Series(groups).groupby(folds).nunique()
        rows = np.flatnonzero(folds == of_fold.idxmax())
        folds[groups == _smallest(groups[rows])] = empty
    table = pd.DataFrame({"label": labels, "group": groups})
    several = table.groupby("label")["group"].nunique()
    for name in several.index[several > 1]:
        here = labels == name
        if len(set(folds[here])) > 1:
            continue
        sizes = np.bincount(folds, minlength=n_folds)
        sizes[folds[here][0]] = len(folds) + 1
        folds[groups == _smallest(groups[here])] = sizes.argmin()
    return folds


def _smallest(groups: np.ndarray) -> object:
    names, counts = np.unique(groups, return_counts=True)
    return names[counts.argmin()]


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(told(name) for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"class {shown}" if len(names) == 1 else f"classes {shown}{more}"
