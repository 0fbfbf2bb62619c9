"""Macro ROC-AUC of rows that count several times or not at all: what a bootstrap asks for thousands of times.

Of each class the rows are sorted once. A resample's score then takes running sums alone: 2,000 of them for 800 rows of
20 classes take half a second, where 2,000 calls of roc_auc take twenty.
"""

import numpy as np


class WeightedRocAuc:
    """score(weights (N, R)) -> (R,): roc_auc of the rows, each as often as its weight says; nan where it is undefined.

    target (N,) or (N, C) and probability (N, C) as in kit.competition.scores.
    """

    def __init__(self, target: np.ndarray, probability: np.ndarray):
        probability = np.asarray(probability, dtype=float)
        truth = target if target.ndim == 2 else np.eye(probability.shape[1], dtype=int)[target]
        self.classes = []
        for labels, scores in zip(truth.T, probability.T, strict=True):
            has, lacks = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
            lacks = lacks[scores[lacks].argsort()]
            below, up_to = (np.searchsorted(scores[lacks], scores[has], side) for side in ("left", "right"))
            if len(has) and len(lacks):
                self.classes.append((has, lacks, below, up_to))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        total, defined = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for has, lacks, below, up_to in self.classes:
            run = np.zeros((len(lacks) + 1, weights.shape[1]))  # the weight of the lowest so many that lack the class
            weights[lacks].cumsum(0, out=run[1:])
            own = weights[has]  # (P, R)
            in_order = (own * (run[below] + run[up_to])).sum(0) / 2  # a tie counts as half
            pairs = own.sum(0) * run[-1]
            total += np.divide(in_order, pairs, out=np.zeros_like(pairs), where=pairs > 0)
            defined += pairs > 0
        return np.divide(total, defined, out=np.full_like(total, np.nan), where=defined > 0)
