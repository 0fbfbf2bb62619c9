"""Rounds of soft pseudo labels: train, label what nobody labelled, train on that too, for as long as it helps.

Published rounds gain three or four times and then fall back (BirdCLEF 2025 and 2026), so each round is held against the
one before it on the same out-of-fold rows, and the first that shows no gain is the last. That the stop looks at these
rows favours the last round a little: a gain that is barely above 0 is not one to bet on.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.competition.metrics import Metric, as_metric
from kit.data.store import pack
from kit.experiment import Experiment
from kit.results.bootstrap import Difference, Interval, interval, paired
from kit.results.compare import reordered
from kit.training.crossval import crossval
from kit.training.runs import Run
from kit.training.soft_labels import SoftLabels
from kit.training.soft_rounds import make_soft_labels


@dataclass(frozen=True)
class Round:
    """The runs of a round, one a seed, the labels that they trained on, and their gain over the round before."""

    number: int
    runs: list[Run]
    metric: Metric
    labels: Path | None = None
    gain: Difference | None = None

    @property
    def helps(self) -> bool:
        """Whether the whole interval of its gain is on the better side of 0; the first round's always."""
        return self.gain is None or all(self.metric.better(end, 0) for end in (self.gain.low, self.gain.high))

    @cached_property
    def score(self) -> Interval:
        """`mean_score` of its runs, which takes seconds to minutes, so that it is found once."""
        return mean_score(self.runs, self.metric)

    def __str__(self) -> str:
        told = f"round {self.number}: {self.metric.name} {self.score}"
        return told if self.gain is None else f"{told}, {self.gain} over round {self.number - 1}"


def run_rounds(
    teacher: Experiment,
    student: Experiment,
    competition: Competition,
    out: str | Path = "runs",
    *,
    most: int = 4,
    power: float | Sequence[float] = 1.0,
    floor: float = 0.1,
    least: float = 0.0,
    judged: Collection[str] | None = None,
    say: Callable[[str], Any] = print,
    cache: str | Path = "cache",
    **training: Any,
) -> list[Round]:
    """Round 0 is the teacher's, without pseudo labels; then up to `most` of the student's, each labelled by the last.

    student.pseudo says how labels are mixed in, whatever file it names. power: one for all rounds, or one a round.
    floor and least as in make_soft_labels. judged: ids of the out-of-fold rows that gains are told on, None for all.
    training is what crossval takes besides. A round without a gain is the last; it stays in the list, not helping.
    """
    powers = [power] * most if isinstance(power, int | float) else list(power)
    if not 1 <= most <= len(powers):
        raise ValueError(f"most must be in 1 to the number of powers ({len(powers)}), got {most}")
    features = teacher.features
    mel = getattr(features, "mel", None)
    store = pack(competition, cache, mel, features.packs, progress=False, unlabelled=True)
    if student.features != features:
        raise ValueError("student must have the teacher's features, whose store is labelled, got others")
    metric = as_metric(teacher.metric or competition.metric)
    runs = crossval(teacher.but(pseudo=None), competition, out, cache=cache, **training)
    done = [Round(0, _judged(runs, judged), metric)]
    say(str(done[0]))
    part = student.pseudo if isinstance(student.pseudo, SoftLabels) else SoftLabels("")
    for number, of_round in enumerate(powers[:most], 1):
        labels = make_soft_labels(
            [run.folder for run in runs],  # pyrefly: ignore[bad-argument-type]
            store, Path(out) / "soft", power=of_round, floor=floor, least=least
        )  # fmt: skip
        experiment = student.but(name=f"{student.name}-round{number}", pseudo=replace(part, file=str(labels)))
        runs = crossval(experiment, competition, out, cache=cache, **training)
        kept = _judged(runs, judged)
        done.append(Round(number, kept, metric, labels, mean_difference(kept, done[-1].runs, metric)))
        say(str(done[-1]))
        if not done[-1].helps:
            say(f"round {number} shows no gain: round {number - 1} is the last that does")
            break
    return done


def round_table(rounds: Sequence[Round]) -> pd.DataFrame:
    """A row a round: its score with its interval, its gain over the last with its own, and whether it helps."""
    return pd.DataFrame(
        [
            {
                "round": one.number,
                "name": one.runs[0].experiment["name"],
                one.metric.name: str(one.score),
                "gain": "" if one.gain is None else str(one.gain),
                "helps": one.helps,
            }
            for one in rounds
        ]
    )


def mean_score(runs: Sequence[Run], metric: Metric) -> Interval:
    """The score, averaged over runs that differ in their seed, with its interval."""
    return interval(runs[0].target, np.stack([run.probability for run in runs]), metric, runs[0].clusters)


def mean_difference(runs: Sequence[Run], before: Sequence[Run], metric: Metric) -> Difference:
    """The mean score of some runs less that of others, on the same out-of-fold rows."""
    first = before[0]
    ours, theirs = (
        np.stack([replace(run, oof=reordered(run.oof, first.oof, f"runs {first.name} and {run.name}")).probability
                  for run in side])
        for side in (runs, before)
    )  # fmt: skip
    return paired(first.target, ours, theirs, metric, first.clusters)


def _judged(runs: Sequence[Run], ids: Collection[str] | None) -> list[Run]:
    """The runs with the out-of-fold rows of `ids` alone. Raises ValueError where there is none of them."""
    if ids is None:
        return list(runs)
    kept = [replace(run, oof=run.oof[run.oof["id"].isin(set(ids))].reset_index(drop=True)) for run in runs]
    if kept[0].oof.empty:
        raise ValueError(f"judged must name out-of-fold rows, got none of them in {len(ids)}")
    return kept
