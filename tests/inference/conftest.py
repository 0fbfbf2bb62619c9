"""Small finished runs: on log-mel files, on sounds with faults, and on recordings with several labels."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from kit.competition.competition import open_competition
from kit.competition.folds import Folds
from kit.data.features import LogMel
from kit.data.store import pack
from kit.experiment import Experiment
from kit.inference.nets import fold_nets
from kit.inference.serving import FoldServing
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.training.crossval import crossval
from kit.training.loop import Loop
from kit.training.predict import Crops

RATE = 8000
MEL = LogMel(sample_rate_hz=RATE, n_mels=16, fmax_hz=4000.0)
NAMES = ("high", "low", "mid")
PITCH = {"high": 1900.0, "low": 300.0, "mid": 900.0, "new": 2500.0}


def write_tone(path, name, seed, seconds=0.6):
    generator = np.random.default_rng(seed)
    time = np.arange(int(RATE * seconds * generator.uniform(0.7, 1.0))) / RATE
    wave = 0.3 * np.sin(2 * np.pi * PITCH[name] * generator.uniform(0.95, 1.05) * time)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave + generator.normal(0, 0.02, len(time)), RATE, subtype="PCM_16")


def write_sounds(folder, n_train, test, names=NAMES):
    """A plain table: n_train tones of each class, and a test tone for each of `test`, (file, class, seed)."""
    rows = [(f"{name}{number}.wav", name, number) for name in names for number in range(n_train)]
    for file, name, seed in rows:
        write_tone(folder / "train" / file, name, seed)
    for file, name, seed in test:
        write_tone(folder / "test" / file, name, 100 + seed)
    pd.DataFrame([row[:2] for row in rows], columns=["file", "label"]).to_csv(folder / "train.csv", index=False)
    sample = pd.DataFrame({"file": [file for file, _, _ in test], "label": names[0]})
    sample.to_csv(folder / "sample_submission.csv", index=False)
    return folder


TEST = [(f"t{number}.wav", NAMES[number % 3], number) for number in range(20)]


@pytest.fixture(scope="session")
def sounds_folder(tmp_path_factory):
    """20 test files, of which one is empty and one is noise that no decoder takes."""
    folder = write_sounds(tmp_path_factory.mktemp("data") / "sounds", 6, TEST)
    (folder / "test/t3.wav").write_bytes(b"")
    (folder / "test/t8.wav").write_bytes(b"RIFFnot a sound at all")
    return folder


@pytest.fixture(scope="session")
def sounds(sounds_folder):
    return open_competition(sounds_folder)


def experiment(name="a", **changes):
    net = Net(Conformer(width=8, layers=1, heads=2, ff_width=16, kernel_size=3))
    base = Experiment(
        name=name, folds=Folds(2), crop_frames=16, features=MEL, augment=(), net=net, predict=Crops(3),
        loop=Loop(epochs=1, batch_size=8),
    )  # fmt: skip
    return base.but(**changes)


def train(one, competition, out, **options):
    with pytest.warns(UserWarning, match="test recordings got the class priors"):
        (run,) = crossval(one, competition, out / "runs", cache=out / "cache", n_jobs=1, threads=1, progress=False,
                          **options)  # fmt: skip
    return run


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def run_a(sounds, work):
    return train(experiment(), sounds, work)


@pytest.fixture(scope="session")
def run_b(sounds, work):
    return train(experiment("b", seed=1, net__backbone__width=16), sounds, work)


@pytest.fixture
def fold(run_a, sounds, work):
    return FoldServing(fold_nets(run_a, [0])[0], pack(sounds, work / "cache", MEL, progress=False), n_rows=12)
