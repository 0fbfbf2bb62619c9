"""Is one run better than another? Runs side by side on the same out-of-fold rows.

An experiment is all runs of one config["name"], which may differ in their seed only: repeated measures, whose scores
are averaged before anything is resampled. Rows are resampled, or the clusters that a run's metrics.json names.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from kit.competition.labels import label_targets
from kit.results.bootstrap import N_RESAMPLES, Difference, Metric, holm, interval, metric_function, paired

KEYS = ("id", "fold", "label", "group")  # the columns of oof.parquet that are no class
NEEDED = ("seed", "metric", "folds", "minutes", "parameters", "cluster")  # of metrics.json


@dataclass(frozen=True)
class Run:
    """A finished run, named by its folder; oof, a row an utterance: id, fold, label, (group), a probability a class."""

    name: str
    config: dict
    metrics: dict
    oof: pd.DataFrame

    @property
    def classes(self) -> list[str]:
        return class_columns(self.oof)

    @property
    def target(self) -> np.ndarray:
        """The true class number (N,) of each row, or with several labels a row what is known of them (N, C)."""
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


def load_run(folder: str | Path) -> Run:
    """The run of a folder with config.json, metrics.json and oof.parquet.

    Raises FileNotFoundError, or ValueError naming the file and what it lacks.
    """
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    oof = pd.read_parquet(folder / "oof.parquet")
    parts = (("config.json", config, ("name",)), ("metrics.json", metrics, NEEDED), ("oof.parquet", oof, KEYS[:3]))
    for file, content, keys in parts:
        if missing := [key for key in keys if key not in content]:
            raise ValueError(f"{folder / file}: must hold {', '.join(keys)}, got no {', '.join(missing)}")
    return Run(folder.resolve().name, config, metrics, oof)


def cv_table(runs: Iterable[Run]) -> pd.DataFrame:
    """A row an experiment: its score over folds and seeds, out of fold with a 95 % interval, and its cost.

    mean and sd are over every fold of every seed (one alone has no sd); minutes are those of all folds of one seed.
    """
    rows = []
    for name, group in experiments(_aligned(runs)).items():
        first, folds = group[0], [score for run in group for score in run.metrics["folds"].values()]
        out_of_fold = interval(first.target, _seeds(group), first.metrics["metric"], first.clusters)
        rows.append(
            {
                "name": name,
                "metric": first.metrics["metric"],
                "seeds": len(group),
                "mean": np.mean(folds),
                "sd": _sd(folds),
                "oof": out_of_fold.value,
                "low": out_of_fold.low,
                "high": out_of_fold.high,
                "minutes": np.mean([run.metrics["minutes"] for run in group]),
                "parameters": first.metrics["parameters"],
            }
        )
    return pd.DataFrame(rows)


def compare_runs(
    runs: Iterable[Run],
    baseline: str,
    metric: Metric | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> pd.DataFrame:
    """A row an experiment: its out-of-fold score, and its paired difference from the baseline experiment.

    delta has a 95 % interval, excludes_zero says of this comparison alone whether it tells; p_holm is p corrected for
    the number of comparisons, and differs says whether it is below 0.05. spread is the sd of delta over folds and
    seeds. metric is the baseline's own by default.
    """
    groups = experiments(_aligned(runs))
    if baseline not in groups:
        raise ValueError(f"baseline must be one of {', '.join(groups)}, got {baseline!r}")
    first, base = groups[baseline][0], _seeds(groups[baseline])
    metric = metric or first.metrics["metric"]
    rows = []
    for name, group in groups.items():
        row = {"name": name, "seeds": len(group), "score": _score(first.target, _seeds(group), metric), "delta": 0.0}
        if name != baseline:
            found = paired(
                first.target, _seeds(group), base, metric, first.clusters, seed=seed, n_resamples=n_resamples
            )
            row |= {"delta": found.delta, "low": found.low, "high": found.high, "p": found.p}
            row |= {"excludes_zero": found.excludes_zero, "spread": _spread(group, base, metric)}
        rows.append(row)
    columns = ["name", "seeds", "score", "delta", "low", "high", "excludes_zero", "p", "p_holm", "differs", "spread"]
    table = pd.DataFrame(rows).reindex(columns=columns)
    others = table["name"] != baseline
    table.loc[others, "p_holm"] = holm(table.loc[others, "p"])
    return table.assign(excludes_zero=table["excludes_zero"].eq(True), differs=table["p_holm"] < 0.05)


def difference(run: Run, base: Run, metric: Metric | None = None) -> Difference:
    """One run's score less another's, on the same out-of-fold rows; metric is the base's own by default.

    Raises ValueError where rows, classes or labels differ.
    """
    run = replace(run, oof=reordered(run.oof, base.oof, f"runs {base.name} and {run.name}"))
    _check_same("label", run, base)
    return paired(base.target, run.probability, base.probability, metric or base.metrics["metric"], base.clusters)


def class_columns(table: pd.DataFrame) -> list[str]:
    """The classes of an oof or test table of probabilities."""
    return [column for column in table.columns if column not in KEYS]


def reordered(table: pd.DataFrame, first: pd.DataFrame, names: str) -> pd.DataFrame:
    """table with rows and classes in first's order. Raises ValueError on behalf of `names` where those differ."""
    ids, classes = table["id"], class_columns(first)
    if not ids.is_unique:
        raise ValueError(f"{names} must hold each id once, got {ids[ids.duplicated()].iloc[0]!r} twice")
    for what, ours, theirs in (("ids", ids, first["id"]), ("classes", class_columns(table), classes)):
        if odd := sorted(map(str, set(ours) ^ set(theirs))):
            raise ValueError(f"{names} must have the same {what}, got {len(odd)} in one only, such as {odd[0]!r}")
    kept = [column for column in table.columns if column in KEYS]
    return table.set_index("id", drop=False).loc[first["id"], kept + classes].reset_index(drop=True)


