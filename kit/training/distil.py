"""Distillation: a loss that also asks a net to say what a teacher said, whose word lies in a file.

The teacher is any net, such as one that was run elsewhere: its probabilities (Hinton et al. 2015, arXiv 1503.02531, at
a temperature of 1) or its embeddings. A loss has no weights of its own, so no layer brings z to the teacher's width:
embeddings are compared by how alike they find the items of a batch (Tung and Mori 2019, arXiv 1907.09682, with cosines
in the place of products, whose size would depend on the batch).
The rule against leaks: a teacher must not have trained on this competition's rows, and a part says so by outside=True.
Nothing else is honest in one file for all folds. Out-of-fold predictions are not: on the rows that the student of fold
k trains on they are by nets of other folds, which trained on the labels of fold k. A competition's own nets teach by
kit.training.soft_labels, fold by fold.
"""

from collections.abc import Callable, Sequence
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
from kit.training.pseudo import LeakError
from kit.training.runs import KEYS

KINDS = ("probability", "embedding")
TINY = torch.finfo(torch.float32).tiny


@part
class Distil:
    """The loss `loss`, and `weight` times how far a net is from its teacher's word; items without one add nothing.

    file: a parquet with a column id and one a class, or one a dimension; or an npz of arrays id (N,) and probability
    (N, K) with classes (K,), or embedding (N, D). Its ids are those of the competition's rows, other ones are ignored,
    and classes that it lacks are not distilled: where a row has one label, its classes are compared with each other.
    outside: the teacher was not trained on this competition's rows; a file that tells of these needs it.
    """

    file: str
    of: str = "probability"
    weight: float = 1.0
    loss: Any = BCE()
    outside: bool = False
    reads = ("file",)

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

    def teacher(self, store: Store, rows: np.ndarray | Sequence[int]) -> Callable[[np.ndarray], Tensor]:
        """What gives the teacher's word (B, D) on rows of the store, NaN where there is none.

        Raises ValueError where there is none on any of `rows`, or where the file is not as it should be; LeakError
        where its teacher may have seen labels that a fold holds out.
        """
        ids, values = _read(Path(self.file), self.of, store.classes)
        if self.of == "probability" and getattr(self.loss, "task", "") != "multi":
            _check_one_label(self.file, ids, values)
        number = pd.Series(np.arange(len(ids)), index=ids).reindex(store.index["id"], fill_value=len(ids)).to_numpy()
        if not (number[np.asarray(rows)] < len(ids)).any():
            raise ValueError(f"{self.file}: must have ids of training rows, got {ids[0]!r} and others")
        if not self.outside:
            raise LeakError(
                f"{self.file}: has ids of this competition's training rows; outside=True says that its teacher was not "
                "trained on them"
            )
        values = torch.from_numpy(np.vstack([values, np.full((1, values.shape[1]), np.nan, np.float32)]))
        return lambda row: values[number[row]]


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


def teacher_of(loss: Any, store: Store, rows: np.ndarray | Sequence[int]) -> Callable[[np.ndarray], Tensor] | None:
    """What gives the word of a loss's teacher on rows, None where it has none."""
    return loss.teacher(store, rows) if hasattr(loss, "teacher") else None


def row_distance(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy of logits (B, C) of one label a row with a teacher's probabilities (B, C), each given that the
    label is one of the classes that the teacher knows, not NaN; the mean over the rows that have any, 0 where none has.
    """
    known = ~teacher.isnan()  # (B, C)
    there = known.any(1)
    share = teacher.nan_to_num() / teacher.nan_to_num().sum(1, keepdim=True).clamp(min=TINY)
    ours = torch.where(known, logits.float(), -torch.inf).masked_fill(~there[:, None], 0)  # no row of -inf alone
    loss = -(share * functional.log_softmax(ours, 1).masked_fill(~known, 0)).sum(1)
    return (loss * there).sum() / there.sum().clamp(min=1)


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
    except LeakError:
        raise
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


def _check_one_label(path: str, ids: np.ndarray, values: np.ndarray) -> None:
    """Raises ValueError where a row can't be compared among its known classes: one class alone, or nothing above 0."""
    known = ~np.isnan(values)
    wrong = known.any(1) & ((known.sum(1) < 2) | (np.nansum(values, 1) < TINY))
    if wrong.any():
        rule = "must have two known classes and one above 0, where a row has one label"
        raise ValueError(f"{path}: a row {rule}, got others for {_first(ids, wrong[:, None])!r}")


def _parquet(path: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    table = pd.read_parquet(path)
    if {"fold", "label"} <= set(table.columns):
        raise LeakError(f"{path}: has columns fold and label, as predictions of a run on this competition's own labels")
    names = [name for name in table.columns if name not in KEYS]
    return table["id"].astype(str).to_numpy(), names, table[names].to_numpy(np.float32)


def _npz(path: Path, of: str) -> tuple[np.ndarray, list[str], np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        names = file["classes"].astype(str).tolist() if of == "probability" else []
        return file["id"].astype(str), names, file[of].astype(np.float32)


def _first(ids: np.ndarray, wrong: np.ndarray) -> str:
    return str(ids[int(wrong.any(1).argmax())])
