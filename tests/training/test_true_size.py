"""BirdCLEF 2026's true size, 35,549 clips of 207 hours and 739 labelled windows, is trained on in 2.5 GB of memory."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.competition.labels import known_text
from kit.data.features import LogMel
from kit.data.stretches import stretch_units

CLIPS, CLASSES, HOURS, SOUNDSCAPES, WINDOWS = 35_549, 234, 207.0, 66, 739
MEL = LogMel(32_000, 128, 0.064, 0.016, 60.0, 14_000.0)
LIMIT_MB, BATCHES = 2500, 200
TRAIN = """
import json, re, sys, time
from pathlib import Path
from kit.competition.metrics import METRICS
from kit.data.store import open_store
from kit.models.conformer import Conformer
from kit.presets import soundscape_preset
from kit.training.fit import fit

store = open_store(sys.argv[1])
rows = store.rows("train")
small = Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5, frame_stack=8)
experiment = soundscape_preset("demo").but(
    name="true", features=store.mel, crop_frames=309, net__backbone=small, loop__epochs=1, loop__batch_size=32,
    loop__epoch_steps=int(sys.argv[3]), loop__precision="fp32",
)
fit(experiment, store, rows[:-739], rows[-739:], sys.argv[2], metric=METRICS["roc_auc"], progress=False)
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({"peak_mb": peak_kb / 1024}))
"""


def clip_rows(generator) -> pd.DataFrame:
    """Clips of log-normal lengths from 0.3 s to 20 minutes, of classes from 1 to 499 clips."""
    shares = generator.lognormal(0, 0.9, CLIPS)
    seconds = (shares / shares.sum() * HOURS * 3600).clip(0.3, 1200)
    frames = [stretch_units(np.nan, np.nan, round(s * MEL.sample_rate_hz), MEL, "mel")[1] for s in seconds]
    names = generator.choice(CLASSES, CLIPS, p=generator.dirichlet(np.ones(CLASSES)))
    labels = [known_text([f"species{name}"], rest_absent=True) for name in names]
    index = pd.DataFrame({"id": [f"XC{number}.ogg" for number in range(CLIPS)], "label": labels, "frames": frames})
    return index.assign(start=np.cumsum([0, *frames[:-1]]), source="clip", group=generator.integers(0, 4017, CLIPS))


def window_rows(generator, first: int) -> tuple[pd.DataFrame, int]:
    """Windows of 5 s of minute-long soundscapes whose frames begin at `first`; and where they end."""
    whole = MEL.n_frames(60 * MEL.sample_rate_hz)
    number = np.arange(WINDOWS)
    places = [stretch_units(5.0 * n, 5.0 * n + 5, 60 * MEL.sample_rate_hz, MEL, "mel") for n in number % 12]
    heard = [generator.choice(CLASSES, 4, replace=False) for _ in number]
    labels = [known_text([f"species{name}" for name in names], rest_absent=True) for names in heard]
    index = pd.DataFrame({"id": [f"scape_{n}" for n in number], "label": labels, "source": "soundscape"})
    starts = first + number // 12 * whole + np.array([place[0] for place in places])
    index = index.assign(start=starts, frames=[place[1] for place in places], group=5000 + number // 12)
    return index, first + SOUNDSCAPES * whole


@pytest.fixture
def true_store(tmp_path) -> Path:
    """In a file without content, which takes no disk and reads as zeros."""
    generator, folder = np.random.default_rng(0), tmp_path / "store"
    clips = clip_rows(generator)
    windows, total = window_rows(generator, int(clips["frames"].sum()))
    index = pd.concat([clips, windows], ignore_index=True).assign(split="train", target=-1, fault="", note="")
    folder.mkdir()
    index.to_parquet(folder / "index.parquet")
    with (folder / "features.bin").open("wb") as file:
        file.truncate(total * MEL.n_mels * 2)
    classes = [f"species{number}" for number in range(CLASSES)]
    header = {"kind": "mel", "classes": classes, "mel": asdict(MEL), "task": "multi"}
    header |= {"total": total, "width": MEL.n_mels, "dtype": "float16"}
    (folder / "store.json").write_text(json.dumps(header))
    return folder


@pytest.mark.nightly
def test_2026_trains_200_batches_within_the_limit(true_store, tmp_path):
    """In a process that does nothing else, whose net is small: what is measured is the data's memory, not a net's."""
    assert (true_store / "features.bin").stat().st_size > 10 * 10**9
    command = [sys.executable, "-c", TRAIN, str(true_store), str(tmp_path / "run"), str(BATCHES)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    log = pd.read_csv(tmp_path / "run/log.csv")
    assert log["step"].tolist() == [BATCHES] and np.isfinite(log["loss"]).all()
    print(f"peak {found['peak_mb']:.0f} MB")
    assert found["peak_mb"] < LIMIT_MB