def experiments(runs: list[Run]) -> dict[str, list[Run]]:
    """Runs by config["name"]. Raises ValueError where those of a name share a seed, or differ in more than it."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        name = run.config["name"]
        group = groups.setdefault(name, [])
        if run.metrics["seed"] in [other.metrics["seed"] for other in group]:
            raise ValueError(f"runs of {name!r} must each have their own seed, got {run.metrics['seed']} twice")
        group.append(run)
        first = group[0].config
        differing = {key for key in {*run.config, *first} if run.config.get(key) != first.get(key)} - {"seed"}
        if differing:
            raise ValueError(f"runs of {name!r} must differ in seed only, got other {', '.join(sorted(differing))}")
    return groups


def _aligned(runs: Iterable[Run]) -> list[Run]:
    """The runs, rows in the first one's order. Raises ValueError where rows, labels, classes or folds differ.

    Folds may differ between seeds, but not between runs of one seed.
    """
    runs = list(runs)
    if not runs:
        raise ValueError("runs must hold at least one run, got none")
    first = runs[0]
    runs = [replace(run, oof=reordered(run.oof, first.oof, f"runs {first.name} and {run.name}")) for run in runs]
    same_seed: dict[int, Run] = {}
    for run in runs:
        _check_same("label", run, runs[0])
        _check_same("fold", run, same_seed.setdefault(run.metrics["seed"], run))
    return runs


def _check_same(column: str, run: Run, other: Run) -> None:
    differing = (run.oof[column] != other.oof[column]).to_numpy()
    if differing.any():
        row = run.oof["id"].iloc[int(differing.argmax())]
        raise ValueError(f"runs {other.name} and {run.name} must have the same {column} for {row!r}, got two")


def _seeds(group: list[Run]) -> np.ndarray:
    """(S, N, C) probabilities, by seed."""
    return np.stack([run.probability for run in group])


def _score(target: np.ndarray, seeds: np.ndarray, metric: Metric) -> float:
    return float(np.mean([metric_function(metric)(target, probability) for probability in seeds]))


def _spread(group: list[Run], base: np.ndarray, metric: Metric) -> float:
    """The sd, over the folds of each seed, of the score on the fold's rows less the baseline's on the same rows."""
    deltas = []
    for run in group:
        for fold in run.oof["fold"].unique():
            rows = (run.oof["fold"] == fold).to_numpy()
            ours, theirs = run.probability[None, rows], base[:, rows]
            deltas.append(_score(run.target[rows], ours, metric) - _score(run.target[rows], theirs, metric))
    return _sd(deltas)


def _sd(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
