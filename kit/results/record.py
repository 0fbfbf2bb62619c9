"""From a finished run to a submission: its CSV, its local score, its row in the ledger."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from kit.atomic import replacing
from kit.competition.competition import Competition
from kit.competition.metrics import as_metric, precision
from kit.results.bootstrap import Interval, interval
from kit.results.compare import as_run
from kit.results.ledger import add_row, file_sha256
from kit.results.submission import score_submission, write_submission
from kit.results.threshold import thresholded
from kit.training.runs import Run

SUBMISSIONS = Path("submissions")
Correct = Callable[[Run], tuple[Run, pd.DataFrame]]


def record(
    run: Run | str | Path,
    competition: Competition,
    submissions: str | Path = SUBMISSIONS,
    correct: Correct | None = None,
) -> dict[str, Any]:
    """Write the test predictions of a run as `<submissions>/<runs>/<name>.csv`; the ledger's new row.

    run is one that crossval gave, or its folder `<runs>/<name>`. The row's CV is by the competition's metric.
    correct(run) gives a run of another name and its test table, such as kit.results.post.corrected gives: what is
    written and scored then is the corrected one.
    """
    run = as_run(run)
    if run.folder is None:
        raise ValueError(f"run {run.name}: must have a folder to be recorded; record_predictions takes one without")
    folder = run.folder.resolve()
    run, test = (run, run.test) if correct is None else correct(run)
    path = Path(os.path.relpath(folder / "experiment.json")).as_posix()
    return record_predictions(f"{folder.parent.name}/{run.name}", run, test, competition, submissions, path)


def record_predictions(
    name: str,
    run: Run,
    test: pd.DataFrame,
    competition: Competition,
    submissions: str | Path = SUBMISSIONS,
    experiment: str = "",
) -> dict[str, Any]:
    """As `record`, for predictions that no run folder holds, such as an average; name is `<runs>/<name>`.

    Where a submission lists labels, those with at least a threshold are named, which is chosen on out-of-fold rows.
    experiment is the path of an experiment.json, where there is one. That of a blend is written beside its CSV, so that
    kit.inference can make the blend again.
    """
    submissions, metric, threshold = Path(submissions), as_metric(competition.metric), None
    if competition.form == "lists":
        run, threshold = thresholded(run, metric)
    path = write_submission(competition, test, submissions / f"{name}.csv", threshold)
    if not experiment and "blend" in run.experiment:
        with replacing(path.with_suffix(".json")) as beside:
            beside.write_text(json.dumps(run.experiment, indent=1) + "\n", encoding="utf-8")
        experiment = Path(os.path.relpath(path.with_suffix(".json"))).as_posix()
    scored = not run.oof.empty  # else all rows were trained on
    cv = interval(run.target, run.probability, metric, run.clusters) if scored else Interval(*3 * [math.nan])
    row = {
        "run": name,
        "name": run.title,
        "competition": competition.folder.name,
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "mix": mix_told(run.experiment),
        "backbone": backbone_told(run.experiment),
        "cv": cv.value,
        "cv_low": cv.low,
        "cv_high": cv.high,
        "precision": precision(run.target, run.probability) if scored else None,
        "sha256": file_sha256(path),
        "experiment": experiment,
        "file": Path(os.path.relpath(path)).as_posix(),
    }
    if (competition.folder / "solution.csv").exists():
        scores = score_submission(path, competition)
        row |= {"public": scores["public"], "private": scores["private"]}
    add_row(submissions / "ledger.csv", row)
    return {"public": None, "private": None, **row}


def mix_told(experiment: dict[str, Any]) -> str:
    """What an experiment's JSON mixes, for a table: `manifold`, `manifold + LPCViews`, a part's name, `none`."""
    mix, views = experiment.get("mix"), experiment.get("views")
    told = [] if mix is None else [mix.get("place") or _name(mix)]
    return " + ".join(told + ([] if views is None else [_name(views)])) or "none"


def backbone_told(experiment: dict[str, Any]) -> str:
    """The backbone of an experiment's JSON, for a table: `Conformer`, timm's name, a part's own name."""
    net = experiment.get("net") or {}
    backbone: Any = net.get("backbone") or net
    return backbone.get("name") if backbone.get("part") == "Timm" else _name(backbone)


def _name(part: dict[str, Any]) -> str:
    """`GeM` of GeM, `LastShare` of mine:LastShare."""
    return part.get("part", "").rpartition(":")[2]
