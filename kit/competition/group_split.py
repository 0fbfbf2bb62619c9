"""scikit-learn's StratifiedGroupKFold, the same folds in a tenth of the time; it imports scikit-learn.

35,549 rows of 234 classes, each a group of its own, take its search 28 s: it tries a group in every fold, and each time
takes the spread of all classes anew. Here a group changes the spread of its own classes alone.
"""

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold


class GroupSplit(StratifiedGroupKFold):
    """StratifiedGroupKFold. A scikit-learn that no longer asks `_find_best_fold` is as slow as it was, and as right."""

    def _find_best_fold(self, y_counts_per_fold, y_cnt, group_y_counts) -> int:
        """The fold where the group leaves the shares of classes most alike; of equals the one of fewest rows.

        y_counts_per_fold (K, C) rows so far, y_cnt (C,) rows in all, group_y_counts (C,) rows of the group.
        """
        n, rows = self.n_splits, y_counts_per_fold.sum(axis=1).tolist()
        if not any(rows):  # the first group of a split
            self.spread = np.zeros(len(y_cnt))  # (C,) over the folds as they are
        has = np.flatnonzero(group_y_counts)
        has = has.repeat(2) if len(has) == 1 else has  # NumPy adds a single column up in another order
        tried = y_counts_per_fold[:, has] + np.eye(n)[:, :, None] * group_y_counts[has]  # (K, K, c), first the fold
        spread = np.empty((n, len(y_cnt)))
        spread[:] = self.spread
        spread[:, has] = _deviation(tried / y_cnt[has])
        scores = (np.add.reduce(spread, axis=1) / len(y_cnt)).tolist()
        best = 0
        for fold in range(1, n):
            equal = abs(scores[fold] - scores[best]) <= 1e-8 + 1e-5 * scores[best]  # as numpy.isclose
            if scores[fold] < scores[best] or (equal and rows[fold] < rows[best]):
                best = fold
        self.spread = spread[best]
        return best


def _deviation(shares: np.ndarray) -> np.ndarray:
    """numpy.std of (K, K, c) over the second axis, without its overhead."""
    n = shares.shape[1]
    shares = shares - np.add.reduce(shares, axis=1, keepdims=True) / n
    return np.sqrt(np.add.reduce(shares * shares, axis=1) / n)
