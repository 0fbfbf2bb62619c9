"""From a finished run to a submission: its CSV, its local score, its row in the ledger."""

import os
from pathlib import Path

import pandas as pd

from kit.competition.competition import Competition
from kit.competition.metrics import precision
from kit.results.bootstrap import interval
from kit.results.compare import Run, load_run
from kit.results.ledger import add_row, file_sha256
from kit.results.submission import score_submission, write_submission

SUBMISSIONS = Path("submissions")


def record(run_folder: str | Path, competition: Competition, submissions: str | Path = SUBMISSIONS) -> dict:
    """Write the test predictions of `<runs>/<name>` as `<submissions>/<runs>/<name>.csv`; the ledger's new row."""
    folder = Path(run_folder).resolve()
    run, test = load_run(folder), pd.read_parquet(folder / "test.parquet")
    name, config = f"{folder.parent.name}/{folder.name}", Path(os.path.relpath(folder / "config.json")).as_posix()
    return record_predictions(name, run, test, competition, submissions, config)


def record_predictions(
    name: str,
    run: Run,
    test: pd.DataFrame,
    competition: Competition,
    submissions: str | Path = SUBMISSIONS,
    config: str = "",
) -> dict:
    """As `record`, for predictions that no run folder holds, such as an average; name is `<runs>/<name>`."""
    submissions = Path(submissions)
    path = write_submission(competition, test, submissions / f"{name}.csv")
    cv = interval(run.target, run.probability, competition.metric, run.clusters)
    row = {
        "run": name,
        "name": run.config["name"],
        "competition": competition.folder.name,
        "mix": run.config.get("mix", "none"),
        "backbone": _backbone(run.config),
        "cv": cv.value,
        "cv_low": cv.low,
        "cv_high": cv.high,
        "precision": precision(run.target, run.probability),
        "sha256": file_sha256(path),
        "config": config,
        "file": Path(os.path.relpath(path)).as_posix(),
    }
    if (competition.folder / "solution.csv").exists():
        scores = score_submission(path, competition)
        row |= {"public": scores["public"], "private": scores["private"]}
    add_row(submissions / "ledger.csv", row)
    return {"public": None, "private": None, **row}


def _backbone(config: dict) -> str:
    backbone = config.get("backbone", "")
    return config["timm_name"] if backbone == "timm" else backbone
