"""Stratified folds, grouped where the data has groups (scikit-learn's), that bear classes rarer than the folds.

A class of one row, or of one group, can't be held out and trained on at once. Where all rows of a group have such a
class, they have the fold -1: they are in the training part of every fold, and in none of the scores. Where only some
have, the group is held out as any other, by a net that never saw the class. A class of fewer rows or groups than folds
is spread over as many folds as it has.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kit.competition.labels import known_matrix
from kit.competition.names import told
from kit.parts import MOST_SEED, arguments_of, at_least, one_of, part


@part
class Folds:
    """How many folds, the seed that shuffles the rows into them, and the column whose equal rows share a fold.

    n: 1 trains one net on all rows and holds none out, so that there is no out-of-fold score; loop.keep must be "last".
    by: "group" is what the layout groups by, or the rows one by one where it names no groups; "site" or "source", where
    the layout tells them, show what a new one costs; empty for the rows one by one.
    """

    n: int = 5
    seed: int = 0
    by: str = "group"

    def check(self):
        at_least(self, 1, "n")
        at_least(self, 0, "seed")
        one_of(self, "by", ("group", "site", "source", ""))
        if self.seed > MOST_SEED:
            raise ValueError(f"seed must be at most {MOST_SEED}, got {self.seed}")

    def check_with(self, experiment: Any):
        if self.n == 1 and experiment.loop.keep != "last":
            raise ValueError(
                f'keep must be "last" with folds of 1, which hold out no row to stop by, got "{experiment.loop.keep}"'
            )

    def options(self, data: Any) -> dict[str, Any]:
        """What `make_folds` and `fold_notes` take beside the training table of a Competition, or of a Store.

        Where boxes tell what is known, every recording is held out, as in the published splits of RFCX.
        """
        classes = data.classes if data.task == "multi" else None
        return {**arguments_of(self), "classes": classes, "hold_all": data.boxes is not None}


ALWAYS = -1  # the fold of rows that are trained on in every fold
NONE = ""  # in the place of a class, for rows of several labels that are known to have none
SHOWN = 10  # names in a note


def make_folds(
    train: pd.DataFrame,
    n: int,
    seed: int = 0,
    *,
    by: str = "group",
    classes: Sequence[str] | None = None,
    hold_all: bool = False,
) -> np.ndarray:
    """The fold (N,) of each training row, or -1 where it is always trained on; rows that are equal in `by` share it.

    classes: all of them, for a table of several labels a row, whose rows count once for each label that they are known
    to have, or once as having none. hold_all: no row is always trained on.
    No fold is empty but that of n = 1, with which all rows are always trained on. Raises ValueError where fewer than n
    rows, or groups, can be held out.
    """
    return _fold(_pairs(train, by, classes), len(train), n, seed, hold_all)


def fold_notes(
    train: pd.DataFrame,
    n: int,
    seed: int = 0,
    *,
    by: str = "group",
    classes: Sequence[str] | None = None,
    hold_all: bool = False,
) -> list[str]:
    """What these folds do to rare classes, by name. Raises ValueError as making the folds does."""
    pairs = _pairs(train, by, classes)
    folds = _fold(pairs, len(train), n, seed, hold_all)
    if n == 1:
        return ["1 fold: all rows are trained on and none is held out, so that there is no out-of-fold score"]
    table = pd.crosstab(folds[pairs.row], pairs.label)  # (folds, classes) of rows
    held_out = table[table.index != ALWAYS] > 0
    trained = (table > 0).sum() > 1
    trained |= table.reindex([ALWAYS], fill_value=0).iloc[0] > 0
    notes = [] if hold_all else rare_notes(train, by=by, classes=classes)
    untrained = [pairs.names[label] for label in table if not trained[label] and pairs.names[label] != NONE]
    if untrained:
        notes.append(
            f"{_names(untrained)}: all rows are in one of {n} folds, which is scored by a net that never saw them"
        )
    some = trained & held_out.any() & (held_out.sum() < n)
    rare = [pairs.names[label] for label in table if some[label] and pairs.names[label] != NONE]
    if rare:
        notes.append(f"{_names(rare)}: held out in some of {n} folds only, for there are too few rows or groups")
    return notes


def rare_notes(train: pd.DataFrame, *, by: str = "group", classes: Sequence[str] | None = None) -> list[str]:
    """The classes whose rows are always trained on and never scored, and those without a row, by name."""
    pairs, notes = _pairs(train, by, classes), []
    always, lonely = _always_trained(pairs)
    if always.any():
        what = "of one row" if pairs.unit == "rows" else "of one group"
        names = [pairs.names[label] for label in np.unique(pairs.label[always & lonely])]
        notes.append(
            f"{_names(names)}: {what}, in the training part of every fold, so that no fold's score tells of it"
        )
    there = set(pairs.names)
    if missing := [name for name in classes or () if name not in there]:
        notes.append(f"{_names(missing)}: no training row has it, so that its predictions are guesses")
    return notes


class _Pairs:
    """A table's pairs of a row and a label that it has, (M,) each."""

    def __init__(self, row: np.ndarray, names: np.ndarray, label: np.ndarray, group: np.ndarray, unit: str):
        self.row = row  # number in the table
        self.names, self.label = names, label  # label's number among the sorted names
        self.group = group  # number
        self.unit = unit  # what groups are called


