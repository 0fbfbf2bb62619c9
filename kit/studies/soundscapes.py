"""Runs on recordings with several labels, stage by stage, beside what the source published."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.results.bootstrap import Difference, interval, paired
from kit.results.compare import as_run
from kit.results.record import record
from kit.training.runs import Run

# The source's own runs on RFCX: cross-validation, micro precision where it was told, and the leaderboard's score.
PUBLISHED = (
    ("setting 1", (0.8399, None, 0.831), (0.8391, None, 0.805)),
    ("setting 2", (0.8352, None, 0.833), (0.8287, None, 0.828)),
    ("setting 3", (0.8347, None, 0.792), (0.8368, None, 0.792)),
    ("pseudo labels 1", (0.9392, 0.4406, 0.912), (0.9434, 0.4375, 0.907)),
    ("pseudo labels 2", (0.9663, 0.3636, 0.914), (0.9589, 0.657, 0.942)),
)


def published_table() -> pd.DataFrame:
    """A row a setting and mixup: CV, precision, LB."""
    rows = [
        {"setting": setting, "mixup": mixup, "CV": cv, "precision": precision, "LB": lb}
        for setting, *both in PUBLISHED
        for mixup, (cv, precision, lb) in zip(("usual", "last layer"), both, strict=True)
    ]
    return pd.DataFrame(rows)


def stage_table(stages: dict[str, dict[str, Run | str | Path]], competition: Competition) -> pd.DataFrame:
    """A row a stage and mixup, of runs or their folders by both; each run is recorded, and its submission scored.

    CV and precision are out of fold, with 95 % intervals over recordings; precision is of the checked pairs alone.
    """
    rows = []
    for stage, runs in stages.items():
        for mixup, run in runs.items():
            run, sent = as_run(run), record(run, competition)
            rows.append(
                {
                    "setting": stage,
                    "mixup": mixup,
                    "CV": interval(run.target, run.probability, "lwlrap", run.clusters),
                    "precision": interval(run.target, run.probability, "micro_precision", run.clusters),
                    "public": sent["public"],
                    "private": sent["private"],
                }
            )
    return pd.DataFrame(rows)


Runs = Iterable[Run | str | Path]


def change_table(changes: dict[str, tuple[Runs, Runs]], competition: Competition) -> pd.DataFrame:
    """A row a change, of runs after and before it: LWLRAP gained out of fold and on each part of the test."""
    rows = []
    for name, (after, before) in changes.items():
        after, before = ([as_run(run) for run in runs] for runs in (after, before))
        stacked = [np.stack([run.probability for run in runs]) for runs in (after, before)]
        row = {"change": name, "out of fold": paired(after[0].target, *stacked, "lwlrap", after[0].clusters)}
        if competition.solution() is not None:
            for usage in ("Public", "Private"):
                row[usage.lower()] = leaderboard_difference(after, before, competition, usage)
        rows.append(row)
    return pd.DataFrame(rows)


def leaderboard_difference(
    after: Sequence[Run], before: Sequence[Run], competition: Competition, usage: str = "Private"
) -> Difference:
    """LWLRAP of some runs less that of others, averaged over each, on one part of the test recordings."""
    solution = competition.solution()
    solution = solution[solution["usage"] == usage]
    classes = list(competition.classes)

    def stacked(runs: Sequence[Run]) -> np.ndarray:
        tables = [run.test.set_index("id") for run in runs]
        return np.stack([table.loc[solution["id"], classes].to_numpy() for table in tables])

    return paired(solution[classes].to_numpy(), stacked(after), stacked(before), "lwlrap")
