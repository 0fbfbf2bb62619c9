"""Pseudo labels as a fold trains on them: those of its own training recordings and of the test's.

kit.training.pseudo_rounds makes the file. A fold never sees those of its held-out recordings, nor of any other
recording of a group, site or source that it holds out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.data.hidden import hidden_rows
from kit.data.store import Store
from kit.parts import at_least, part, part_name, share

TEST = -1  # in the place of a fold


@part
class PseudoLabels:
    """A file of pseudo labels; half of each batch is then around its labels.

    weight: of a pseudo label that says a class is there, beside the loss's own positive weight; each epoch leaves the
    share `decay` of it.
    """

    file: str
    weight: float = 1.0
    decay: float = 1.0
    reads = ("file",)

    def check(self):
        at_least(self, 0, "weight")
        share(self, "decay")

    def check_with(self, experiment: Any):
        if getattr(experiment.loss, "task", "multi") != "multi":
            raise ValueError(f"loss must be BCE or Focal with pseudo labels, got {part_name(experiment.loss)}")


def positive_weights(loss: Any, pseudo: PseudoLabels | None, epoch: int) -> tuple[float, float]:
    """The weights of true and of pseudo positives in an epoch (from 0): the one tends to 1, the other to 0."""
    true = loss.positive_at(epoch) if hasattr(loss, "positive_at") else 1.0
    return true, true * (pseudo.weight * pseudo.decay**epoch if pseudo else 1.0)


class LeakError(ValueError):
    """A pseudo label of a recording, from a model that has seen it or for one that must not."""


def pseudo_rows(
    path: str | Path,
    store: Store,
    train_rows: np.ndarray | Sequence[int],
    held_out: np.ndarray | Sequence[int],
    by: str = "group",
) -> pd.DataFrame:
    """A fold's share of a round: columns row, number, start, end, for kit.data.boxes; by: as in Folds.

    Those of held-out recordings are left out, and of test recordings of a held-out group, site or source. Raises
    LeakError where one of its recordings is held out and in training, or where a label's models held out another fold
    than its recording is in.
    """
    table = pd.read_parquet(path)
    row_of = pd.Series(np.arange(len(store.index)), index=store.index["id"])
    numbers = {name: number for number, name in enumerate(store.classes)}
    table = table.assign(row=row_of[table["id"]].to_numpy(), number=table["label"].map(numbers))
    if shared := set(map(int, train_rows)) & set(map(int, held_out)):
        raise LeakError(f"no row may be in training and held out, got {store.index['id'].iat[min(shared)]!r} in both")
    hidden = table["row"].isin(np.asarray(held_out))
    if table.loc[hidden, "fold"].nunique() > 1 or set(table.loc[hidden, "fold"]) & set(table.loc[~hidden, "fold"]):
        raise LeakError(f"{path}: folds must be those of this experiment, got other ones: same n_folds and fold_seed?")
    test = store.rows("test")
    test = test[~hidden_rows(store, test, held_out, by)]
    mine = table["row"].isin(np.concatenate([np.asarray(train_rows), test])) & ~hidden
    return table.loc[mine, ["row", "number", "start", "end"]].reset_index(drop=True)
