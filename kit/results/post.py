"""Post-processing as fitted, not as folklore: each part is fitted on out-of-fold rows and judged on others.

A part has fit(rows, target, metric) -> apply(rows) -> probabilities (N, C), of Rows (kit.results.post_rows) and what is
known of them (N, C). For the rows of a fold it is fitted on those of the other folds alone, so that its gain there is
no optimism; for the test rows on all. Parts are tried in their order, each upon those before it that were kept, and
kept where the interval of its gain lies above 0. By luck alone each has a chance of 2.5 % to be kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.competition.metrics import Metric, MetricLike
from kit.part_json import shown
from kit.parts import but, part
from kit.results.bootstrap import Difference, paired
from kit.results.compare import as_run, metric_of
from kit.results.post_rows import Rows, rows_of
from kit.results.record import Correct
from kit.training.runs import Run

Apply = Callable[[Rows], np.ndarray]


@part
class Tuned:
    """Another part, with the value of a field of its that scores best on the rows that it is fitted on.

    `Tuned(FilePeak(), "power", (0.0, 0.5, 1.0))`; of equal scores the first. It suits fields of parts that fit nothing
    themselves: on its own rows a fitted part would be best at its strongest.
    """

    base: Any
    field: str
    values: tuple

    def check(self):
        if not self.values:
            raise ValueError("values must hold at least one, got none")
        self.each()

    def each(self) -> list[Any]:
        return [but(self.base, {self.field: value}) for value in self.values]

    def fit(self, rows: Rows, target: np.ndarray, metric: Metric) -> Apply:
        fitted = [one.fit(rows, target, metric) for one in self.each()]
        return fitted[metric.best(metric(target, apply(rows)) for apply in fitted)]


@dataclass(frozen=True)
class Step:
    """A part that was tried: the score with it, out of fold, its gain over the score without, and whether it stays."""

    part: Any
    score: float
    gain: Difference
    kept: bool


def fit_parts(parts: Sequence[Any], rows: Rows, target: np.ndarray, metric: Metric) -> Apply:
    """One function for several parts, each fitted on what those before it make of the rows."""
    fitted, now = [], rows
    for one in parts:
        fitted.append(one.fit(now, target, metric))
        now = now.but(fitted[-1](now))

    def apply(rows: Rows) -> np.ndarray:
        for each in fitted:
            rows = rows.but(each(rows))
        return rows.probability

    return apply


def fitted_on_others(
    parts: Sequence[Any], rows: Rows, target: np.ndarray, fold: np.ndarray, metric: Metric
) -> np.ndarray:
    """Probabilities (N, C), those of each fold (N,) by parts fitted on the rows of the other folds."""
    changed = np.empty_like(rows.probability)
    for held_out in np.unique(fold):
        mine = fold == held_out
        apply = fit_parts(parts, rows.take(~mine), target[~mine], metric)
        changed[mine] = apply(rows)[mine]
    return changed


def try_parts(run: Run, parts: Sequence[Any], competition: Competition, metric: MetricLike | None = None) -> list[Step]:
    """What each part gains. metric is the run's own by default.

    Where some out-of-fold rows are windows of a recording, as all test rows of a BirdCLEF are, those alone count.
    Raises ValueError for a run with one label a row, or where fewer than two folds have such rows.
    """
    run, metric = as_run(run), metric_of(as_run(run), metric)
    rows, counted = _counted(run, competition)
    rows, target, fold = rows.take(counted), run.target[counted], run.oof["fold"].to_numpy()[counted]
    clusters = None if run.clusters is None else run.clusters[counted]
    now, kept, steps = rows.probability, [], []
    for one in parts:
        after = fitted_on_others([*kept, one], rows, target, fold, metric)
        gain = paired(target, after, now, metric, clusters)
        helps = all(metric.better(end, 0) for end in (gain.low, gain.high))
        steps.append(Step(one, metric(target, after), gain, helps))
        if helps:
            kept, now = [*kept, one], after
    return steps


def post_table(
    run: Run, parts: Sequence[Any], competition: Competition, metric: MetricLike | None = None
) -> pd.DataFrame:
    """A row a part: the score with it, its gain with a 95 % interval, and whether it is kept; as in try_parts."""
    steps = try_parts(run, parts, competition, metric)
    return pd.DataFrame(
        [{"part": shown(step.part), "score": step.score, "gain": str(step.gain), "kept": step.kept} for step in steps],
        columns=["part", "score", "gain", "kept"],
    )


def chosen(
    run: Run, parts: Sequence[Any], competition: Competition, metric: MetricLike | None = None
) -> tuple[Any, ...]:
    """The parts that are kept, in their order."""
    return tuple(step.part for step in try_parts(run, parts, competition, metric) if step.kept)


def corrected(parts: Sequence[Any], competition: Competition, metric: MetricLike | None = None) -> Correct:
    """For kit.results.record: run -> (the run under the name <name>-post, its test table), both post-processed.

    Out-of-fold rows are so by parts fitted on the other folds, which keeps their score honest, test rows by parts that
    are fitted on all of them.
    """

    def correct(run: Run) -> tuple[Run, pd.DataFrame]:
        post = out_of_fold(run, parts, competition, metric)
        return post, post_processed(run.test, run, parts, competition, metric)

    return correct


def out_of_fold(run: Run, parts: Sequence[Any], competition: Competition, metric: MetricLike | None = None) -> Run:
    """The run under the name <name>-post, each fold's rows post-processed by parts that are fitted on the others."""
    own = metric_of(run, metric)
    rows, counted = _counted(run, competition)
    fold, oof = run.oof["fold"].to_numpy()[counted], run.oof.copy()
    changed = rows.probability.copy()
    changed[counted] = fitted_on_others(parts, rows.take(counted), run.target[counted], fold, own)
    oof[run.classes] = changed
    experiment = {**run.experiment, "name": f"{run.experiment['name']}-post", "post": [shown(one) for one in parts]}
    return replace(run, name=f"{run.name}-post", experiment=experiment, oof=oof, folder=None)


def post_processed(
    table: pd.DataFrame, run: Run, parts: Sequence[Any], competition: Competition, metric: MetricLike | None = None
) -> pd.DataFrame:
    """A table of test predictions, changed by parts that are fitted on all of a run's out-of-fold rows."""
    return processor(run, parts, competition, metric)(table)


def processor(
    run: Run, parts: Sequence[Any], competition: Competition, metric: MetricLike | None = None
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """What changes a table as post_processed does, fitted once."""
    rows, counted = _counted(run, competition)
    apply = fit_parts(parts, rows.take(counted), run.target[counted], metric_of(run, metric))

    def change(table: pd.DataFrame) -> pd.DataFrame:
        changed = table.copy()
        changed[run.classes] = apply(rows_of(table[["id", *run.classes]], competition))
        return changed

    return change


def _counted(run: Run, competition: Competition) -> tuple[Rows, np.ndarray]:
    """A run's out-of-fold rows, and which of them (N,) count: its windows, or all where it has none."""
    if run.target.ndim == 1:
        raise ValueError(f"run {run.name}: its rows must have several labels to be post-processed, got one")
    rows = rows_of(run.oof, competition)
    counted = rows.windows if rows.windows.any() else np.ones(len(rows), bool)
    if (folds := run.oof["fold"][counted].nunique()) < 2:
        raise ValueError(
            f"run {run.name}: at least 2 folds must have rows for parts to be fitted on others, got {folds}"
        )
    return rows, counted
