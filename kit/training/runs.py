"""A finished run: its folder, what was asked, its scores, and its out-of-fold predictions."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.competition.labels import label_targets
from kit.competition.metrics import Metric

KEYS = ("id", "fold", "label", "group")  # the columns of oof.parquet that are no class
REST = "oof_rest.parquet"  # out-of-fold rows that do not count in the score, where there are some
NEEDED = ("seed", "metric", "folds", "minutes", "parameters", "cluster")  # of metrics.json


@dataclass(frozen=True)
class Run:
    """A run by its folder's name; oof, a row an utterance: id, fold, label, (group), a probability a class.

    experiment is what experiment.json holds; folder is None for one that no folder holds, such as an average of runs.
    """

    name: str
    experiment: dict[str, Any]
    metrics: dict[str, Any]
    oof: pd.DataFrame = field(repr=False)
    folder: Path | None = None
    scorer: Metric | None = field(default=None, repr=False)  # the metric as it was asked for, where one was

    @property
    def seed(self) -> int:
        return self.metrics["seed"]

    @property
    def title(self) -> str:
        """The experiment's name; with folds that stopped on their minutes, after how many epochs the least trained."""
        stopped, loop = self.metrics.get("unfinished"), self.experiment.get("loop")
        ending = f" ({min(stopped.values())} of {loop['epochs']} epochs)" if stopped and loop else ""
        return self.experiment["name"] + ending

    @property
    def score(self) -> float | None:
        """The metric over all out-of-fold rows, None where all rows were trained on."""
        return self.metrics["score"]

    @cached_property
    def test(self) -> pd.DataFrame:
        """The test part's predictions, the mean over folds. Raises FileNotFoundError where there are none."""
        return pd.read_parquet(self.folder / "test.parquet")

    @cached_property
    def rest(self) -> pd.DataFrame:
        """Out-of-fold rows that do not count in the score, as oof; empty where all count."""
        path = self.folder and self.folder / REST
        return pd.read_parquet(path) if path and path.exists() else self.oof.iloc[:0]

    @property
    def classes(self) -> list[str]:
        return class_columns(self.oof)

    @property
    def target(self) -> np.ndarray:
        """The true class number (N,) of each row, or with several labels a row what is known of them (N, C).

        Raises ValueError where there is no row, since all were trained on, or one of no class.
        """
        if self.oof.empty:
            raise ValueError(f"run {self.name}: has no out-of-fold rows to score, for it trained on all (folds of 1)")
        target = label_targets(self.oof["label"], self.classes, self.metrics.get("task", "single"))
        if target.ndim == 2:
            return target
        if (target < 0).any():
            label, row = self.oof[["label", "id"]].iloc[int(target.argmin())]
            raise ValueError(f"run {self.name}: label must be one of the classes, got {label!r} for {row!r}")
        return target

    @property
    def probability(self) -> np.ndarray:
        """(N, C)."""
        return self.oof[self.classes].to_numpy(dtype=float)

    @property
    def clusters(self) -> np.ndarray | None:
        """What each row (N,) belongs to, None where rows are independent."""
        column = self.metrics["cluster"]
        if column is None:
            return None
        if column not in self.oof:
            raise ValueError(f"run {self.name}: oof must have the column of its clusters, got no {column!r}")
        return self.oof[column].to_numpy()


def load_run(folder: str | Path, scorer: Metric | None = None) -> Run:
    """The run of a folder with experiment.json, metrics.json and oof.parquet.

    Raises FileNotFoundError, or ValueError naming the file and what it lacks.
    """
    folder = Path(folder).resolve()
    for file in ("experiment.json", "metrics.json", "oof.parquet"):
        if not (folder / file).exists():
            raise FileNotFoundError(f"{folder}: must be the folder of a run with finished folds, has no {file}")
    experiment = json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    oof = pd.read_parquet(folder / "oof.parquet")
    contents = (
        ("experiment.json", experiment, ("name",)),
        ("metrics.json", metrics, NEEDED),
        ("oof.parquet", oof, KEYS[:3]),
    )
    for file, content, keys in contents:
        if missing := [key for key in keys if key not in content]:
            raise ValueError(f"{folder / file}: must hold {', '.join(keys)}, got no {', '.join(missing)}")
    return Run(folder.name, experiment, metrics, oof, folder, scorer)


def class_columns(table: pd.DataFrame) -> list[str]:
    """The classes of an oof or test table of probabilities."""
    return [column for column in table.columns if column not in KEYS]
