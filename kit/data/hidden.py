"""Which rows a fold must learn nothing from, beside those that it holds out: their recordings' and their sites'."""

from collections.abc import Sequence

import numpy as np

from kit.data.store import Store


def hidden_rows(
    store: Store, rows: np.ndarray | Sequence[int], held_out: np.ndarray | Sequence[int], by: str = "group"
) -> np.ndarray:
    """Which of `rows` (N,) are of a group that a held-out row is of, or equal one in the column that folds are `by`.

    Rows without a value are equal there, as they are to Folds. Raises ValueError where the store has no such column.
    """
    hidden = np.isin(groups_of(store, rows), groups_of(store, held_out))
    if by in ("", "group"):
        return hidden
    if by not in store.index:
        raise ValueError(f"folds must be by a column of the store ({', '.join(store.index)}), got {by!r}")
    values = store.index[by].astype(object).where(store.index[by].notna(), None)
    return hidden | values.iloc[rows].isin(values.iloc[held_out]).to_numpy()


def groups_of(store: Store, rows: np.ndarray | Sequence[int]) -> np.ndarray:
    """The group (N,) of each row; one without is a group of its own."""
    index = store.index.iloc[np.asarray(rows, dtype=np.int64)]
    alone = "row " + index["id"].astype(str)
    group = index["group"].astype(object) if "group" in index else alone
    return group.where(group.notna(), alone).to_numpy()
