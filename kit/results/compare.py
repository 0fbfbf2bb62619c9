"""Is one run better than another? Runs side by side on the same out-of-fold rows.

An experiment is all runs of one name, which may differ in their seed only: repeated measures, whose scores are averaged
before anything is resampled. Rows are resampled, or the clusters that a run's metrics.json names.
"""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from kit.competition.metrics import METRICS, Metric, MetricLike, as_metric
from kit.results.bootstrap import N_RESAMPLES, Difference, holm, interval, paired, smallest_p
from kit.training.runs import KEYS, Run, class_columns, load_run

COLUMNS = ["name", "seeds", "score", "delta", "low", "high", "excludes_zero", "p", "p_holm", "differs", "verdict"]
COLUMNS += ["spread", "changed"]


def as_run(run: Run | str | Path) -> Run:
    """The run itself, or that of a folder."""
    return run if isinstance(run, Run) else load_run(run)


def metric_of(run: Run, metric: MetricLike | None = None) -> Metric:
    """The metric asked for, else the run's own: as crossval was given it, or by its name in METRICS.

    Raises ValueError where that is a function of the experiment's own, which a run's folder tells by name alone.
    """
    if metric is not None:
        return as_metric(metric)
    if run.scorer is not None:
        return run.scorer
    name, own = run.metrics["metric"], run.experiment.get("metric") or {}
    address = (own.get("function") or {}).get("part", "kit.")
    if name not in METRICS or not address.startswith("kit."):
        raise ValueError(f"run {run.name}: metric {name} is a function of one's own; give it as metric=Metric({name})")
    return METRICS[name]


def metric_title(metric: Metric) -> str:
    """Its name, and its direction where that is not the usual one: `log_loss (lower is better)`."""
    return metric.name if metric.higher_is_better else f"{metric.name} (lower is better)"


