import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import torch

from kit.competition.folds import make_folds
from kit.competition.metrics import Metric
from kit.data.mixup import Mixup
from kit.data.samplers import Balanced
from kit.data.store import pack
from kit.experiment import Experiment
from kit.training.crossval import crossval
from kit.training.finish import BaseSession
from kit.training.views import LPCViews


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def train(experiment, voices, out, cache, folds=None):
    return crossval(experiment, voices, out, folds=folds, cache=cache, n_jobs=1, threads=1, progress=False)[0]


def test_a_run_folder_holds_what_the_design_says(voices, tiny, work):
    run = train(tiny.but(loop__epochs=2), voices, work / "whole", work)
    assert run.name == run.folder.name == "tiny-s0" and run.seed == 0
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "experiment.json", "fold0", "fold1", "metrics.json", "oof.parquet", "test.parquet"
    ]  # fmt: skip
    assert sorted(path.name for path in (run.folder / "fold0").iterdir()) == [
        "best.pt", "env.json", "last.pt", "log.csv", "metrics.json", "oof.parquet", "test.parquet"
    ]  # fmt: skip
    assert Experiment.load(run.folder / "experiment.json") == tiny.but(loop__epochs=2)
    assert sorted(run.oof["id"]) == sorted(voices.train["id"])
    folds = dict(zip(voices.train["id"], make_folds(voices.train, 2, 0), strict=True))
    assert run.oof["fold"].tolist() == [folds[name] for name in run.oof["id"]]
    assert run.test["id"].tolist() == voices.test["id"].tolist()
    parts = [pd.read_parquet(run.folder / f"fold{fold}/test.parquet")[run.classes].to_numpy() for fold in (0, 1)]
    assert np.allclose(run.test[run.classes], (parts[0] + parts[1]) / 2)
    right = run.probability.argmax(1) == run.oof["label"].map(voices.classes.index)
    assert run.score == run.metrics["score"] == pytest.approx(right.mean())
    assert set(run.metrics["folds"]) == {"0", "1"} and run.metrics["cluster"] == "label"
    assert run.metrics["higher_is_better"] is True


def test_a_metric_where_lower_is_better_works_from_end_to_end(voices, tiny, work):
    run = train(tiny.but(loop__epochs=2, metric=Metric("log_loss")), voices, work / "lower", work)
    log = pd.read_csv(run.folder / "fold0/log.csv")
    assert np.allclose(log["valid_score"], log["valid_loss"])
    assert run.metrics["folds"]["0"] == pytest.approx(log["valid_score"].min())
    assert run.metrics["metric"] == "log_loss" and run.metrics["higher_is_better"] is False
    exact = run.probability / run.probability.sum(1, keepdims=True)  # single precision's sums are 1 to 7 digits
    assert run.score == pytest.approx(sklearn.metrics.log_loss(run.target, exact), rel=1e-5)


def test_two_at_once_give_the_same_numbers_as_one_after_another(voices, tiny, work):
    experiments = [tiny.but(loop__epochs=1, name=name) for name in ("one", "two")]
    serial = crossval(experiments, voices, work / "serial", cache=work, n_jobs=1, threads=1, progress=False)
    both = crossval(experiments, voices, work / "parallel", cache=work, n_jobs=2, threads=1, progress=False)
    for a, b in zip(serial, both, strict=True):
        assert a.oof.equals(b.oof) and a.test.equals(b.test)


def test_a_seed_changes_the_weights_and_not_the_folds(voices, tiny, work):
    runs = crossval(tiny.but(loop__epochs=1, name="s"), voices, work / "seeds", seeds=(0, 1), cache=work, n_jobs=1,
                    progress=False)  # fmt: skip
    zero, one = (run.oof for run in runs)
    assert [(run.name, run.seed) for run in runs] == [("s-s0", 0), ("s-s1", 1)]
    assert zero[["id", "fold"]].equals(one[["id", "fold"]])
    assert not np.allclose(zero[list(voices.classes)], one[list(voices.classes)])


def child(experiment, voices, out, cache):
    torch.set_num_threads(1)
    train(experiment, voices, out, cache, folds=(0,))


def in_process(forkserver, *arguments, until=None):
    """Train in a process of its own; where `until` is given, kill it with SIGKILL as soon as that holds."""
    process = forkserver.Process(target=child, args=arguments)
    process.start()
    if until is None:
        process.join()
        assert process.exitcode == 0
        return
    deadline = time.monotonic() + 120
    while not until() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed"


