"""The few-shot class-incremental protocol: a base session, then sessions of K new classes with N shots each.

The net learns the base classes alone and is then frozen; the prototypes of later classes are means of their shots.
After each session the test rows of all classes seen so far are told apart (Tao et al. 2020, arXiv 2004.10956).
Classes are numbered in the order in which they come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kit.competition.folds import make_folds
from kit.data.store import Store


@dataclass(frozen=True)
class Protocol:
    """classes in the order in which they come: n_base of them, then `sessions` times `ways` (K) with `shots` (N) each.

    Raises ValueError where a number is below 1, a class is there twice, or the sessions need more than are left.
    """

    classes: tuple[str, ...]
    n_base: int
    sessions: int = 4
    ways: int = 5
    shots: int = 5

    def __post_init__(self):
        for name in ("n_base", "sessions", "ways", "shots"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if len(set(self.classes)) < len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise ValueError(f"classes must name each class once, got {twice!r} twice")
        if self.n_base >= len(self.classes):
            raise ValueError(f"n_base must be below the number of classes ({len(self.classes)}), got {self.n_base}")
        left = len(self.classes) - self.n_base
        if self.sessions * self.ways > left:
            raise ValueError(
                f"sessions times ways must be at most the {left} classes left after the base, "
                f"got {self.sessions} x {self.ways}"
            )

    def n_seen(self, session: int) -> int:
        """How many classes there are after a session; 0 is the base session."""
        return self.n_base + session * self.ways

    @property
    def seen(self) -> tuple[str, ...]:
        """The classes there are in the end."""
        return self.classes[: self.n_seen(self.sessions)]

    def entered(self, target: np.ndarray) -> np.ndarray:
        """The session (N,) in which each class of target (N,) comes."""
        return np.maximum(0, (np.asarray(target) - self.n_base) // self.ways + 1)


def half_and_half(classes: Sequence[str], seed: int, shots: int = 5) -> Protocol:
    """Half of the classes are the base, in an order drawn from `seed`; the others come in up to four equal sessions."""
    order = np.random.default_rng(seed).permutation(list(classes)).tolist()
    n_base = len(order) // 2
    n_new = len(order) - n_base
    return Protocol(tuple(order), n_base, min(4, n_new), max(1, n_new // 4), shots)


@dataclass(frozen=True)
class Split:
    """Rows of a store: those that train and give the shots, those that watch the training, those that are scored."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    clusters: np.ndarray | None  # the group of each test row, None where it is not known
    source: str  # of the test rows, in words


def split_rows(store: Store, n_folds: int = 3, seed: int = 0) -> list[Split]:
    """The rows of a store's classes, no group (such as a speaker) of the training rows in two parts of a split.

    Where `in_order` knew the test part's labels there is one split, whose test rows those are. Where it knew none,
    there are n_folds, each with one fold of the training rows held out: together they score every row once. A quarter
    of the rows that are left watches the training.
    """
    labelled = store.index["target"].to_numpy() >= 0
    rows, test = (part[labelled[part]] for part in (store.rows("train"), store.rows("test")))
    if len(test):
        train, valid = _watched(store, rows, seed)
        return [Split(train, valid, test, None, "the test part, by its solution")]
    folds, splits = make_folds(store.index.iloc[rows], n_folds, seed), []
    for fold in range(n_folds):
        train, valid = _watched(store, rows[folds != fold], seed)
        test = rows[folds == fold]
        clusters = store.index["group"].to_numpy()[test] if "group" in store.index else None
        splits.append(Split(train, valid, test, clusters, f"fold {fold} of {n_folds} of the training rows, held out"))
    return splits


def _watched(store: Store, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    folds = make_folds(store.index.iloc[rows], 4, seed)
    return rows[folds != 0], rows[folds == 0]


def in_order(store: Store, classes: Sequence[str], solution: pd.DataFrame | None = None) -> Store:
    """The store with these classes alone, numbered in this order; rows of any other have the target −1.

    With a solution (id, label) the test rows it knows get their labels. The features are not copied.
    """
    if odd := [name for name in classes if name not in store.classes]:
        raise ValueError(f"classes must be among the store's, got {odd[0]!r}")
    label = store.index["label"]
    if solution is not None:
        test = store.index["split"] == "test"
        label = label.where(~test, store.index["id"].map(solution.set_index("id")["label"]))
    target = label.map({name: number for number, name in enumerate(classes)}).fillna(-1).astype("int64")
    return replace(store, classes=tuple(classes), index=store.index.assign(label=label, target=target))
