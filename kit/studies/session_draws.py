"""Few-shot sessions played out: shots are drawn, prototypes made of them, and every test row told apart each session.

All methods see the same draws of the shots, so that their differences are taken draw by draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kit.data.batches import generator_for
from kit.models.heads import class_means
from kit.studies.prototypes import Recipe, cosines
from kit.studies.session_protocol import Protocol, Split


@dataclass(frozen=True)
class Embedded:
    """What one frozen net makes of the rows of a split: its `part`, by its place in the list of splits."""

    net: str
    part: int
    seed: int  # of the training
    shots: Tensor  # (N, V, D) of the split's training rows: speech alone, or speech, formant, residual
    test: Tensor  # (M, D) of its test rows, speech alone


@dataclass(frozen=True)
class Method:
    """A way to tell words apart: prototypes made by a recipe, of the embeddings of a net."""

    name: str
    net: str
    recipe: Recipe = Recipe()


@dataclass(frozen=True)
class Sessions:
    """What each method took the test rows of all splits for: predicted[name] (R, D, M, S + 1), class numbers.

    R trainings of its net, D draws of the shots, M rows, S sessions after the base session. Before a row's class has
    come, what stands there is not scored.
    """

    protocol: Protocol
    rows: np.ndarray  # (M,) of the store
    target: np.ndarray  # (M,)
    clusters: np.ndarray | None  # (M,)
    predicted: dict[str, np.ndarray]

    @property
    def entered(self) -> np.ndarray:
        """The session (M,) in which each row's class comes."""
        return self.protocol.entered(self.target)

    def right(self, name: str) -> np.ndarray:
        """Is each row told rightly (R, D, M, S + 1)? Raises ValueError listing the methods."""
        if name not in self.predicted:
            raise ValueError(f"method must be one of {', '.join(self.predicted)}, got {name!r}")
        return self.predicted[name] == self.target[:, None]


def draw_means(z: Tensor, target: Tensor, protocol: Protocol, generator: torch.Generator) -> Tensor:
    """Class means (V, C, D): of base classes over all their rows, of later ones over `shots` rows drawn.

    z (N, V, D) of speech alone, or of speech, formant and residual; target (N,) class numbers, −1 for other classes.
    Fewer shots or sessions with the same generator draw a part of the same rows.
    Raises ValueError naming a class with fewer rows than it needs.
    """
    rows = torch.cat([_rows_of(number, target, protocol, generator) for number in range(len(protocol.seen))])
    means = class_means(z[rows].flatten(1), target[rows], len(protocol.seen))  # (C, V · D)
    return means.unflatten(1, z.shape[1:]).transpose(0, 1)


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


def predict_sessions(z: Tensor, prototypes: Tensor, protocol: Protocol) -> np.ndarray:
    """The class (M, S + 1) of the nearest prototype (C, D) to each z (M, D) among those seen after each session."""
    scores = cosines(z, prototypes)  # (M, C)
    nearest = [scores[:, : protocol.n_seen(session)].argmax(1) for session in range(protocol.sessions + 1)]
    return torch.stack(nearest, 1).numpy().astype(np.int16)


def run_methods(
    methods: Sequence[Method],
    embedded: Sequence[Embedded],
    splits: Sequence[Split],
    target: np.ndarray,
    protocol: Protocol,
    *,
    n_draws: int = 20,
    seed: int = 0,
) -> Sessions:
    """Every method on the same draws of the shots; target is that of every row of the store.

    Raises ValueError where a method's net lacks a split, or a class has no test row.
    """
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}")
    rows = np.concatenate([split.test for split in splits])
    counts = np.bincount(target[rows], minlength=len(protocol.seen))
    if not counts.all():
        raise ValueError(f"class {protocol.classes[int(counts.argmin())]!r} must have at least 1 test row, got 0")
    clusters = None if splits[0].clusters is None else np.concatenate([split.clusters for split in splits])
    predicted = {}
    for method in methods:
        seeds = sorted({one.seed for one in embedded if one.net == method.net})
        nets = {(one.part, one.seed): one for one in embedded if one.net == method.net}
        if not seeds or len(nets) < len(seeds) * len(splits):
            raise ValueError(f"net {method.net!r} of method {method.name!r} must be there for each split and seed")
        predicted[method.name] = np.stack(
            [
                np.concatenate(
                    [_draws(nets[part, one], split, target, protocol, method.recipe, n_draws, seed)
                     for part, split in enumerate(splits)], axis=1,
                )
                for one in seeds
            ]
        )  # fmt: skip
    return Sessions(protocol, rows, target[rows], clusters, predicted)


def _draws(
    net: Embedded, split: Split, target: np.ndarray, protocol: Protocol, recipe: Recipe, n_draws: int, seed: int
) -> np.ndarray:
    """(D, M, S + 1) of one net and split."""
    known = target[split.train]
    return np.stack([
        predict_sessions(net.test, draw_prototypes(net, known, protocol, recipe, seed, draw), protocol)
        for draw in range(n_draws)
    ])  # fmt: skip


def draw_prototypes(
    net: Embedded, target: np.ndarray, protocol: Protocol, recipe: Recipe, seed: int, draw: int
) -> Tensor:
    """The prototypes (C, D) of all sessions' classes with the shots of (seed, draw), of training rows' target (N,)."""
    means = draw_means(net.shots, torch.from_numpy(target), protocol, generator_for(seed, draw))
    return recipe.prototypes(means, protocol.n_base)
