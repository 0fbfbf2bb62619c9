"""The scores of a competition, on numpy arrays: METRICS[name](target, probability).

target is (N,) class numbers, or (N, C) of 0 and 1 where a row may have several labels, and -1 where it is unknown
whether it does; probability is (N, C). Unknown pairs are left out, but for LWLRAP, where they count as no label: it
ranks all classes of a row, and what is unknown is mostly absent.
LWLRAP, label-weighted label-ranking average precision: Fonseca et al. 2019 (arXiv 1906.02975), section 3; it is
scikit-learn's label_ranking_average_precision_score with each row weighted by its number of true labels.
"""

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, precision_score

LEAST = 1e-15  # log loss never sees a smaller probability, so that one sure mistake costs 34.5 and not infinity


def accuracy(target: np.ndarray, probability: np.ndarray) -> float:
    """Share of rows whose likeliest class is the true one; (N,) targets only."""
    return _ratio(accuracy_terms(target, probability))


def log_loss(target: np.ndarray, probability: np.ndarray) -> float:
    """Mean of -log p(true class); for (N, C) targets, the mean binary cross-entropy over classes. Lower is better."""
    return _ratio(log_loss_terms(target, probability))


def lwlrap(target: np.ndarray, probability: np.ndarray) -> float:
    """Label-weighted label-ranking average precision: over all true labels, the mean precision at their rank."""
    target, probability = _checked(target, probability)
    truth = _one_hot(target, probability.shape[1]) == 1
    if not truth.any():
        raise ValueError("target must have at least one true label, got none")
    return float(label_ranking_average_precision_score(truth, probability, sample_weight=truth.sum(1)))


def precision(target: np.ndarray, probability: np.ndarray) -> float:
    """True among predicted: `micro_precision` for (N, C) targets, macro over the classes in use for (N,).

    A class that is never predicted counts as 0.
    """
    target, probability = _checked(target, probability)
    if target.ndim == 2:
        return micro_precision(target, probability)
    return float(precision_score(target, probability.argmax(1), average="macro", zero_division=0))


def micro_precision(target: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> float:
    """Of all known pairs with at least `threshold`, the share that is there; 0 where there is none. (N, C) targets."""
    total, weight = micro_precision_terms(target, probability, threshold)
    return float(total.sum() / max(1.0, weight.sum()))


def class_average_precision(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Each class's average precision over the rows where it is known (C,); nan where it is never there."""
    target, probability = _checked(target, probability)
    truth = _one_hot(target, probability.shape[1])
    return np.array(
        [
            average_precision_score(labels[labels >= 0], found[labels >= 0]) if (labels == 1).any() else np.nan
            for labels, found in zip(truth.T, probability.T, strict=True)
        ]
    )


def accuracy_terms(target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's share of the accuracy: total (N,) and weight (N,), accuracy = sum(total) / sum(weight)."""
    target, probability = _checked(target, probability)
    if target.ndim == 2:
        raise ValueError(f"accuracy needs one label a row, target (N,), got shape {target.shape}")
    return (probability.argmax(1) == target).astype(float), np.ones(len(target))


def log_loss_terms(target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's share of the log loss: total (N,) and weight (N,)."""
    target, probability = _checked(target, probability)
    if probability.min() < -1e-6 or probability.max() > 1 + 1e-6:
        raise ValueError(f"probability must be in [0, 1], got {probability.min():g} to {probability.max():g}")
    if target.ndim == 1:
        true = probability[np.arange(len(target)), target]
        return -np.log(true.clip(LEAST, 1)), np.ones(len(target))
    said = np.where(target == 1, probability, 1 - probability)  # (N, C) probability of what was so
    known = target >= 0
    weight = known.mean(1)  # of a row whose classes are all known: 1
    return -np.where(known, np.log(said.clip(LEAST, 1)), 0).mean(1), weight


def lwlrap_terms(target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's share of the LWLRAP: its labels' precisions summed (N,), its number of labels (N,).

    Equals `lwlrap` as sum(total) / sum(weight); kept beside it because a bootstrap needs thousands of them.
    """
    target, probability = _checked(target, probability)
    truth = _one_hot(target, probability.shape[1]) == 1
    rank = rankdata(-probability, "max", axis=1)  # (N, C) place among all classes, ties at their worst place
    among_true = rankdata(np.where(truth, -probability, np.inf), "max", axis=1)
    return np.where(truth, among_true / rank, 0).sum(1), truth.sum(1).astype(float)


def micro_precision_terms(
    target: np.ndarray, probability: np.ndarray, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Each row's share of the micro precision: pairs that are there (N,) of those known and predicted (N,)."""
    target, probability = _checked(target, probability)
    said = probability >= threshold
    truth = _one_hot(target, probability.shape[1])
    return (said & (truth == 1)).sum(1).astype(float), (said & (truth >= 0)).sum(1).astype(float)


METRICS = {
    "accuracy": accuracy,
    "log_loss": log_loss,
    "lwlrap": lwlrap,
    "precision": precision,
    "micro_precision": micro_precision,
}
# The metrics that are a ratio of sums over rows: a bootstrap resamples the sums, without calling them again.
ROW_TERMS = {
    "accuracy": accuracy_terms,
    "log_loss": log_loss_terms,
    "lwlrap": lwlrap_terms,
    "micro_precision": micro_precision_terms,
}


def _ratio(terms: tuple[np.ndarray, np.ndarray]) -> float:
    total, weight = terms
    return float(total.sum() / weight.sum())


def _one_hot(target: np.ndarray, n_classes: int) -> np.ndarray:
    """(N, C) of 0 and 1."""
    return target if target.ndim == 2 else np.eye(n_classes, dtype=int)[target]


def _checked(target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """target as int, probability as float64. Raises ValueError where shapes or values can't be scored."""
    target, probability = np.asarray(target), np.asarray(probability, dtype=float)
    if probability.ndim != 2 or not probability.size:
        raise ValueError(f"probability must have shape (N, C), got {probability.shape}")
    n_rows, n_classes = probability.shape
    if target.shape not in ((n_rows,), (n_rows, n_classes)):
        raise ValueError(f"target must have shape ({n_rows},) or ({n_rows}, {n_classes}), got {target.shape}")
    if not np.isfinite(probability).all():
        row, column = np.argwhere(~np.isfinite(probability))[0]
        raise ValueError(f"probability must be finite, got {probability[row, column]} in row {row}, class {column}")
    lowest, highest = (-1, 1) if target.ndim == 2 else (0, n_classes - 1)
    if not np.isin(target, np.arange(lowest, highest + 1)).all():
        raise ValueError(
            f"target must hold whole numbers from {lowest} to {highest}, got {target.min()} to {target.max()}"
        )
    return target.astype(int), probability
