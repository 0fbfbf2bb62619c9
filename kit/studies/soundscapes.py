"""Runs on recordings with several labels, stage by stage, beside what the source published."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.results.bootstrap import Difference, interval, paired
from kit.results.compare import load_run
from kit.results.record import record

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


def stage_table(stages: dict[str, dict[str, Path]], competition: Competition) -> pd.DataFrame:
    """A row a stage and mixup, of run folders by both; each run is recorded, and its submission scored.

    CV and precision are out of fold, with 95 % intervals over recordings; precision is of the checked pairs alone.
    """
    rows = []
    for stage, runs in stages.items():
        for mixup, folder in runs.items():
            run, sent = load_run(folder), record(folder, competition)
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


def change_table(changes: dict[str, tuple[Iterable[Path], Iterable[Path]]], competition: Competition) -> pd.DataFrame:
    """A row a change, of run folders after and before it: LWLRAP gained out of fold and on each part of the test."""
    rows = []
    for name, (after, before) in changes.items():
        after, before = list(after), list(before)
        found, was = ([load_run(run) for run in part] for part in (after, before))
        stacked = [np.stack([run.probability for run in part]) for part in (found, was)]
        row = {"change": name, "out of fold": paired(found[0].target, *stacked, "lwlrap", found[0].clusters)}
        if competition.solution() is not None:
            for usage in ("Public", "Private"):
                row[usage.lower()] = leaderboard_difference(after, before, competition, usage)
        rows.append(row)
    return pd.DataFrame(rows)


def leaderboard_difference(
    after: Sequence[Path], before: Sequence[Path], competition: Competition, usage: str = "Private"
) -> Difference:
    """LWLRAP of some runs less that of others, averaged over each, on one part of the test recordings."""
    solution = competition.solution()
    solution = solution[solution["usage"] == usage]
    classes = list(competition.classes)

    def stacked(runs: Sequence[Path]) -> np.ndarray:
        tables = [pd.read_parquet(run / "test.parquet").set_index("id") for run in runs]
        return np.stack([table.loc[solution["id"], classes].to_numpy() for table in tables])

    return paired(solution[classes].to_numpy(), stacked(after), stacked(before), "lwlrap")
