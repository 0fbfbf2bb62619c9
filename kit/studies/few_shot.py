"""The few-shot class-incremental protocol: a base session, then sessions of K new classes with N shots each.

The net learns the base classes alone and is then frozen; the prototypes of later classes are means of their shots.
After each session the test rows of all classes seen so far are told apart (Tao et al. 2020, arXiv 2004.10956).
Classes are numbered in the order in which they come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kit.competition.folds import make_folds
from kit.data.batches import generator_for
from kit.data.store import Store
from kit.models.heads import class_means
from kit.studies.prototypes import Recipe, cosines


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


@dataclass(frozen=True)
class Split:
    """Rows of a store: those that train and give the shots, those that stop the training, those that are scored."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    clusters: np.ndarray | None  # the group of each test row, None where it is not known
    source: str  # of the test rows, in words


def split_rows(store: Store, n_folds: int = 5, seed: int = 0) -> Split:
    """The rows of a store's classes, no group (such as a speaker) of the training rows in two parts.

    Test rows are those of the test part where `in_order` knew their labels; where it knew none, a fold is held out.
    """
    labelled = store.index["target"].to_numpy() >= 0
    rows, test = (part[labelled[part]] for part in (store.rows("train"), store.rows("test")))
    folds = make_folds(store.index.iloc[rows], n_folds, seed)
    if len(test):
        return Split(rows[folds != 0], rows[folds == 0], test, None, "the test part, by its solution")
    test = rows[folds == 0]
    clusters = store.index["group"].to_numpy()[test] if "group" in store.index else None
    source = "one fold of the training rows, held out"
    return Split(rows[folds > 1], rows[folds == 1], test, clusters, source)


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


def draw_means(z: Tensor, target: Tensor, protocol: Protocol, generator: torch.Generator) -> Tensor:
    """Class means (V, C, D): of base classes over all their rows, of later ones over `shots` rows drawn.

    z (N, D) are embeddings of speech, or (N, V, D) of speech, formant and residual; target (N,) class numbers, −1 for
    other classes. Fewer shots or sessions with the same generator draw a part of the same rows.
    Raises ValueError naming a class with fewer rows than it needs.
    """
    rows = torch.cat([_rows_of(number, target, protocol, generator) for number in range(len(protocol.seen))])
    means = class_means(z[rows].flatten(1), target[rows], len(protocol.seen))  # (C, V · D)
    return means.unflatten(1, (-1, z.shape[-1])).transpose(0, 1)


def _rows_of(number: int, target: Tensor, protocol: Protocol, generator: torch.Generator) -> Tensor:
    """All rows of a base class, or the shots of another."""
    rows, name = (target == number).nonzero().flatten(), protocol.classes[number]
    if number < protocol.n_base:
        if not len(rows):
            raise ValueError(f"base class {name!r} must have at least 1 row, got 0")
        return rows
    if len(rows) < protocol.shots:
        raise ValueError(f"shots must be at most the rows of each class ({name}: {len(rows)}), got {protocol.shots}")
    return rows[torch.randperm(len(rows), generator=generator)[: protocol.shots]]


def draw_prototypes(z: Tensor, target: Tensor, protocol: Protocol, recipe: Recipe, seed: int, draw: int) -> Tensor:
    """The prototypes (C, D) of all sessions' classes with the shots of (seed, draw); arguments as in `draw_means`."""
    return recipe.prototypes(draw_means(z, target, protocol, generator_for(seed, draw)), protocol.n_base)


def score_sessions(z: Tensor, target: Tensor, prototypes: Tensor, protocol: Protocol) -> pd.DataFrame:
    """A row a session: session, classes, accuracy over the rows of all classes seen, and of these the base's and new's.

    z (M, D) and target (M,) are of test rows, prototypes (C, D) of every class that comes.
    Raises ValueError naming a class without test rows.
    """
    counts = torch.bincount(target[target >= 0], minlength=len(prototypes))[: len(prototypes)]
    if not counts.all():
        name = protocol.classes[int(counts.argmin())]
        raise ValueError(f"class {name!r} must have at least 1 test row, got 0")
    scores, rows = cosines(z, prototypes), []
    for session in range(protocol.sessions + 1):
        n_seen = protocol.n_seen(session)
        right = scores[:, :n_seen].argmax(1) == target
        base, seen = (target >= 0) & (target < protocol.n_base), (target >= 0) & (target < n_seen)
        row = {"session": session, "classes": n_seen, "accuracy": right[seen].double().mean().item()}
        row |= {"base": right[base].double().mean().item(), "new": right[seen & ~base].double().mean().item()}
        rows.append(row)
    return pd.DataFrame(rows)


def run_sessions(
    shots: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    protocol: Protocol,
    recipes: Sequence[Recipe],
    n_draws: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """`score_sessions` of every recipe on the same draws of the shots, with columns recipe and draw before its own.

    shots: z (N, V, D) and target (N,) as in `draw_means`; test: z (M, D) and target (M,) as in `score_sessions`.
    """
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}")
    tables = []
    for draw in range(n_draws):
        means = draw_means(*shots, protocol, generator_for(seed, draw))
        for recipe in recipes:
            table = score_sessions(*test, recipe.prototypes(means, protocol.n_base), protocol)
            tables.append(table.assign(recipe=recipe.name, draw=draw))
    table = pd.concat(tables, ignore_index=True)
    return table[["recipe", "draw", *table.columns.drop(["recipe", "draw"])]]
