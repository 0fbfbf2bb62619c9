"""What competitions score by, as functions of numpy arrays: score(target, probability) -> float.

target is (N,) class numbers, or (N, C) of 0 and 1 where a row may have several labels, and -1 where it is unknown
whether it has one; probability is (N, C). Unknown pairs are left out, except by LWLRAP, which ranks all classes of a
row and takes the unknown as absent, as most of them are.
`*_terms` give each row's share, total (N,) and weight (N,): the score is sum(total) / sum(weight), so that a bootstrap
resamples two numbers a row.

Equal probabilities have no order. Every score that ranks takes a tie as scikit-learn does: average precisions at its
worst place, ROC-AUC as half. A sigmoid in float32 is exactly 1 from a logit of 17 on, so it ties confident predictions
that their logits tell apart; in float64 that happens at 37.

Sources: LWLRAP, Fonseca et al. 2019 (arXiv 1906.02975), section 3; ROC-AUC without classes of one label, BirdCLEF 2024
and later; padded cmAP, BirdCLEF 2023; F1 of rows, the Cornell birdcall competition of 2020.
"""

import numpy as np

LEAST = 1e-15  # log loss never sees a smaller probability, so that one sure mistake costs 34.5 and not infinity


def accuracy(target: np.ndarray, probability: np.ndarray) -> float:
    """Share of rows whose likeliest class is the true one; (N,) targets only."""
    return _ratio(accuracy_terms(target, probability), "row")


def log_loss(target: np.ndarray, probability: np.ndarray) -> float:
    """Mean of -log p(true class); for (N, C) targets, the mean binary cross-entropy of known pairs. Lower is better."""
    return _ratio(log_loss_terms(target, probability), "known pair")


def lwlrap(target: np.ndarray, probability: np.ndarray) -> float:
    """Label-weighted label-ranking average precision: over all true labels, the mean precision at their rank."""
    return _ratio(lwlrap_terms(target, probability), "true label")


def precision(target: np.ndarray, probability: np.ndarray) -> float:
    """True among predicted: `micro_precision` for (N, C) targets, macro over the classes in use for (N,).

    A class that is never predicted counts as 0.
    """
    target, probability = _checked(target, probability)
    if target.ndim == 2:
        return micro_precision(target, probability)
    right, called, true = _class_counts(target, probability)
    return float((right / np.maximum(called, 1))[called + true > 0].mean())


