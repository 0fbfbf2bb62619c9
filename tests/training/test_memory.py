"""A store of HW4's size, 6.8 GB of single precision, is trained on in far less memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FRAMES, UTTERANCES, CLASSES = 42_500_000, 56_666, 600
LIMIT_MB = 1500
TRAIN = """
import json, re, sys
from pathlib import Path
from kit.data.store import open_store
from kit.experiment import Experiment
from kit.training.fit import fit
from kit.training.loop import Loop

store = open_store(sys.argv[1])
rows = store.rows("train")
experiment = Experiment(name="hw4", loop=Loop(epochs=1, epoch_steps=200, precision="fp32"))
fit(experiment, store, rows[600:], rows[:600], sys.argv[2], progress=False)
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({"peak_mb": peak_kb / 1024}))
"""


@pytest.fixture
def hw4_store(tmp_path) -> Path:
    """Utterances of HW4's spread of lengths, in a file without content, which takes no disk and reads as zeros."""
    rng = np.random.default_rng(0)
    shares = rng.lognormal(0, 0.45, UTTERANCES)
    frames = (shares / shares.sum() * FRAMES).astype(int)
    frames[: FRAMES - frames.sum()] += 1
    folder = tmp_path / "store"
    folder.mkdir()
    with (folder / "features.bin").open("wb") as file:
        file.truncate(FRAMES * 40 * 4)
    target = rng.integers(0, CLASSES, UTTERANCES)
    index = pd.DataFrame({"id": [f"uttr-{number:032x}.pt" for number in range(UTTERANCES)], "split": "train"})
    index["label"], index["target"], index["group"] = (
        [f"id{number:05d}" for number in target],
        target,
        target.astype(str),
    )
    index["start"], index["frames"] = np.cumsum([0, *frames[:-1]]), frames
    index.to_parquet(folder / "index.parquet")
    header = {"kind": "mel", "classes": [f"id{number:05d}" for number in range(CLASSES)], "mel": None, "task": "single"}
    (folder / "store.json").write_text(json.dumps({**header, "total": FRAMES, "width": 40, "dtype": "float32"}))
    return folder


@pytest.mark.nightly
def test_hw4_trains_200_steps_within_the_limit(hw4_store, tmp_path):
    """In a process that does nothing else."""
    command = [sys.executable, "-c", TRAIN, str(hw4_store), str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    log = pd.read_csv(tmp_path / "run/log.csv")
    assert log["step"].tolist() == [200] and np.isfinite(log["loss"]).all()
    print(f"peak {found['peak_mb']:.0f} MB")
    assert found["peak_mb"] < LIMIT_MB
