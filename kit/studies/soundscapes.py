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

SOURCE = "github.com/trtd56/RFCX, docs/share_teams_20210203.md"  # of RFCX's fifth place
MIXUPS = ("usual", "last layer")
# The source's own runs on RFCX by stage and mixup: cross-validation, precision where it was told, the leaderboard.
PUBLISHED = {
    "pseudo labelling in training": ((0.8399, None, 0.831), (0.8391, None, 0.805)),
    "sampled negatives": ((0.8352, None, 0.833), (0.8287, None, 0.828)),
    "image division": ((0.8347, None, 0.792), (0.8368, None, 0.792)),
    "pseudo 0.9 + focal": ((0.9392, 0.4406, 0.912), (0.9434, 0.4375, 0.907)),
    "pseudo 0.5 + focal + positive decay": ((0.9663, 0.3636, 0.914), (0.9589, 0.657, 0.942)),
}


def published_table() -> pd.DataFrame:
    """A row a stage and mixup, as text: CV, precision, LB; "not told" where the source is silent."""
    told = {None: "not told"}
    rows = [
        {"stage": stage, "mixup": mixup, "CV": f"{cv:.4f}", "precision": told.get(precision, precision), "LB": lb}
        for stage, both in PUBLISHED.items()
        for mixup, (cv, precision, lb) in zip(MIXUPS, both, strict=True)
    ]
    return pd.DataFrame(rows).astype(str)


def stage_table(stages: dict[str, dict[str, Run | str | Path]], competition: Competition) -> pd.DataFrame:
    """A row a stage and mixup, of runs or their folders by both, beside the published row of that stage and mixup.

    CV and precision are out of fold, with 95 % intervals over recordings; precision is of the checked pairs alone. Each
    run is recorded; its leaderboard scores are there where the folder has a solution.
    """
    rows = []
    for stage, runs in stages.items():
        for mixup, run in runs.items():
            run, sent = as_run(run), record(run, competition)
            row = {"stage": stage, "mixup": mixup}
            for title, metric in (("CV", "lwlrap"), ("precision", "micro_precision")):
                row[title] = str(interval(run.target, run.probability, metric, run.clusters))
            row |= {part: f"{sent[part]:.3f}" for part in ("public", "private") if sent[part] is not None}
            rows.append(row)
    published = published_table().rename(
        columns=lambda name: f"RFCX {name}" if name not in ("stage", "mixup") else name
    )
    return pd.DataFrame(rows).merge(published, "left", ["stage", "mixup"]).fillna("")


Runs = Iterable[Run | str | Path]


def change_table(changes: dict[str, tuple[Runs, Runs]], competition: Competition) -> pd.DataFrame:
    """A row a change, of runs after and before it: LWLRAP gained out of fold and on each part of the test.

    Each is a Difference, whose 95 % interval is not corrected for the others.
    """
    rows = []
    for name, (after, before) in changes.items():
        after, before = ([as_run(run) for run in runs] for runs in (after, before))
        new, old = (np.stack([run.probability for run in runs]) for runs in (after, before))
        row = {"change": name, "out of fold": paired(after[0].target, new, old, "lwlrap", after[0].clusters)}
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
