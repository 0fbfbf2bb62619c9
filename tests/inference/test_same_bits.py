"""Whole folders: predictions are training's bit for bit, and exported nets give the same labels.

`KIT_FOLDERS=path/to/a:path/to/b python -m pytest -m nightly -s tests/inference/test_same_bits.py -k ones_own` does it
on folders of one's own, and prints a line each.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.competition.competition import open_competition
from kit.data.features import LogMel
from kit.demos.demo import make_keywords
from kit.inference.export import export
from kit.inference.onnx_check import BOUND
from kit.inference.predict import predict
from kit.presets import preset, recording_preset, soundscape_preset
from kit.training.crossval import crossval

pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("ignore::UserWarning")]  # on what a folder lacks
DEMOS = ("voices_folder", "rainforest_folder", "chorus_folder")
REAL = ("speakers240", "keywords40")
SHORT = {"loop__epochs": 1, "loop__epoch_steps": 6}
ALONE = {"folds": (0,), "n_jobs": 1, "threads": 1, "progress": False}


def check(folder: Path, work: Path) -> str:
    """Train a fold of a tiny net for some steps, predict, export, predict again; one line on what came out."""
    competition = open_competition(folder)
    if competition.task == "single":
        one = preset("tiny")
        one = one.but(features=LogMel(n_mels=competition.n_mels)) if competition.n_mels else one
    else:
        one = (soundscape_preset if competition.boxes is None else recording_preset)("tiny")
    (run,) = crossval(one.but(**SHORT), competition, work / "runs", cache=work / "cache", **ALONE)
    options = {"folds": [0], "cache": work / "other", "progress": False}
    table = predict(run, competition, **options)
    pd.testing.assert_frame_equal(table, run.test, check_exact=True)
    classes, told = list(competition.classes), []
    trained = table[classes].to_numpy()
    for engine in ("onnx", "openvino"):
        export(run, engine, cache=work / "cache")
        exported = predict(run, competition, engine=engine, threads=1, **options)[classes].to_numpy()
        far = float(np.abs(exported - trained).max())
        assert far <= BOUND
        other = exported.argmax(1) != trained.argmax(1)
        best = np.sort(trained, axis=1)[:, ::-1]
        assert (best[other, 0] - best[other, 1] <= 2 * BOUND).all()  # each of the two may be off by one bound
        told.append(f"{engine} within {far:.1e}, {other.sum()} other labels")
    return f"{competition.folder.name}: {len(table)} test rows bit for bit; {'; '.join(told)}"


@pytest.mark.parametrize("fixture", DEMOS)
def test_the_demos(request, fixture, tmp_path):
    print(check(request.getfixturevalue(fixture), tmp_path))


def test_the_keywords(tmp_path):
    print(check(make_keywords(tmp_path / "keywords", 4, n_speakers=6, n_takes=1, n_test_speakers=2), tmp_path))


@pytest.mark.parametrize("name", REAL)
def test_real_data(shared_data, name, tmp_path):
    print(check(shared_data / name, tmp_path))


def test_folders_of_ones_own(tmp_path):
    folders = os.environ.get("KIT_FOLDERS", "")
    if not folders:
        pytest.skip("KIT_FOLDERS names no folder")
    for number, folder in enumerate(folders.split(os.pathsep)):
        print(check(Path(folder).resolve(), tmp_path / str(number)))
