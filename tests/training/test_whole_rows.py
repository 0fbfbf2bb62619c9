"""Several labels a row and no boxes: a layout of one's own, from the folder to its predictions by the same loop."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from kit.competition.competition import open_competition
from kit.competition.folds import Folds
from kit.competition.labels import UNKNOWN, known_text
from kit.competition.metrics import METRICS, roc_auc
from kit.data.features import LogMel
from kit.data.mixup import Mixup
from kit.data.samplers import Balanced
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.models.sed import ClassAttention
from kit.training.crossval import crossval
from kit.training.fold import check_scores, class_shares, fill_with_priors
from kit.training.loop import Loop
from kit.training.loss_sums import ClipAndFrame, Sum
from kit.training.losses import BCE, SoftAUC
from kit.training.optim import AdamW
from kit.training.schedules import WarmupCosine

RATE = 8000
CLASSES = ("low", "mid", "high", "rare", "never")
PITCHES = {"low": 300, "mid": 900, "high": 2000, "rare": 3200}  # Hz
EXPERIMENT = Experiment(
    name="rows", folds=Folds(2), features=LogMel(RATE, 24, fmax_hz=4000.0), crop_frames=32, mix=Mixup("input"),
    loss=BCE(), net=Net(Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5)), sampler=Balanced(0.5),
    optimizer=AdamW(lr=1e-2), schedule=WarmupCosine(4), loop=Loop(epochs=2, epoch_steps=24, batch_size=8),
)  # fmt: skip


def write_folder(folder, n=24, n_test=3):
    """Tones of one class or two in noise, an author each two: "rare" is in one row, "never" in none, mid is unknown in
    each fourth row.
    """
    rng, time = np.random.default_rng(0), np.arange(RATE // 2) / RATE
    present = [[CLASSES[i % 3], *(["high"] if i % 4 == 1 else [])] for i in range(n)] + [["rare"]]
    labels = [known_text(heard, unknown=["mid"] * (i % 4 == 3), rest_absent=True) for i, heard in enumerate(present)]
    for number, heard in enumerate([*present, *[[name] for name in CLASSES[:n_test]]]):
        wave = sum(0.3 * np.sin(2 * np.pi * PITCHES[name] * time) for name in heard)
        soundfile.write(folder / f"{number}.wav", wave + 0.01 * rng.standard_normal(len(time)), RATE)
    table = pd.DataFrame({"label": labels, "author": np.arange(n + 1) // 2})
    table.to_csv(folder / "rows.csv", index=False)
    return folder


def read_rows(listing):
    """rows.csv tells the labels of 0.wav, 1.wav, …; those past its end are the test's, with missing ones before."""
    table = pd.read_csv(listing.folder / "rows.csv")
    there = [f"{number}.wav" for number in range(len(table), len(table) + 4) if f"{number}.wav" in listing]
    files = [f"missing{number}.wav" for number in range(4 - len(there))] + there
    train = pd.DataFrame({"id": [f"r{i}" for i in table.index], "path": [f"{i}.wav" for i in table.index]})
    train = train.assign(label=table["label"], group=table["author"].astype(str), audio=train["path"], where="rows")
    test = pd.DataFrame({"id": files, "path": files, "audio": files, "where": "files"})
    test["fault"] = ["" if file in there else "no such file" for file in files]
    return {
        "features": "wave", "train": train, "test": test, "classes": CLASSES, "id_column": "id",
        "label_columns": CLASSES, "task": "multi", "metric": "roc_auc",
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    with pytest.warns(UserWarning, match="1 of 4 test recordings got the class priors"):
        return trained(folder, tmp_path_factory.mktemp("work"))


def trained(folder, work, **changes):
    competition, quiet = open_competition(folder, layout=read_rows), {"n_jobs": 1, "threads": 1, "progress": False}
    return crossval(EXPERIMENT.but(**changes), competition, work / "runs", cache=work, **quiet)[0]


def test_whole_rows_train_score_and_predict(run):
    """By their tones in a few steps; the author of the rare row has no other, and is always trained on."""
    assert run.target.shape == (24, 5) and set(np.unique(run.target)) == {UNKNOWN, 0, 1}
    assert run.score == pytest.approx(roc_auc(run.target, run.probability)) and run.score > 0.7
    assert run.test[list(CLASSES)].notna().all(axis=None) and len(run.test) == 4


def test_where_no_test_row_can_be_used_all_get_the_priors(folder, tmp_path):
    """As in a folder whose hidden test is empty: the mean over folds of each class's share of the known pairs. Trained
    by other losses, of other mixtures.
    """
    shutil.copytree(folder, tmp_path / "data")
    for number in (25, 26, 27):
        (tmp_path / f"data/{number}.wav").unlink()
    with pytest.warns(UserWarning, match="4 of 4 test recordings got the class priors"):
        run = trained(
            tmp_path / "data", tmp_path, loop__epochs=1, loop__epoch_steps=1,
            net__head=ClassAttention(), mix=Mixup("input", lam=0.5, labels="union"),
            loss=Sum((ClipAndFrame(), SoftAUC()), (1.0, 0.5)),
        )  # fmt: skip
    test = run.test[list(CLASSES)].to_numpy()
    assert (test == test[0]).all()
    priors = [json.loads((run.folder / f"fold{k}/metrics.json").read_text())["priors"] for k in (0, 1)]
    assert test[0] == pytest.approx(np.mean(priors, axis=0), rel=1e-15)


def test_held_out_rows_that_no_prediction_can_score_are_named_before_training():
    """ROC-AUC of rows that all have the one class, or lack it."""
    store = SimpleNamespace(classes=("a", "b"), targets=lambda rows: np.array([[1, UNKNOWN], [1, 0]], np.int8))
    with pytest.raises(ValueError, match="fold 3: its 2 held-out rows can't be scored: target must have a class with"):
        check_scores(METRICS["roc_auc"], store, np.arange(2), 3)
    check_scores(METRICS["lwlrap"], store, np.arange(2), 3)


def test_priors_are_shares_of_known_pairs_by_hand():
    """Of the second class 1 of 2 known pairs, of the third none is known: 2 of all 5."""
    known = np.array([[1, 1, UNKNOWN], [0, 0, UNKNOWN], [0, UNKNOWN, UNKNOWN]], np.int8)
    assert class_shares(known, 3) == pytest.approx([1 / 3, 1 / 2, 2 / 5])
    assert class_shares(np.full((2, 2), UNKNOWN, np.int8), 2).tolist() == [0, 0]
    assert class_shares(np.array([0, 2, 2, -1]), 4) == pytest.approx([1 / 3, 0, 2 / 3, 0])
    filled = fill_with_priors(np.array([[np.nan, np.nan], [0.5, 0.25]]), np.array([0.2, 0.1]))
    assert filled.tolist() == [[0.2, 0.1], [0.5, 0.25]]
