"""What is known of whole rows with several labels, or what models say of them: each crop has what its row has.

For recordings of which more is known than that, where in them each class is, see kit.data.boxes.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kit.competition.labels import UNKNOWN
from kit.data.store import Store


class RowLabels:
    """serve(…) gives the labels of a batch's rows, which must be among `rows`.

    weights_at(epoch) gives the weights of true and of pseudo positives, from epoch 0. soft: rows (M,) that are here for
    their pseudo labels, and these (M, C) in [0, 1].
    """

    def __init__(
        self,
        store: Store,
        rows: np.ndarray,
        weights_at: Callable[[int], tuple[float, float]] = lambda epoch: (1.0, 1.0),
        soft: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        self.known, self.weights_at = store.targets(rows), weights_at  # (N, C) int8
        self.place = np.full(len(store.index), -1)  # of an index row among `rows`
        self.place[rows] = np.arange(len(rows))
        self.soft = None if soft is None else soft[1]
        if soft is not None:
            self.place[soft[0]] = np.arange(len(soft[0]))

    def serve(self, row, is_pseudo, start, length, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Target (B, C) of 1, 0 and NaN where unknown, and the weight (B, C) of its positive part; None for 1."""
        place, pseudo = self.place[row], np.asarray(is_pseudo)
        known = torch.from_numpy(self.known[np.where(pseudo, 0, place)])
        target = torch.where(known == UNKNOWN, torch.nan, known.float())
        if pseudo.any():
            target[torch.from_numpy(pseudo)] = torch.from_numpy(self.soft[place[pseudo]])
        weight, _ = self.weights_at(epoch)
        return target, None if weight == 1 else torch.full_like(target, weight)
