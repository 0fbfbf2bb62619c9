"""One fold, start to end: fit, predict its held-out rows and the test rows, write what came out."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.atomic import replacing
from kit.competition.folds import make_folds, make_label_folds
from kit.competition.labels import UNKNOWN
from kit.competition.metrics import Metric
from kit.data.store import Store
from kit.sources import listed
from kit.training.fit import fit
from kit.training.identity import write_identity
from kit.training.predict import predict, probability_table


def fold_of_rows(experiment: Any, store: Store) -> np.ndarray:
    """The fold (N,) of each training row; −1 where a row is in training always."""
    index = store.index.iloc[store.rows("train")]
    if store.task == "multi":
        return make_label_folds(index, store.classes, experiment.folds.n, experiment.folds.seed)
    return make_folds(index, experiment.folds.n, experiment.folds.seed)


def train_fold(experiment: Any, store: Store, fold: int, run: Path, metric: Metric) -> None:
    """Leaves `fold<k>` of the run's folder finished: metrics.json is written last."""
    started, folder = time.monotonic(), run / f"fold{fold}"
    for stray in folder.glob(".*.part"):  # what a kill left of a file that was being written
        stray.unlink(missing_ok=True)
    folds, train, test = fold_of_rows(experiment, store), store.rows("train"), store.rows("test")
    held_out, others = train[folds == fold], train[folds != fold]

    def begun(weights: tuple[dict[str, str], ...]) -> None:
        write_identity(folder, listed(run / "sources"), store.folder.name, weights)

    fitted = fit(experiment, store, others, held_out, folder, metric=metric, fold=fold, begun=begun, progress=False)
    oof = predict(fitted.model, store, held_out, experiment, fitted.accelerator)
    probability = predict(fitted.model, store, test, experiment, fitted.accelerator)
    probability = fill_with_priors(probability, store.targets(others))
    rows = store.index.iloc[held_out]
    facts = {"fold": fold, "label": rows["label"].to_numpy()}
    facts |= {"group": rows["group"].to_numpy()} if "group" in rows else {}
    if not fitted.accelerator.is_main_process:
        return
    write_parquet(folder / "oof.parquet", probability_table(store, held_out, oof, **facts))
    write_parquet(folder / "test.parquet", probability_table(store, test, probability))
    parameters = sum(value.numel() for value in fitted.model.parameters())
    minutes = (time.monotonic() - started) / 60
    facts = {"score": fitted.score, "epoch": fitted.epoch, "parameters": parameters, "minutes": minutes}
    write_json(folder / "metrics.json", facts)


def fill_with_priors(probability: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) with each class's share of a training part's rows, or known pairs, where a row is NaN.

    target: class numbers (M,), or with several labels a row what is known of them (M, C).
    """
    if target.ndim == 2:
        shares = (target == 1).sum(0) / np.maximum(1, (target != UNKNOWN).sum(0))
    else:
        shares = np.bincount(target[target >= 0], minlength=probability.shape[1]) / max(1, (target >= 0).sum())
    return np.where(np.isnan(probability), shares.astype(probability.dtype), probability)


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as beside:
        table.to_parquet(beside)