def micro_precision(target: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> float:
    """Of all known pairs with at least `threshold`, the share that is there; 0 where there is none. (N, C) targets."""
    total, weight = micro_precision_terms(target, probability, threshold)
    return float(total.sum() / max(1.0, weight.sum()))


def roc_auc(target: np.ndarray, probability: np.ndarray) -> float:
    """Macro ROC-AUC: each class against the rest, over the rows where it is known, averaged over classes.

    A class without both a row that has it and one that lacks it is left out. Raises ValueError where that leaves none.
    """
    target, probability = _checked(target, probability)
    truth = _one_hot(target, probability.shape[1])
    known = truth >= 0
    n_true, n_known = (truth == 1).sum(0), known.sum(0)
    n_pairs = n_true * (n_known - n_true)  # (C,) pairs of a row that has the class and one that lacks it
    # Among known rows: how many score at least and at most as high; their mean counts a tie as half.
    above = _last_place(np.where(known, -probability, np.inf), axis=0)
    up_to = _last_place(np.where(known, probability, np.inf), axis=0)
    rank = (up_to + n_known + 1 - above) / 2
    in_order = np.where(truth == 1, rank, 0).sum(0) - n_true * (n_true + 1) / 2  # Mann-Whitney's U
    if not n_pairs.any():
        raise ValueError("target must have a class with rows that have it and rows that lack it, got none")
    return float((in_order[n_pairs > 0] / n_pairs[n_pairs > 0]).mean())


def cmap(target: np.ndarray, probability: np.ndarray) -> float:
    """Macro mean average precision: `class_average_precision`, averaged over the classes that are there at all."""
    averages = class_average_precision(target, probability)
    if np.isnan(averages).all():
        raise ValueError("target must have at least one true label, got none")
    return float(np.nanmean(averages))


def padded_cmap(target: np.ndarray, probability: np.ndarray, padding_factor: int = 5) -> float:
    """`cmap` after `padding_factor` more rows that have every class and are predicted so with probability 1.

    So a class that is never there counts too, and one of few rows weighs less on chance (BirdCLEF 2023).
    """
    target, probability = _checked(target, probability)
    if isinstance(padding_factor, bool) or not isinstance(padding_factor, int) or padding_factor < 1:
        raise ValueError(f"padding_factor must be a whole number of at least 1, got {padding_factor!r}")
    n_classes = probability.shape[1]
    rows = np.ones((padding_factor, n_classes), int)
    return cmap(np.vstack([_one_hot(target, n_classes), rows]), np.vstack([probability, rows]))


def f1_macro(target: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> float:
    """F1 averaged over classes: all of them for (N, C) targets, for (N,) those that are true or predicted somewhere.

    A row calls its likeliest class for (N,) targets, every class with at least `threshold` for (N, C). A class of
    (N, C) that is neither there nor called counts 0, as in scikit-learn.
    """
    target, probability = _checked(target, probability)
    if target.ndim == 1:
        right, called, true = _class_counts(target, probability)
        return float((2 * right / np.maximum(called + true, 1))[called + true > 0].mean())
    both, either = _calls(target, probability, threshold, axis=0)
    return float((2 * both / np.maximum(either, 1)).mean())


def f1_rows(target: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> float:
    """F1 of each row's labels and calls, averaged over rows; a call is a known pair with at least `threshold`.

    A row without label and call is right and counts 1; one of which nothing is known is left out.
    """
    return _ratio(f1_rows_terms(target, probability, threshold), "known pair")


def class_average_precision(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Each class's average precision over the rows where it is known (C,); nan where it is never there."""
    target, probability = _checked(target, probability)
    truth = _one_hot(target, probability.shape[1])
    total = _precision_at_rank(truth == 1, np.where(truth >= 0, probability, -np.inf), axis=0).sum(0)
    n_true = (truth == 1).sum(0)
    return np.where(n_true, total / np.maximum(n_true, 1), np.nan)


def accuracy_terms(target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row is right (N,), and ones (N,)."""
    target, probability = _checked(target, probability)
    if target.ndim == 2:
        raise ValueError(f"accuracy needs one label a row, target (N,), got shape {target.shape}")
    return (probability.argmax(1) == target).astype(float), np.ones(len(target))


def log_loss_terms(target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's log loss (N,), and the share of its classes that is known (N,)."""
    target, probability = _checked(target, probability)
    if probability.min() < -1e-6 or probability.max() > 1 + 1e-6:
        raise ValueError(f"probability must be in [0, 1], got {probability.min():g} to {probability.max():g}")
    if target.ndim == 1:
        true = probability[np.arange(len(target)), target]
        return -np.log(true.clip(LEAST, 1)), np.ones(len(target))
    given = np.where(target == 1, probability, 1 - probability)  # (N, C) probability given to what was so
    known = target >= 0
    return -np.where(known, np.log(given.clip(LEAST, 1)), 0).mean(1), known.mean(1)


def lwlrap_terms(target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The precisions at a row's labels, summed (N,), and its number of labels (N,)."""
    target, probability = _checked(target, probability)
    truth = _one_hot(target, probability.shape[1]) == 1
    return _precision_at_rank(truth, probability, axis=1).sum(1), truth.sum(1).astype(float)


def micro_precision_terms(
    target: np.ndarray, probability: np.ndarray, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that are there (N,) of those known and predicted (N,)."""
    target, probability = _checked(target, probability)
    called = probability >= threshold
    truth = _one_hot(target, probability.shape[1])
    return (called & (truth == 1)).sum(1).astype(float), (called & (truth >= 0)).sum(1).astype(float)


def f1_rows_terms(target: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Each row's F1 (N,), and 1 where anything is known of the row (N,)."""
    target, probability = _checked(target, probability)
    truth = _one_hot(target, probability.shape[1])
    both, either = _calls(truth, probability, threshold, axis=1)
    known = (truth >= 0).any(1)
    return np.where(either, 2 * both / np.maximum(either, 1), known), known.astype(float)


def _ratio(terms: tuple[np.ndarray, np.ndarray], needed: str) -> float:
    total, weight = terms
    if not weight.any():
        raise ValueError(f"target must have at least one {needed}, got none")
    return float(total.sum() / weight.sum())


def _precision_at_rank(truth: np.ndarray, probability: np.ndarray, axis: int) -> np.ndarray:
    """(N, C): where truth, the share of true ones among all that rank as high along `axis`; 0 elsewhere."""
    among_true = _last_place(np.where(truth, -probability, np.inf), axis)
    return np.where(truth, among_true / _last_place(-probability, axis), 0)


def _last_place(values: np.ndarray, axis: int) -> np.ndarray:
    """Of each value, how many along `axis` are at most as large: its place from 1, ties at their last."""
    values = np.ascontiguousarray(np.moveaxis(values, axis, 1))
    n_lines, n = values.shape
    order = values.argsort(1) + n * np.arange(n_lines)[:, None]  # in the flat array: twice as fast as by row and column
    ordered = values.ravel()[order]
    places = np.full(values.shape, n)
    np.copyto(places[:, :-1], np.arange(1, n), where=ordered[:, :-1] < ordered[:, 1:])  # where a run of equals ends
    last = np.empty(n_lines * n, dtype=int)
    last[order] = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
    return np.moveaxis(last.reshape(values.shape), 1, axis)


def _class_counts(target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each class (C,), for (N,) targets: rows rightly called it, rows called it, rows that are it."""
    called, n_classes = probability.argmax(1), probability.shape[1]
    return tuple(np.bincount(rows, minlength=n_classes) for rows in (target[called == target], called, target))


def _calls(truth, probability, threshold, axis):
    """Along `axis`, the number of known pairs that are true and called, and of true ones plus called ones."""
    called, true = (probability >= threshold) & (truth >= 0), truth == 1
    return (called & true).sum(axis), called.sum(axis) + true.sum(axis)


def _one_hot(target: np.ndarray, n_classes: int) -> np.ndarray:
    """(N, C) of 0 and 1, and -1 where target has it."""
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
    if not ((target >= lowest) & (target <= highest) & (np.floor(target) == target)).all():
        raise ValueError(
            f"target must hold whole numbers from {lowest} to {highest}, got {target.min()} to {target.max()}"
        )
    return target.astype(int), probability