def cv_table(runs: Iterable[Run | str | Path], metric: MetricLike | None = None) -> pd.DataFrame:
    """A row an experiment: its score over folds and seeds, out of fold with a 95 % interval, and its cost.

    runs are what crossval gives, or run folders; metric is each experiment's own by default.
    mean and sd are over every fold of every seed (one alone has no sd); minutes are those of all folds of one seed.
    """
    rows = []
    for name, group in experiments(_aligned(runs)).items():
        first, own = group[0], metric_of(group[0], metric)
        folds = [score for run in group for score in _fold_scores(run, metric)]
        out_of_fold = interval(first.target, _seeds(group), own, first.clusters)
        rows.append(
            {
                "name": next((run.title for run in group if run.metrics.get("unfinished")), name),
                "metric": metric_title(own),
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


def compare(
    runs: Iterable[Run | str | Path],
    baseline: str,
    metric: MetricLike | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> pd.DataFrame:
    """A row an experiment: its out-of-fold score, and its paired difference from the baseline experiment.

    delta has a 95 % interval, excludes_zero says of this comparison alone whether it tells; p_holm is p corrected for
    the number of comparisons, and differs says whether it is below 0.05. verdict says the same in words, or that so few
    clusters can't tell so many experiments apart, whatever their difference. spread is the sd of delta over folds and
    seeds. changed is what the experiment asks for that the baseline does not.
    metric is the baseline's own by default; where lower is better, a delta below 0 is a gain.
    """
    groups = experiments(_aligned(runs))
    if baseline not in groups:
        raise ValueError(f"baseline must be one of {', '.join(groups)}, got {baseline!r}")
    first, base = groups[baseline][0], _seeds(groups[baseline])
    metric = metric_of(first, metric)
    rows = []
    for name, group in groups.items():
        row = {"name": name, "seeds": len(group), "score": _score(first.target, _seeds(group), metric)}
        row |= {"delta": 0.0, "changed": ""}
        if name != baseline:
            drawn = {"seed": seed, "n_resamples": n_resamples}
            gap = paired(first.target, _seeds(group), base, metric, first.clusters, **drawn)
            row |= {"delta": gap.delta, "low": gap.low, "high": gap.high, "p": gap.p}
            row |= {"excludes_zero": gap.excludes_zero, "spread": _spread(group, base, metric)}
            row |= {"changed": _changed(first.experiment, group[0].experiment)}
        rows.append(row)
    n_clusters = len(first.oof) if first.clusters is None else len(np.unique(first.clusters))
    return _with_verdicts(pd.DataFrame(rows, columns=COLUMNS), n_clusters, n_resamples)


def compare_steps(runs: Iterable[Run | str | Path], metric: MetricLike | None = None) -> pd.DataFrame:
    """compare of each experiment with the one before it, in the order of the runs; the first has no difference.

    p_holm and verdict are corrected for all steps together. Raises ValueError for fewer than two experiments.
    """
    groups = list(experiments(_aligned(runs)).values())
    if len(groups) < 2:
        raise ValueError(f"runs must hold at least 2 experiments, got {len(groups)}")
    rows = [compare(groups[0] + groups[1], groups[0][0].experiment["name"], metric).iloc[[0]]]
    for before, after in itertools.pairwise(groups):
        rows.append(compare(before + after, before[0].experiment["name"], metric).iloc[[1]])
    clusters, oof = groups[0][0].clusters, groups[0][0].oof
    n_clusters = len(oof) if clusters is None else len(np.unique(clusters))
    return _with_verdicts(pd.concat(rows, ignore_index=True), n_clusters, N_RESAMPLES)


def _with_verdicts(table: pd.DataFrame, n_clusters: int, n_resamples: int) -> pd.DataFrame:
    """The table with p corrected for its comparisons, and what follows from it; rows without a p are not compared."""
    others = table["p"].notna()
    table.loc[others, "p_holm"] = holm(table.loc[others, "p"])
    differs = table["p_holm"] < 0.05
    if (least := int(others.sum()) * smallest_p(n_clusters, n_resamples)) >= 0.05:
        verdict = f"none possible: p_holm is {min(1, least):.2g} at best of {n_clusters} clusters"
    else:
        verdict = np.where(differs, "differs", "no difference shown")
    verdict = np.where(others, verdict, "")
    return table.assign(excludes_zero=table["excludes_zero"].eq(True), differs=differs, verdict=verdict)


def difference(run: Run, base: Run, metric: MetricLike | None = None) -> Difference:
    """One run's score less another's, on the same out-of-fold rows; metric is the base's own by default.

    Raises ValueError where rows, classes or labels differ.
    """
    run = replace(run, oof=reordered(run.oof, base.oof, f"runs {base.name} and {run.name}"))
    _check_same("label", run, base)
    return paired(base.target, run.probability, base.probability, metric_of(base, metric), base.clusters)


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


def experiments(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs by experiment. Raises ValueError where those of a name share a seed, or differ in more than it."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        name = run.experiment["name"]
        group = groups.setdefault(name, [])
        if run.seed in [other.seed for other in group]:
            raise ValueError(f"runs of {name!r} must each have their own seed, got {run.seed} twice")
        group.append(run)
        if changed := _changed(group[0].experiment, run.experiment):
            raise ValueError(f"runs of {name!r} must differ in seed only, got {changed}")
    return groups


def _changed(old: dict, new: dict) -> str:
    """What differs between two experiments' JSON beside name and seed, in one line."""
    from kit.experiment import changes, told  # here, because every part, and torch, comes with it

    return told({key: pair for key, pair in changes(old, new).items() if key not in ("name", "seed")})


def _fold_scores(run: Run, metric: MetricLike | None) -> list[float]:
    """The run's own scores of its folds; by another metric, those of each fold's out-of-fold rows."""
    if metric is None:
        return list(run.metrics["folds"].values())
    return [_score(run.target[rows], run.probability[None, rows], as_metric(metric)) for rows in _rows_of_folds(run)]


def _rows_of_folds(run: Run) -> list[np.ndarray]:
    return [(run.oof["fold"] == fold).to_numpy() for fold in run.oof["fold"].unique()]


def _aligned(runs: Iterable[Run | str | Path]) -> list[Run]:
    """The runs, rows in the first one's order. Raises ValueError where rows, labels, classes or folds differ.

    Folds may differ between seeds, but not between runs of one seed.
    """
    loaded = [as_run(run) for run in runs]
    if not loaded:
        raise ValueError("runs must hold at least one run, got none")
    first = loaded[0]
    aligned = [replace(run, oof=reordered(run.oof, first.oof, f"runs {first.name} and {run.name}")) for run in loaded]
    same_seed: dict[int, Run] = {}
    for run in aligned:
        _check_same("label", run, aligned[0])
        _check_same("fold", run, same_seed.setdefault(run.seed, run))
    return aligned


def _check_same(column: str, run: Run, other: Run) -> None:
    differing = (run.oof[column] != other.oof[column]).to_numpy()
    if differing.any():
        row = run.oof["id"].iloc[int(differing.argmax())]
        raise ValueError(f"runs {other.name} and {run.name} must have the same {column} for {row!r}, got two")


def _seeds(group: list[Run]) -> np.ndarray:
    """(S, N, C) probabilities, by seed."""
    return np.stack([run.probability for run in group])


def _score(target: np.ndarray, seeds: np.ndarray, metric: Metric) -> float:
    return float(np.mean([metric(target, probability) for probability in seeds]))


def _spread(group: list[Run], base: np.ndarray, metric: Metric) -> float:
    """The sd, over the folds of each seed, of the score on the fold's rows less the baseline's on the same rows."""
    deltas = []
    for run in group:
        for rows in _rows_of_folds(run):
            ours, theirs = run.probability[None, rows], base[:, rows]
            deltas.append(_score(run.target[rows], ours, metric) - _score(run.target[rows], theirs, metric))
    return _sd(deltas)


def _sd(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
