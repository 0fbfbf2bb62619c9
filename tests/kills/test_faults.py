"""A full disk, a folder that can't be written, a dead worker, a clock that jumps: one clear line, nothing broken."""

import json
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
from joblib.externals.loky import reusable_executor

from kit.competition.folds import Folds
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.training.crossval import crossval
from kit.training.faults import WorkerDiedError
from kit.training.loop import Loop
from kit.training.optim import AdamW
from kit.training.schedules import WarmupCosine

TINY = Experiment(
    name="tiny", folds=Folds(2), crop_frames=24, schedule=WarmupCosine(4), optimizer=AdamW(lr=5e-3),
    net=Net(Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5)), loop=Loop(epochs=3, batch_size=8),
)  # fmt: skip


@pytest.fixture(scope="module")
def command(voices_folder, tmp_path_factory):
    """Packs, trains a fold, and writes a submission and the ledger."""
    experiment = tmp_path_factory.mktemp("experiment") / "tiny.json"
    experiment.write_text(json.dumps(TINY.to_dict()))
    return ["train", str(experiment), "--data", str(voices_folder), "--out", "runs/a", "--folds", "0", "--resume"]


@pytest.fixture(scope="module")
def whole(forker, command, tmp_path_factory):
    """Where nothing befell the command."""
    root = tmp_path_factory.mktemp("whole")
    (found,) = forker.run(task(root, command))["found"]
    assert found["code"] == 0, found["error"]
    return root


def task(root, *commands, relief=False, **befalls):
    return {"what": "commands", "given": {"commands": commands, "relief": relief}, "root": str(root), **befalls}


def check(found, forker, whole, *words):
    """One line that says why, no part of a file, and nothing that is not as it should be."""
    lines = [line for line in found["error"].split("\n") if line and "\r" not in line]  # a bar's begin with one
    assert lines.pop(0).startswith("kit train: folds: ")  # what was noted of the folder, before anything failed
    assert found["code"] == 1 and len(lines) == 1, found["error"]
    for word in ("kit train: ", *words):
        assert word in lines[0]
    assert not found["parts"] and set(found["files"]) <= set(forker.bits(whole))


