import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from kit.competition.folds import make_folds
from kit.data.store import pack
from kit.training.config import Config
from kit.training.crossval import crossval


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def train(config, voices, out, cache, folds=None):
    return crossval([config], voices, out, folds=folds, cache=cache, n_jobs=1, threads=1, progress=False)[0]


def test_a_run_folder_holds_what_the_design_says(voices, tiny, work):
    run = train(replace(tiny, epochs=2), voices, work / "whole", work)
    assert run.name == "tiny-s0"
    oof, test = pd.read_parquet(run / "oof.parquet"), pd.read_parquet(run / "test.parquet")
    assert sorted(oof["id"]) == sorted(voices.train["id"])
    folds = dict(zip(voices.train["id"], make_folds(voices.train, 2, 0), strict=True))
    assert oof["fold"].tolist() == [folds[name] for name in oof["id"]]
    assert test["id"].tolist() == voices.test["id"].tolist()
    parts = [pd.read_parquet(run / f"fold{fold}/test.parquet")[list(voices.classes)].to_numpy() for fold in (0, 1)]
    assert np.allclose(test[list(voices.classes)], (parts[0] + parts[1]) / 2)
    metrics = json.loads((run / "metrics.json").read_text())
    right = oof[list(voices.classes)].to_numpy().argmax(1) == oof["label"].map(voices.classes.index)
    assert metrics["score"] == pytest.approx(right.mean())
    assert set(metrics["folds"]) == {"0", "1"} and metrics["cluster"] == "label"
    environment = json.loads((run / "env.json").read_text())
    assert environment["torch"] == torch.__version__
    assert not set(environment) & set(os.environ)


def test_what_is_finished_is_kept_and_another_config_refused(voices, tiny, work):
    run = train(replace(tiny, epochs=2), voices, work / "whole", work)
    before = (run / "fold0/last.pt").stat().st_mtime_ns
    train(replace(tiny, epochs=2), voices, work / "whole", work)
    assert (run / "fold0/last.pt").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"holds a run of another config \(width 16 -> 32\)"):
        train(replace(tiny, epochs=2, width=32), voices, work / "whole", work)


def test_two_at_once_give_the_same_numbers_as_one_after_another(voices, tiny, work):
    experiments = [replace(tiny, epochs=1, name=name) for name in ("one", "two")]
    serial = crossval(experiments, voices, work / "serial", cache=work, n_jobs=1, threads=1, progress=False)
    both = crossval(experiments, voices, work / "parallel", cache=work, n_jobs=2, threads=1, progress=False)
    for a, b in zip(serial, both, strict=True):
        one, two = (pd.read_parquet(run / "oof.parquet") for run in (a, b))
        assert one.equals(two)


def test_a_seed_changes_the_weights_and_not_the_folds(voices, tiny, work):
    runs = crossval([replace(tiny, epochs=1, name="s")], voices, work / "seeds", seeds=(0, 1), cache=work, n_jobs=1,
                    progress=False)  # fmt: skip
    zero, one = (pd.read_parquet(run / "oof.parquet") for run in runs)
    assert [run.name for run in runs] == ["s-s0", "s-s1"]
    assert zero[["id", "fold"]].equals(one[["id", "fold"]])
    assert not np.allclose(zero[list(voices.classes)], one[list(voices.classes)])


def test_impossible_requests_are_refused(voices, tiny, work):
    with pytest.raises(ValueError, match="folds must be in 0 to 1, got 2"):
        train(tiny, voices, work / "no", work, folds=(2,))
    with pytest.raises(ValueError, match="every experiment must have its own name, got 'tiny' twice"):
        crossval([tiny, tiny], voices, work / "no", cache=work, progress=False)


def child(config: Config, voices, out, cache):
    torch.set_num_threads(1)
    train(config, voices, out, cache, folds=(0,))


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
    "ema": {"ema_decay": 0.9, "average_best": 2, "epoch_steps": 4},
    "mixup": {"mix": "manifold", "mix_probability": 0.8, "mix_per_row": True},
    "lpc": {"mix": "lpc", "lpc_with": "input", "lpc_shuffled": 0.5, "lpc_swap": "most", "lpc_prototypes": 0.1,
            "replace_prototypes": True, "ema_decay": 0.9},
}  # fmt: skip


@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED)
def test_a_killed_run_continues_bit_for_bit(forkserver, voices, tiny, tmp_path, options):
    """Killed in each of six epochs, at times within it that differ; the result is the uninterrupted run's."""
    config = replace(tiny, epochs=8, **options)
    in_process(forkserver, config, voices, tmp_path / "whole", tmp_path)
    folder = tmp_path / "killed/tiny-s0/fold0"

    def epochs():
        return (folder / "log.csv").read_bytes().count(b"\n") - 1 if (folder / "log.csv").exists() else 0

    for epoch in range(6):
        started = time.monotonic()

        def reached(epoch=epoch, started=started):
            return epochs() >= epoch + 1 and time.monotonic() - started > 0.02 * epoch

        in_process(forkserver, config, voices, tmp_path / "killed", tmp_path, until=reached)
        assert not (folder / "metrics.json").exists()
    in_process(forkserver, config, voices, tmp_path / "killed", tmp_path)
    whole = tmp_path / "whole/tiny-s0/fold0"
    for name in ("log.csv", "oof.parquet", "test.parquet"):
        assert (whole / name).read_bytes() == (folder / name).read_bytes(), name
    for name in ("best.pt", "last.pt"):
        one, two = (torch.load(place / name, weights_only=True)["model"] for place in (whole, folder))
        assert all(torch.equal(one[key], two[key]) for key in one), name
    assert not list(folder.glob(".*.part"))


def test_two_processes_of_accelerate_cover_each_epoch_once(voices, tiny, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys; from kit.competition.competition import open_competition\n"
        "from kit.data.store import pack\n"
        "from kit.training.config import Config\n"
        "from kit.training.fit import fit\n"
        "from kit.training.step import TrainStep\n"
        "class Telling(TrainStep):\n"
        "    def __call__(self, batch, number, lr):\n"
        "        with open(f'{sys.argv[4]}-{os.environ[\"RANK\"]}.csv', 'a') as told:\n"
        "            told.writelines(f'{number},{row}\\n' for row in batch.row.tolist())\n"
        "        return super().__call__(batch, number, lr)\n"
        "fit.__globals__['TrainStep'] = Telling\n"
        "store = pack(open_competition(sys.argv[1]), sys.argv[2], progress=False)\n"
        "rows = store.rows('train')\n"
        "config = Config.load(sys.argv[3])\n"
        "fit(config, store, rows[::2], rows[1::2], sys.argv[4], progress=False)\n"
    )
    # Each process draws its own place, and its own shuffles.
    config = replace(
        tiny, epochs=2, mix="lpc", lpc_with="manifold", lpc_shuffled=0.5, lpc_formant=0.0, lpc_prototypes=0.1,
        replace_prototypes=True,
    )  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    pack(voices, tmp_path / "cache", progress=False)
    # On CPUs `accelerate launch` leaves the processes to MPI: one command each, with what MPI would tell it.
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines",
               "1", "--mixed_precision", "no", "--dynamo_backend", "no"]  # fmt: skip
    arguments = [script, voices.folder, tmp_path / "cache", tmp_path / "config.json", tmp_path / "run"]
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
