"""In the kernel that only predicts: from the attached weights and what the test folder holds now to submission.csv.

A valid file is there before anything can go wrong, with the class priors in every row; predictions take its place.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kit.competition.competition import Competition, open_competition
from kit.competition.labels import label_targets
from kit.kaggle.attached import WHEELS
from kit.kaggle.bootstrap import STARTED
from kit.results.submission import read_submission, write_submission
from kit.training.fold import class_shares

OUT = "submission.csv"
SPARE = 0.05  # of the minutes, for what Kaggle does before and after


def leave_priors(data: str | Path) -> Competition:
    """The competition of a folder, whose submission.csv now holds the class priors in every row."""
    competition = open_competition(data)
    for note in competition.notes:
        print(note)
    ids, classes = competition.test["id"].to_numpy(), list(competition.classes)
    shares = class_shares(label_targets(competition.train["label"], classes, competition.task), len(classes))
    table = pd.DataFrame(np.tile(shares, (len(ids), 1)), columns=classes)
    table.insert(0, "id", ids)
    with warnings.catch_warnings():  # that it says the same of every row is the point
        warnings.simplefilter("ignore")
        write_submission(competition, table, OUT)
    print(f"{OUT}: {len(ids)} rows, the class priors so far")
    return competition


def predict_here(
    runs: Sequence[Path], competition: Competition, minutes: float, engine: str = "torch", **options
) -> pd.DataFrame:
    """Predict into submission.csv within the kernel's minutes; as kit.predict, whose options it takes."""
    from kit.inference.predict import predict

    left = minutes * (1 - SPARE) - minutes_here()
    with tempfile.TemporaryDirectory(prefix="cache-") as cache:
        table = predict(
            runs, competition, out=OUT, cache=cache, minutes=max(left, 0.01), engine=engine, trust=True, **options
        )  # trust: their sha256 are those of the files that were sent
    read_submission(OUT, competition)
    print(f"{OUT}: accepted, {len(table)} rows, {minutes_here():.1f} of {minutes:g} minutes")
    return table


def minutes_here() -> float:
    """Since the first cell began."""
    return (time.time() - float(os.environ.get(STARTED, time.time()))) / 60


def install(package: str, weights: str | Path) -> None:
    """Install a package from the attached wheels, where the image lacks it. Raises ValueError where none fits."""
    if importlib.util.find_spec(package) is not None:
        return
    wheels = Path(weights) / WHEELS
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run([*command, "--find-links", str(wheels), package], capture_output=True, text=True)
    if done.returncode:
        python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        there = ", ".join(sorted(path.name for path in wheels.glob("*.whl"))) or "no wheels"
        raise ValueError(f"{package} must have a wheel for {python} among those attached, got {there}")
    importlib.invalidate_caches()
    print(f"installed {package}")
