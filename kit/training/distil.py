"""Distillation: a loss that also asks a net to say what a teacher said, whose word lies in a file.

The teacher is any net, such as one that was run elsewhere: its probabilities (Hinton et al. 2015, arXiv 1503.02531, at
a temperature of 1) or its embeddings. A loss has no weights of its own, so no layer brings z to the teacher's width:
embeddings are compared by how alike they find the items of a batch (Tung and Mori 2019, arXiv 1907.09682, with cosines
in the place of products, whose size would depend on the batch).
A teacher of this very competition has seen labels: give the out-of-fold predictions of its run (oof.parquet).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from kit.data.store import Store
from kit.parts import as_part, at_least, make, one_of, part, part_name
from kit.training.losses import BCE, multilabel_loss
from kit.training.runs import KEYS

KINDS = ("probability", "embedding")


@part
class Distil:
    """The loss `loss`, and `weight` times how far a net is from its teacher's word; items without one add nothing.

    file: a parquet with a column id and one a class, or one a dimension; or an npz of arrays id (N,) and probability
    (N, K) with classes (K,), or embedding (N, D). Its ids are those of the competition's rows, other ones are ignored,
    and classes that it lacks are not distilled.
    """

    file: str
    of: str = "probability"
    weight: float = 1.0
    loss: Any = BCE()

    def check(self):
        object.__setattr__(self, "loss", as_part(self.loss))
        one_of(self, "of", KINDS)
        at_least(self, 0, "weight")
        if self.of == "probability" and not hasattr(self.loss, "task"):
            raise ValueError(
                f"loss must have a task, whose probabilities are distilled, and {part_name(self.loss)} has none"
            )

    def check_with(self, experiment: Any):
        if experiment.session is not None and self.of == "probability":
            raise ValueError("session must be None where probabilities of all classes are distilled, got BaseSession")

    @property
    def task(self) -> str:
        return self.loss.task

    @property
    def positive_at(self) -> Callable[[int], float]:
        return self.loss.positive_at

    def make(self) -> "Distilled":
        return Distilled(make(self.loss), self.of, self.weight, getattr(self.loss, "task", "") == "multi")

    def teacher(self, store: Store, rows: np.ndarray) -> Callable[[np.ndarray], Tensor]:
        """What gives the teacher's word (B, D) on rows of the store, NaN where there is none.

        Raises ValueError where there is none on any of `rows`, or where the file is not as it should be.
        """
        ids, values = _read(Path(self.file), self.of, store.classes)
        place = pd.Series(np.arange(len(ids)), index=ids).reindex(store.index["id"], fill_value=len(ids)).to_numpy()
        if not (place[np.asarray(rows)] < len(ids)).any():
            raise ValueError(f"{self.file}: must have ids of training rows, got {ids[0]!r} and others")
        values = torch.from_numpy(np.vstack([values, np.full((1, values.shape[1]), np.nan, np.float32)]))
        return lambda row: values[place[row]]


class Distilled(nn.Module):
    """loss(logits, batch), and for embeddings `of_embedding(z, batch)`, which is added to it."""

    def __init__(self, loss: Callable, of: str, weight: float, several: bool):
        super().__init__()
        self.loss, self.of, self.weight, self.several = loss, of, weight, several

    def forward(self, logits: Tensor, batch: Any) -> Tensor:
        loss = self.loss(logits, batch)
        if self.of != "probability" or batch.teacher is None:
            return loss
        teacher, known = batch.teacher, None
        if batch.plan is not None and self.several:  # the word on a mixture is mixed as its labels are
            teacher, _, known = batch.plan.mix_labels(teacher, torch.ones_like(teacher))
        elif batch.plan is not None:
            teacher = batch.plan.target(teacher, logits.shape[1])
        of_teacher = multilabel_loss(logits, teacher, known=known) if self.several else row_distance(logits, teacher)
        return loss + self.weight * of_teacher

    def of_embedding(self, z: Tensor, batch: Any) -> Tensor | float:
        if self.of != "embedding" or batch.teacher is None:
            return 0.0
        teacher = batch.teacher if batch.plan is None else batch.plan.apply(batch.teacher)
        return self.weight * relation_distance(z, teacher)


def teacher_of(loss: Any, store: Store, rows: np.ndarray) -> Callable[[np.ndarray], Tensor] | None:
    """What gives the word of a loss's teacher on rows, None where it has none."""
    return loss.teacher(store, rows) if hasattr(loss, "teacher") else None


def row_distance(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy of logits (B, C) of one label a row with a teacher's probabilities (B, C), the mean over the rows
    without NaN; 0 where there is none.
    """
    known = ~teacher.isnan().any(1)
    loss = -(teacher.nan_to_num() * functional.log_softmax(logits.float(), 1)).sum(1)
    return (loss * known).sum() / known.sum().clamp(min=1)


def relation_distance(z: Tensor, teacher: Tensor) -> Tensor:
    """The mean squared difference of the cosines that z (B, D) and a teacher's embeddings (B, E) have, over the pairs
    of different items that the teacher knows; 0 where there is none.
    """
    known = ~teacher.isnan().any(1)
    ours, theirs = (functional.normalize(value.float(), dim=1) for value in (z, teacher.nan_to_num()))
    pairs = (known[:, None] & known) & ~torch.eye(len(z), dtype=torch.bool, device=z.device)  # (B, B)
    gap = (ours @ ours.T - theirs @ theirs.T).square()
    return (gap * pairs).sum() / pairs.sum().clamp(min=1)


def _read(path: Path, of: str, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The ids (N,) of a teacher's file and its values (N, D) float32, of all classes where they are probabilities."""
    try:
        ids, names, values = _npz(path, of) if path.suffix == ".npz" else _parquet(path)
    except (OSError, LookupError, ValueError) as error:
        raise ValueError(f"{path}: must hold a teacher's {of} by id ({type(error).__name__}: {error})") from None
    if len(ids) != len(values) or values.ndim != 2:
        raise ValueError(f"{path}: {of} must have a row an id, got {len(ids)} ids and shape {values.shape}")
    if twice := ids[pd.Series(ids).duplicated()][:1].tolist():
        raise ValueError(f"{path}: each id must be there once, got {twice[0]!r} twice")
    if of == "embedding":
        if not np.isfinite(values).all():
            raise ValueError(f"{path}: embeddings must be finite, got others for {_first(ids, ~np.isfinite(values))!r}")
        return ids, values
    if not set(names) & set(classes):
        raise ValueError(f"{path}: must have a column a class, got none of this competition's, but {names[0]!r}")
    if (wrong := (values < 0) | (values > 1)).any():
        raise ValueError(f"{path}: probabilities must be in [0, 1], got others for {_first(ids, wrong)!r}")
    return ids, pd.DataFrame(values, columns=names).reindex(columns=list(classes)).to_numpy(np.float32)


def _parquet(path: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    table = pd.read_parquet(path)
    names = [name for name in table.columns if name not in KEYS]
    return table["id"].astype(str).to_numpy(), names, table[names].to_numpy(np.float32)


def _npz(path: Path, of: str) -> tuple[np.ndarray, list[str], np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        names = file["classes"].astype(str).tolist() if of == "probability" else []
        return file["id"].astype(str), names, file[of].astype(np.float32)


def _first(ids: np.ndarray, wrong: np.ndarray) -> str:
    return str(ids[int(wrong.any(1).argmax())])
