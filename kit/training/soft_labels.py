"""Soft pseudo labels as a fold trains on them: what its own teachers say of rows that nobody labelled.

The rule that keeps a fold honest, and by induction a chain of rounds: fold k trains on nothing but what nets say that
held out the very rows which fold k holds out, and on no row of a group that one of these is of, nor of a site or
source where folds are by these. So no net whose word reaches it has seen a label of its held-out rows, and nothing else
of a held-out recording or site is trained on.
kit.training.soft_rounds makes the file.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kit.data.hidden import groups_of, hidden_rows
from kit.data.store import Store
from kit.parts import at_least, part, part_name
from kit.training.pseudo import LeakError

FOLD = "fold"  # the column that holds the key of what a label's teachers held out


@part
class SoftLabels:
    """A file of soft labels; the share `share` of each batch is rows that have theirs from it.

    weight: of such a row in the loss, relative to a labelled one. by_confidence: recordings (the store's groups) are
    drawn in proportion to the mean over their rows of the highest label, and any of their rows then; else each row
    comes once a pass.
    """

    file: str
    share: float = 0.5
    weight: float = 1.0
    by_confidence: bool = True
    reads = ("file",)

    def check(self):
        at_least(self, 0, "weight")
        if not 0 < self.share < 1:
            raise ValueError(f"share must be in (0, 1), got {self.share}")

    def check_with(self, experiment: Any):
        if getattr(experiment.loss, "task", "multi") != "multi":
            raise ValueError(
                f"loss must be for several labels a row with soft labels, got {part_name(experiment.loss)}"
            )


@dataclass(frozen=True)
class SoftRows:
    """Rows of a store and their soft labels; weight (M,) is how often each is drawn, None for once a pass."""

    row: np.ndarray  # (M,) of the store's index
    target: np.ndarray  # (M, C) float32 in [0, 1]
    weight: np.ndarray | None = None

    def order(self, target: Tensor, generator: torch.Generator) -> Tensor:
        """A pass over them, as a sampler gives it."""
        if self.weight is None:
            return torch.randperm(len(self.row), generator=generator)
        weight = torch.from_numpy(self.weight)
        return torch.multinomial(weight, len(weight), replacement=True, generator=generator)


def held_out_key(ids: Iterable[str], by: str = "group") -> str:
    """A name for a set of held-out rows, the same in whatever order they come; by: as in Folds.

    Folds of rows hide groups too, and have the key of folds by group.
    """
    lines = sorted(map(str, ids)) + ([f"by {by}"] if by not in ("", "group") else [])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def soft_rows(
    part: SoftLabels,
    store: Store,
    train_rows: np.ndarray | Sequence[int],
    held_out: np.ndarray | Sequence[int],
    by: str = "group",
) -> SoftRows:
    """A fold's share of a file: the labels by teachers that held out just what the fold holds out; by: as in Folds.

    Raises LeakError where there is none, or where a row is of a group, or of a value of `by`, that is held out;
    ValueError where the file is not of this store's classes and rows.
    """
    ids = store.index["id"]
    if shared := set(map(int, train_rows)) & set(map(int, held_out)):
        raise LeakError(f"no row may be in training and held out, got {ids.iat[min(shared)]!r} in both")
    table = _read(part.file, held_out_key(ids.iloc[held_out], by), store.classes)
    row = pd.Series(np.arange(len(ids)), index=ids).reindex(table["id"], fill_value=-1).to_numpy()
    if (row < 0).any():
        raise ValueError(f"{part.file}: ids must be the store's, got {table['id'].iat[int(row.argmin())]!r}")
    if (labelled := np.isin(row, np.concatenate([train_rows, held_out]))).any():
        raise LeakError(f"{part.file}: must label none of the training rows, got {table['id'][labelled].iat[0]!r}")
    hidden = hidden_rows(store, row, held_out, by)
    if hidden.any():
        what = "group" if by in ("", "group") else f"group or {by}"
        raise LeakError(f"{part.file}: {table['id'][hidden].iat[0]!r} is of a {what} that is held out, and has labels")
    target = table[list(store.classes)].to_numpy(np.float32)
    if not ((target >= 0) & (target <= 1)).all():
        bad = int((~((target >= 0) & (target <= 1))).any(1).argmax())
        raise ValueError(f"{part.file}: labels must be in [0, 1], got others for {table['id'].iat[bad]!r}")
    return SoftRows(row, target, confidence_weight(target, groups_of(store, row)) if part.by_confidence else None)


def confidence_weight(target: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """How often each row (M,) is drawn: the mean over its group's rows of their highest label, shared out among them.

    Raises ValueError where no row has a label above 0.
    """
    highest = pd.Series(target.max(1).astype(float))
    of_group = highest.groupby(groups)
    weight = (of_group.transform("mean") / of_group.transform("size")).to_numpy()
    if not weight.any():
        raise ValueError(f"soft labels must have one above 0 for rows to be drawn by it, got {len(target)} rows of 0")
    return weight / weight.sum()


def _read(path: str | Path, key: str, classes: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path, filters=[(FOLD, "==", key)])
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file of soft labels") from None
    if odd := sorted({"id", FOLD, *classes} ^ set(table.columns)):
        raise ValueError(f"{path}: columns must be id, {FOLD} and this store's classes; look at {odd[0]!r}")
    if table.empty:
        raise LeakError(f"{path}: has no labels by nets that held out this fold's rows: other folds, or other data?")
    return table