RESUMED = {
    "plain": {},
    "ema": {"loop__ema_decay": 0.9, "loop__average_best": 2, "loop__epoch_steps": 4},
    "mixup": {"mix": Mixup(places=("input", "stem"), probability=0.8, per_row=True)},
    "lpc": {"views": LPCViews(shuffled=0.5, swap="most", prototypes=0.1), "mix": Mixup("input"),
            "session": BaseSession(), "loop__ema_decay": 0.9},
    "accumulated, frozen, by layer": {"loop__accumulate": 2, "loop__frozen_epochs": 2, "optimizer__layer_decay": 0.5,
                                      "optimizer__head_lr": 0.01, "sampler": Balanced()},
}  # fmt: skip


@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED)
def test_a_killed_run_continues_bit_for_bit(forkserver, voices, tiny, tmp_path, options):
    """Killed in each of six epochs, at times within it that differ; the result is the uninterrupted run's."""
    experiment = tiny.but(loop__epochs=8, **options)
    in_process(forkserver, experiment, voices, tmp_path / "whole", tmp_path)
    folder = tmp_path / "killed/tiny-s0/fold0"

    def epochs():
        return (folder / "log.csv").read_bytes().count(b"\n") - 1 if (folder / "log.csv").exists() else 0

    for epoch in range(6):
        started = time.monotonic()

        def reached(epoch=epoch, started=started):
            return epochs() >= epoch + 1 and time.monotonic() - started > 0.02 * epoch

        in_process(forkserver, experiment, voices, tmp_path / "killed", tmp_path, until=reached)
        assert not (folder / "metrics.json").exists()
    in_process(forkserver, experiment, voices, tmp_path / "killed", tmp_path)
    whole = tmp_path / "whole/tiny-s0/fold0"
    for name in ("log.csv", "oof.parquet", "test.parquet"):
        assert (whole / name).read_bytes() == (folder / name).read_bytes(), name
    for name in ("best.pt", "last.pt"):
        one, two = (torch.load(path / name, weights_only=True)["model"] for path in (whole, folder))
        assert all(torch.equal(one[key], two[key]) for key in one), name
    assert not list(folder.glob(".*.part"))


def test_two_processes_of_accelerate_cover_each_epoch_once(voices, tiny, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys; from kit.competition.competition import open_competition\n"
        "from kit.data.store import pack\n"
        "from kit.experiment import Experiment\n"
        "from kit.training.fit import fit\n"
        "from kit.training.step import TrainStep\n"
        "class Telling(TrainStep):\n"
        "    def __call__(self, batch, number, *rest, **more):\n"
        "        with open(f'{sys.argv[4]}-{os.environ[\"RANK\"]}.csv', 'a') as told:\n"
        "            told.writelines(f'{number},{row}\\n' for row in batch.row.tolist())\n"
        "        return super().__call__(batch, number, *rest, **more)\n"
        "fit.__globals__['TrainStep'] = Telling\n"
        "store = pack(open_competition(sys.argv[1]), sys.argv[2], progress=False)\n"
        "rows = store.rows('train')\n"
        "experiment = Experiment.load(sys.argv[3])\n"
        "fit(experiment, store, rows[::2], rows[1::2], sys.argv[4], progress=False)\n"
    )
    # Each process draws its own place, and its own shuffles.
    experiment = tiny.but(
        loop__epochs=2, mix=Mixup(places=("input", "stem")), session=BaseSession(),
        views=LPCViews(shuffled=0.5, formant=0.0, prototypes=0.1),
    )  # fmt: skip
    (tmp_path / "experiment.json").write_text(json.dumps(experiment.to_dict()))
    pack(voices, tmp_path / "cache", progress=False)
    # On CPUs `accelerate launch` leaves the processes to MPI: one command each, with what MPI would tell it.
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines",
               "1", "--mixed_precision", "no", "--dynamo_backend", "no"]  # fmt: skip
    arguments = [script, voices.folder, tmp_path / "cache", tmp_path / "experiment.json", tmp_path / "run"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2",
                   "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    both = [
        subprocess.Popen(
            [*command, *map(str, arguments)], env={**environment, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in "01"
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    log = pd.read_csv(tmp_path / "run/log.csv")
    assert log["step"].tolist() == [3, 6]  # 24 rows, batch 8 of both processes together
    assert log["valid_score"].between(0, 1).all()
    told = [pd.read_csv(tmp_path / f"run-{rank}.csv", names=["step", "row"]) for rank in (0, 1)]
    assert all(len(part) == 24 for part in told)  # each process half of two epochs
    together = pd.concat(told, ignore_index=True)
    rows = pack(voices, tmp_path / "cache", progress=False).rows("train")[::2].tolist()
    for _, epoch in together.groupby(together["step"] // 3):
        assert sorted(epoch["row"]) == rows
