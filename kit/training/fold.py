"""One fold, start to end: fit, predict its held-out rows and the test rows, write what came out."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.atomic import replacing
from kit.competition.folds import make_folds
from kit.competition.labels import UNKNOWN
from kit.competition.metrics import Metric
from kit.data.store import Store
from kit.sources import listed
from kit.training.fit import fit
from kit.training.identity import read_files, write_identity
from kit.training.predict import predict, probability_table

SO_FAR = "so_far.json"  # in the place of metrics.json while a fold is unfinished


def fold_of_rows(experiment: Any, store: Store) -> np.ndarray:
    """The fold (N,) of each training row; −1 where a row is in training always."""
    return make_folds(store.index.iloc[store.rows("train")], **experiment.folds.options(store))


def train_fold(experiment: Any, store: Store, fold: int, run: Path, metric: Metric) -> None:
    """Leaves `fold<k>` of the run's folder finished: metrics.json is written last.

    Where the experiment's minutes are over first, so_far.json stands for it, and says after how many epochs.
    """
    started, folder = time.monotonic(), run / f"fold{fold}"
    for stray in folder.glob(".*.part"):  # what a kill left of a file that was being written
        stray.unlink(missing_ok=True)
    folds, train, test = fold_of_rows(experiment, store), store.rows("train"), store.rows("test")
    held_out, others = train[folds == fold], train[folds != fold]
    if experiment.folds.n > 1:
        check_scores(metric, store, held_out[store.counts(held_out)], fold)

    def begun(weights: tuple[dict[str, str], ...]) -> None:
        files = read_files(experiment)
        write_identity(folder, listed(run / "sources"), store.folder.name, weights, files)

    fitted = fit(experiment, store, others, held_out, folder, metric=metric, fold=fold, begun=begun, progress=False)
    oof = predict(fitted.model, store, held_out, experiment, fitted.accelerator)
    probability = predict(fitted.model, store, test, experiment, fitted.accelerator)
    priors = class_shares(store.targets(others), len(store.classes))
    probability = fill_with_priors(probability, priors)
    rows = store.index.iloc[held_out]
    facts = {"fold": fold, "label": rows["label"].to_numpy()}
    facts |= {"group": rows["group"].to_numpy()} if "group" in rows else {}
    facts |= {"counts": store.counts(held_out)} if "counts" in rows else {}
    if not fitted.accelerator.is_main_process:
        return
    write_parquet(folder / "oof.parquet", probability_table(store, held_out, oof, **facts))
    write_parquet(folder / "test.parquet", probability_table(store, test, probability))
    parameters = sum(value.numel() for value in fitted.model.parameters())
    minutes = (time.monotonic() - started) / 60 + (read_so_far(folder) or {"minutes": 0.0})["minutes"]
    score = fitted.score if len(held_out) else None  # JSON has no NaN
    facts = {"score": score, "epoch": fitted.epoch, "parameters": parameters, "minutes": minutes}
    facts |= {"priors": priors.tolist()}  # what a test row that can't be used is given
    if fitted.unfinished:
        write_json(folder / SO_FAR, facts | {"epochs": fitted.epochs})
        return
    write_json(folder / "metrics.json", facts)
    (folder / SO_FAR).unlink(missing_ok=True)


def read_so_far(folder: Path) -> dict[str, Any] | None:
    """What a fold says that stopped at the end of its minutes, and has not been finished since."""
    path = folder / SO_FAR
    there = path.exists() and not (folder / "metrics.json").exists()
    return json.loads(path.read_text(encoding="utf-8")) if there else None


def check_scores(metric: Metric, store: Store, rows: np.ndarray, fold: int) -> None:
    """Raises ValueError where a metric can't score a fold's rows whatever is predicted, as ROC-AUC of one label."""
    if not len(rows):
        raise ValueError(f"fold {fold}: must hold out a row that counts in the score, got none; try fewer folds")
    chance = np.random.default_rng(0).dirichlet(np.ones(len(store.classes)), len(rows))
    try:
        metric(store.targets(rows), chance)
    except ValueError as error:
        raise ValueError(f"fold {fold}: its {len(rows)} held-out rows can't be scored: {error}") from error


def class_shares(target: np.ndarray, n_classes: int) -> np.ndarray:
    """Each class's share (C,) of a training part's rows, or known pairs; of all pairs' where none of its is known.

    target: class numbers (M,), or with several labels a row what is known of them (M, C).
    """
    if target.ndim == 2:
        present, known = (target == 1).sum(0), (target != UNKNOWN).sum(0)
        return np.where(known > 0, present / np.maximum(1, known), present.sum() / max(1, known.sum()))
    return np.bincount(target[target >= 0], minlength=n_classes) / max(1, (target >= 0).sum())


def fill_with_priors(probability: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) with the priors (C,) where a row is NaN."""
    return np.where(np.isnan(probability), priors.astype(probability.dtype), probability)


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as beside:
        table.to_parquet(beside)
