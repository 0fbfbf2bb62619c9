"""Several models' probabilities as one: tables of test.parquet or oof.parquet, mixed row by row.

Means need no fitting. Fitted weights do, and are judged on rows that they were not fitted on: the weights for a fold
come from the other folds.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from kit.competition.metrics import MetricLike
from kit.results.bootstrap import interval
from kit.results.compare import difference, metric_of, reordered
from kit.training.runs import Run, class_columns

LEAST = 1e-15  # a probability of 0 would veto all other models in a geometric mean
STEPS = 300  # of the fit of weights, which is then within 1e-4 of its end


def average(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean of probability tables with the same ids and classes, in the first one's order.

    Other columns (fold, label, group) are the first one's. Raises ValueError naming the table and what differs.
    """
    return _mixed(frames, lambda probability: probability.mean(0))


def rank_mean(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """As `average`, of each class's rank among its row's classes, scaled to (0, 1].

    Models of different temperature then weigh alike; accuracy and LWLRAP look only at the order within a row. Rows that
    summed to 1 do so again, for a log loss would take unscaled ranks for certainty.
    """

    def mix(probability: np.ndarray) -> np.ndarray:
        return _scaled((rankdata(probability, axis=2) / probability.shape[2]).mean(0), probability)

    return _mixed(frames, mix)


def class_rank_mean(frames: list[pd.DataFrame], weights: Sequence[float] | None = None) -> pd.DataFrame:
    """As `average`, of each row's rank within its class among all rows, scaled to (0, 1]; weights (M,), None for alike.

    For metrics that look only at the order of the rows within a class, as macro ROC-AUC and cmAP do. What comes out
    depends on which rows are ranked together.
    """
    if weights is not None and (len(weights) != len(frames) or min(weights) < 0 or not sum(weights) > 0):
        raise ValueError(f"weights must be {len(frames)} numbers of at least 0, not all 0, got {list(weights)}")

    def mix(probability: np.ndarray) -> np.ndarray:
        return _scaled(np.average(rankdata(probability, axis=1), 0, weights) / probability.shape[1], probability)

    return _mixed(frames, mix)


def geometric_mean(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """As `average`, of the logarithms: a class that one model rules out is out. Rows that summed to 1 do so again."""

    def mix(probability: np.ndarray) -> np.ndarray:
        return _scaled(np.exp(np.log(probability.clip(LEAST)).mean(0)), probability)

    return _mixed(frames, mix)


def weighted(frames: list[pd.DataFrame], weights: np.ndarray) -> pd.DataFrame:
    """As `average`, with a weight (M,) a table."""
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (len(frames),) or weights.min() < 0 or abs(weights.sum() - 1) > 1e-6:
        raise ValueError(f"weights must be {len(frames)} shares that sum to 1, got {weights.tolist()}")
    return _mixed(frames, lambda probability: np.tensordot(weights, probability, 1))


def fit_weights(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The shares (M,) of M models whose weighted mean has the least log loss; probability (M, N, C).

    target (N,) or (N, C) as in kit.competition.scores: unknown pairs are left out, as the loss leaves them out. The
    shares of a mixture of known parts, by expectation and maximisation (Dempster, Laird and Rubin 1977, section 4.3):
    each step lowers the loss, and there is one minimum. Raises ValueError where nothing is known.
    """
    target = np.asarray(target)
    if target.ndim == 1:
        said = probability[:, np.arange(len(target)), target]  # (M, N) probability of what was so
    else:
        said = np.where(target == 1, probability, 1 - probability)[:, target >= 0]  # (M, known pairs)
    if not said.size:
        raise ValueError("target must have at least one known pair for weights to be fitted, got none")
    said = said.clip(LEAST)
    weights = np.full(len(probability), 1 / len(probability))
    for _ in range(STEPS):
        weights = weights * (said / (weights @ said)).mean(1)
    return weights / weights.sum()


def fitted_weights(runs: Sequence[Run]) -> np.ndarray:
    """fit_weights of the runs' out-of-fold predictions: what to mix their test predictions with."""
    return fit_weights(runs[0].target, np.stack([run.probability for run in _alike(runs)]))


def nested(runs: Sequence[Run]) -> pd.DataFrame:
    """The out-of-fold table of fitted weights: each fold mixed by weights fitted on the others."""
    runs = _alike(runs)
    fold, target = runs[0].oof["fold"].to_numpy(), runs[0].target
    if any((run.oof["fold"] != runs[0].oof["fold"]).any() for run in runs):
        raise ValueError("runs must have the same folds for weights to be fitted, got others")
    if len(np.unique(fold)) < 2:
        raise ValueError("runs must have at least 2 folds for weights to be fitted, got 1")
    probability, classes = np.stack([run.probability for run in runs]), runs[0].classes
    mixed = runs[0].oof.copy()
    for held_out in np.unique(fold):
        rows = fold == held_out
        weights = fit_weights(target[~rows], probability[:, ~rows])
        held = np.tensordot(weights, probability[:, rows], 1).clip(0, 1)  # shares can sum to 1 + 2e-16
        mixed.loc[rows, classes] = held.astype(mixed[classes[0]].dtype)
    return mixed


MEANS = {"mean": average, "rank mean": rank_mean, "class rank mean": class_rank_mean, "geometric mean": geometric_mean}


def blend_runs(runs: Sequence[Run]) -> dict[str, Run]:
    """Each way to blend as a run of its own, its out-of-fold predictions honest."""
    tables = {name: mean([run.oof for run in runs]) for name, mean in MEANS.items()} | {"fitted weights": nested(runs)}
    return {
        name: replace(runs[0], name=name, experiment=_told(name, runs), oof=table, folder=None)
        for name, table in tables.items()
    }


def blend_table(runs: Sequence[Run], blends: dict[str, Run], metric: MetricLike | None = None) -> pd.DataFrame:
    """A row a blend: CV with its interval, and Δ to the first of `runs`, the best single one, with its own.

    told says whether Δ is a gain and its interval leaves 0 out. metric is the first run's own by default.
    """
    metric, rows = metric_of(runs[0], metric), []
    for name, run in {runs[0].experiment["name"]: runs[0], **blends}.items():
        gain = difference(run, runs[0], metric) if name in blends else None
        score = interval(run.target, run.probability, metric, run.clusters)
        rows.append(
            {
                "name": name,
                "CV": str(score),
                "Δ CV": "" if gain is None else str(gain),
                "told": bool(gain and gain.excludes_zero and metric.better(gain.delta, 0)),
            }
        )
    return pd.DataFrame(rows)


def _told(name: str, runs: Sequence[Run]) -> dict:
    """A blend's experiment: its name, in the place of a net what was mixed, and how, so that it can be made again."""
    told = {"name": name, "net": {"part": f"{name} of {len(runs)}"}, "of": [run.name for run in runs]}
    if any(run.folder is None for run in runs):
        return told
    folders = [Path(os.path.relpath(run.folder)).as_posix() for run in runs]
    fitted = name not in MEANS
    return told | {
        "blend": {"runs": folders, "how": "mean" if fitted else name,
                  "weights": fitted_weights(runs).tolist() if fitted else None},
    }  # fmt: skip


def _scaled(mixed: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """mixed (N, C), its rows made to sum to 1 where those of all M models in probability (M, N, C) did."""
    one_label = np.allclose(probability.sum(2), 1, atol=1e-3)
    return mixed / mixed.sum(1, keepdims=True) if one_label else mixed


def _alike(runs: Sequence[Run]) -> list[Run]:
    """The runs with rows and classes in the first one's order."""
    first = runs[0]
    return [replace(run, oof=reordered(run.oof, first.oof, f"runs {first.name} and {run.name}")) for run in runs]


def _mixed(frames: list[pd.DataFrame], mix: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    """mix takes (M, N, C) of M tables to (N, C), whose rounding may leave [0, 1]: shares can sum to 1 + 2e-16."""
    if not frames:
        raise ValueError("frames must hold at least one table, got none")
    first, classes = frames[0], class_columns(frames[0])
    tables = [reordered(table, first, f"frames 0 and {number}") for number, table in enumerate(frames)]
    mixed = tables[0].copy()
    mixed[classes] = mix(np.stack([table[classes].to_numpy(dtype=float) for table in tables])).clip(0, 1)
    return mixed
