"""Macro ROC-AUC of rows that count several times or not at all: what a bootstrap asks for thousands of times.

Ranks among the rows that lack a class matter only where a row that has it stands between them. So those rows are put
into bins once, and a resample's score needs one sum of weights a bin: a product with a sparse matrix that reads the
weights in order. 2,000 resamples of 36,288 rows and 206 classes take 13 s on one core, where running sums over sorted
rows take 15 minutes.
"""

import numpy as np


class WeightedRocAuc:
    """score(weights (N, R)) -> (R,): roc_auc of the rows, each as often as its weight says; nan where it is undefined.

    target (N,) or (N, C) and probability (N, C) as in kit.competition.scores.
    """

    def __init__(self, target: np.ndarray, probability: np.ndarray):
        probability = np.asarray(probability, dtype=float)
        truth = target if target.ndim == 2 else np.eye(probability.shape[1], dtype=int)[target]
        pairs = zip(truth.T, probability.T, strict=True)
        self.classes = [_binned(labels, scores) for labels, scores in pairs if (labels == 1).any() and 0 in labels]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        weights = np.ascontiguousarray(weights, dtype=float)
        total, defined = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for has, bins, below, up_to in self.classes:
            run = (bins @ weights).cumsum(0)  # (B, R) the weight up to a bin of the rows that lack the class
            own = weights[has]  # (P, R)
            in_order = (own * (run[below] + run[up_to])).sum(0) / 2  # a tie counts as half
            pairs = own.sum(0) * run[-1]
            total += np.divide(in_order, pairs, out=np.zeros_like(pairs), where=pairs > 0)
            defined += pairs > 0
        return np.divide(total, defined, out=np.full_like(total, np.nan), where=defined > 0)


def _binned(labels: np.ndarray, scores: np.ndarray):
    """Of a class: the P rows that have it; which bin each row that lacks it is in, (B, N) of 0 and 1; and of each of P
    the bins (P,) up to which rows score below it, and at most as high. Bin 0 is below all of them.
    """
    from scipy.sparse import csc_array

    has, lacks = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    values, rank = np.unique(scores[has], return_inverse=True)
    # With V distinct scores among P, bins 0, 2, … 2V lie between them and bins 1, 3, … 2V - 1 are equal to one.
    bin_of = np.searchsorted(values, scores[lacks], "left") + np.searchsorted(values, scores[lacks], "right")
    first = np.append(0, np.cumsum(labels == 0))  # of each row's column
    bins = csc_array((np.ones(len(lacks)), bin_of, first), shape=(2 * len(values) + 1, len(labels)))
    return has, bins, 2 * rank, 2 * rank + 1