@pytest.mark.parametrize(
    "share", [0.5, 0.9, 0.97, *(pytest.param(n / 20, marks=pytest.mark.nightly) for n in range(1, 20))]
)
def test_a_full_disk(forker, command, whole, tmp_path, share):
    """One that holds so much of what is written; with more room the command goes on, to the same bits."""
    pages = sum(-(-path.stat().st_size // 4096) for path in whole.rglob("*") if path.is_file())
    told = forker.run(task(tmp_path / "small", command, command, relief=True, disk_bytes=int(pages * share) * 4096))
    if "forbidden" in told:
        pytest.skip(f"needs a disk of its own, and may not mount one: {told['forbidden']}")
    check(told["found"][0], forker, whole, "No space left on device: '")
    assert told["found"][1]["code"] == 0, told["found"][1]["error"]
    assert told["bits"] == forker.bits(whole)


@pytest.mark.parametrize("name", ["features.bin", "last.pt", "best.pt", "oof.parquet"])
def test_a_file_that_may_not_grow(forker, command, whole, tmp_path, name):
    """As where a quota ends: one byte less than the file needs."""
    root = tmp_path / "root"
    root.mkdir()
    (path,) = [path for path in whole.rglob(name) if path.parent.name != "tiny-s0"]
    if name != "features.bin":  # the largest, so that the others' turn comes only where it is packed
        shutil.copytree(whole / "cache", root / "cache")
    (found,) = forker.run(task(root, command, most_bytes=path.stat().st_size - 1))["found"]
    check(found, forker, whole, "File too large: '", "cache/" if name == "features.bin" else "/fold0/")
    (found,) = forker.run(task(root, command))["found"]
    assert found["code"] == 0 and forker.bits(root) == forker.bits(whole)


def test_a_read_only_folder(forker, command, whole, tmp_path):
    told = forker.run(task(tmp_path / "fixed", command, read_only=True))
    if "forbidden" in told:
        pytest.skip(f"needs a read-only mount, and may not make one: {told['forbidden']}")
    check(told["found"][0], forker, whole, "Read-only file system: '")
    assert told["found"][0]["files"] == []


@pytest.mark.parametrize("option", ["--out", "--cache", "--submissions"])
def test_a_folder_that_is_a_file(forker, command, whole, tmp_path, option):
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    shutil.rmtree(root / "submissions")
    (tmp_path / "file").write_text("mine\n")
    changed = [*command, option, str(tmp_path / "file/sub")]
    (found,) = forker.run(task(root, changed))["found"]
    check(found, forker, whole, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine\n"


def strike(how, store, run):
    """Once a fold is finished and the last is under way, end one of joblib's processes, or take its data away."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        logs, done = ({path.parent for path in run.glob(f"fold*/{name}")} for name in ("log.csv", "metrics.json"))
        if done and len(logs) == 3 and logs - done:
            break
        time.sleep(0.002)
    if how == "cut":
        os.truncate(store / "features.bin", 0)
    else:
        os.kill(max(reusable_executor._executor._processes), getattr(signal, how))


DIED = r"^a process that trained a fold died of {}, .*what is finished is kept"
CUT = r"^[^ ]+features.bin: cut short while it was read; delete the folder$"
STRIKES = {
    "killed": ("SIGKILL", 2, WorkerDiedError, DIED.format("SIGKILL")),
    "cut short": ("cut", 1, ValueError, CUT),
    "out of shared memory": ("SIGBUS", 2, WorkerDiedError, DIED.format("SIGBUS")),
    "cut short, of two": ("cut", 2, ValueError, CUT),
}


@pytest.mark.parametrize(
    "name",
    ["killed", "cut short"] + [pytest.param(name, marks=pytest.mark.nightly) for name in list(STRIKES)[2:]],
)
def test_a_worker_that_dies_or_whose_data_goes(voices, forker, tmp_path, name):
    """Killed, or reading where its file was cut short; finished folds stay as they are, and the others go on."""
    how, n_jobs, error, said = STRIKES[name]
    experiment = TINY.but(loop__epochs=8, folds__n=3)
    options = {"cache": tmp_path / "cache", "threads": 1, "progress": False}
    (whole,) = crossval(experiment, voices, tmp_path / "whole", n_jobs=1, **options)
    (store,) = (tmp_path / "cache").iterdir()
    kept, run = (store / "features.bin").read_bytes(), tmp_path / "runs/tiny-s0"
    thread = threading.Thread(target=strike, args=(how, store, run))
    thread.start()
    with pytest.raises(error, match=said):
        crossval(experiment, voices, run.parent, n_jobs=n_jobs, **options)
    thread.join()
    done = {path: path.stat().st_mtime_ns for path in run.glob("fold*/metrics.json")}
    assert 0 < len(done) < 3
    if how == "cut":
        with pytest.raises(ValueError, match=r"features.bin: must have \d+ bytes, has 0; delete the folder"):
            crossval(experiment, voices, run.parent, n_jobs=1, **options)
        (store / "features.bin").write_bytes(kept)
    crossval(experiment, voices, run.parent, n_jobs=1, **options)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert forker.bits(run) == forker.bits(whole.folder)


def test_a_clock_that_jumps(voices, tmp_path, monkeypatch, capsys):
    """An hour back, a day ahead: minutes are those that passed, and the bar bears it."""
    jumps = np.random.default_rng(0)
    real, started = time.time, time.monotonic()

    def jumping():
        return real() + jumps.choice([-3600.0, 0.0, 86400.0])

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr("tqdm.std.time", jumping)
    experiment = TINY.but(loop__epochs=2)
    (run,) = crossval(experiment, voices, tmp_path / "runs", cache=tmp_path, n_jobs=1, threads=1)
    passed = (time.monotonic() - started) / 60
    parts = [json.loads((run.folder / f"fold{fold}/metrics.json").read_text())["minutes"] for fold in (0, 1)]
    assert all(minutes > 0 for minutes in parts) and sum(parts) < passed
    assert run.metrics["minutes"] == sum(parts)
    assert "4/4" in capsys.readouterr().err