def _pairs(train: pd.DataFrame, by: str, classes: Sequence[str] | None) -> _Pairs:
    unit, group = _groups(train, by)
    if classes is None:
        row, labels = np.arange(len(train)), train["label"].to_numpy()
    else:
        present = known_matrix(train["label"], classes) == 1
        row, number = np.nonzero(np.column_stack([present, ~present.any(1)]))
        labels = np.array([*classes, NONE], dtype=object)[number]
    names, label = np.unique(labels, return_inverse=True)
    return _Pairs(row, names, label, group[row], unit)


def _groups(train: pd.DataFrame, by: str) -> tuple[str, np.ndarray]:
    """What the groups of a table are called, and each row's (N,) by its number."""
    if not by or (by == "group" and by not in train):
        return "rows", np.arange(len(train))
    if by not in train:
        raise ValueError(f"folds must be by a column that the training rows have ({', '.join(train)}), got {by!r}")
    values = train[by].astype(str) if train[by].dtype == object else train[by]
    return "groups" if by == "group" else f"values of {by}", np.unique(values, return_inverse=True)[1]


def _fold(pairs: _Pairs, n_rows: int, n: int, seed: int, hold_all: bool) -> np.ndarray:
    if n < 1:
        raise ValueError(f"n_folds must be at least 1, got {n}")
    if n == 1:
        return np.full(n_rows, ALWAYS)
    always = np.zeros(len(pairs.row), dtype=bool) if hold_all else _always_trained(pairs)[0]
    row, label, group = pairs.row[~always], pairs.label[~always], pairs.group[~always]
    if (count := len(np.unique(group))) < n:
        raise ValueError(f"n_folds must be at most the number of {pairs.unit} that can be held out ({count}), got {n}")
    from sklearn.model_selection import StratifiedKFold  # here, since it takes a second

    from kit.competition.group_split import GroupSplit

    one_each = pairs.unit == "rows" and len(pairs.row) == n_rows
    splitter = (StratifiedKFold if one_each else GroupSplit)(n, shuffle=True, random_state=seed)
    folds = np.full(n_rows, ALWAYS)
    folds[row] = _split(splitter, label, group)
    return folds


def _always_trained(pairs: _Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs (M,) are of a group all of whose rows have a class that no other group has; which have such a class.

    Having none is no class.
    """
    table = pd.DataFrame({"row": pairs.row, "label": pairs.label, "group": pairs.group})
    lonely = (table.groupby("label")["group"].transform("nunique") == 1) & (pairs.names[pairs.label] != NONE)
    of_row = lonely.groupby(table["row"]).transform("any")
    return of_row.groupby(table["group"]).transform("all").to_numpy(), lonely.to_numpy()


def _split(splitter, label: np.ndarray, group: np.ndarray) -> np.ndarray:
    folds = np.full(len(label), ALWAYS)
    with warnings.catch_warnings():
        # A class rarer than the folds is in some of them only: fold_notes says which.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        grouped = group if "Group" in type(splitter).__name__ else None
        for fold, (_, held_out) in enumerate(splitter.split(label, label, grouped)):
            folds[held_out] = fold
    return _mended(folds, label, group, splitter.n_splits)


def _mended(folds: np.ndarray, labels: np.ndarray, groups: np.ndarray, n: int) -> np.ndarray:
    """Folds with a group moved to each that is empty, and with no class of two groups in one fold, where that can be.

    StratifiedGroupKFold places the groups one by one, each where the shares differ least, and promises neither.
    """
    folds = folds.copy()
    for empty in set(range(n)) - set(folds.tolist()):
        of_fold = pd.Series(groups).groupby(folds).nunique()
        rows = np.flatnonzero(folds == of_fold.idxmax())
        folds[groups == _smallest(groups[rows])] = empty
    table = pd.DataFrame({"label": labels, "group": groups})
    several = table.groupby("label")["group"].nunique()
    for name in several.index[several > 1]:
        here = labels == name
        if len(set(folds[here])) > 1:
            continue
        sizes = np.bincount(folds, minlength=n)
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
