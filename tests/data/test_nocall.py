"""Noise from rows without a call: which rows, how loud, and never a row that is held out."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from kit.data.features import LogMel, Wave
from kit.data.nocall import NoCallNoise, nocall_rows
from kit.data.store import Store
from kit.data.wave_augment import WaveAugment
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.training.loader import train_loader
from kit.training.loop import Loop
from kit.training.losses import BCE, CrossEntropy

RATE, SIZE = 16_000, 400
LABELS = ["x -*", "-*", "?x -*", "-*", "", "x y", "-*"]  # rows 1, 3 and 6 are known to have none; 6 has no samples
SIZES = [SIZE] * 6 + [0]
OFF = {"snr_db": None, "gain_db": None, "pitch_semitones": None, "stretch_rate": None}


@pytest.fixture
def store(tmp_path):
    """Waves whose samples are all the row's number, in hundreds of the steps of 16 bits."""
    index = pd.DataFrame({"id": list("abcdefg"), "split": "train", "label": LABELS, "target": -1, "frames": SIZES})
    index["start"] = np.cumsum([0, *SIZES[:-1]])
    waves = torch.arange(6).repeat_interleave(SIZE)[:, None].short() * 100
    return Store(tmp_path, waves, index, "wave", ("x", "y"), LogMel(RATE, 8), "multi")


def test_rows_without_a_call_are_those_known_to_have_no_class(store):
    assert nocall_rows(store, range(7)).tolist() == [1, 3]
    assert nocall_rows(store, [5, 3, 0]).tolist() == [3]
    assert nocall_rows(store, [0, 2]).tolist() == []


def test_noise_has_the_ratio_that_is_asked_for(store):
    """Twenty decibels below a wave of 0.5 is a tenth of it: 0.05, whatever the row's own level."""
    wave = np.full(300, 0.5, np.float32)
    heard = NoCallNoise(store, [1, 3], (20.0, 20.0), 1.0)(wave, RATE)
    assert heard.dtype == np.float32 and heard == pytest.approx(np.full(300, 0.55), rel=1e-6)
    assert (wave == 0.5).all(), "the input is kept"


def test_a_short_row_is_repeated_and_a_long_one_cut(store):
    ramp = np.arange(SIZE, dtype=np.int16)[:, None]
    store.features[SIZE : 2 * SIZE] = torch.from_numpy(ramp)
    noise = NoCallNoise(store, [1], (0.0, 0.0), 1.0)
    long, short = noise._drawn(SIZE + 50) * 32767, noise._drawn(10) * 32767
    assert long == pytest.approx(np.r_[ramp[:, 0], ramp[:50, 0]], abs=1e-3)
    assert np.diff(short) == pytest.approx(np.ones(9), abs=1e-3), "a stretch of the row"
    starts = {round(noise._drawn(SIZE - 2)[0] * 32767) for _ in range(100)}
    assert starts == {0, 1, 2}, "each place in it"


def test_rows_are_drawn_alike_and_as_often_as_asked(store):
    random.seed(0)
    noise, wave = NoCallNoise(store, [1, 3], (0.0, 0.0), 0.5), np.full(10, 0.5, np.float32)
    drawn = np.array([noise._drawn(10)[0] for _ in range(1000)])
    assert (drawn < 200 / 32767).mean() == pytest.approx(0.5, abs=0.06)  # sd 0.016
    heard = np.mean([(noise(wave, RATE) != wave).any() for _ in range(1000)])
    assert heard == pytest.approx(0.5, abs=0.06)


def test_silence_has_no_level_to_be_set_by(store):
    quiet = np.zeros(10, np.float32)
    assert (NoCallNoise(store, [1], (0.0, 0.0), 1.0)(quiet, RATE) == 0).all()
    store.features[:] = 0
    wave = np.full(10, 0.5, np.float32)
    assert (NoCallNoise(store, [1], (0.0, 0.0), 1.0)(wave, RATE) == wave).all()


def test_the_same_seed_gives_the_same_noise(store):
    part = WaveAugment(**OFF, nocall=True, probability=1.0)
    steps = part.make(Wave(store.mel)).with_rows(store, [1, 3])
    wave = np.full(100, 0.5, np.float32)
    assert np.array_equal(steps(wave, (0, 1)), steps(wave, (0, 1)))
    assert len({float(steps(wave, (0, seed))[0]) for seed in range(5)}) == 5
    state = random.getstate()
    steps(wave, 3)
    assert random.getstate() == state


def loader_of(store, rows, held_out):
    experiment = Experiment(
        features=Wave(store.mel), crop_frames=1, augment=(WaveAugment(**OFF, nocall=True, probability=1.0),),
        net=Net(Conformer(width=8, layers=1, heads=1, ff_width=8, kernel_size=3)), loss=BCE(),
        loop=Loop(epochs=1, epoch_steps=1, batch_size=2),
    )  # fmt: skip
    return train_loader(experiment, store, rows, held_out, None, Accelerator(cpu=True))


def test_a_fold_never_hears_its_held_out_rows(store):
    """Row 3, which has no call, is held out: of the training rows 1 alone is left, and is all the noise there is."""
    ((_, worker),) = loader_of(store, [0, 1, 5], [3]).dataset.training.augment.of_waves
    assert worker.noise.rows.tolist() == [1]
    ((_, worker),) = loader_of(store, [0, 3, 5], [1]).dataset.training.augment.of_waves
    assert worker.noise.rows.tolist() == [3]


def test_noise_that_can_not_be_is_told(store):
    with pytest.raises(ValueError, match="nocall must be False where no training row is known to have no class, got 2"):
        NoCallNoise(store, [0, 2], (3.0, 30.0), 0.5)
    steps = WaveAugment(**OFF, nocall=True).make(Wave(store.mel))
    with pytest.raises(ValueError, match="nocall must be False where no store's rows are given"):
        steps(np.full(10, 0.5, np.float32), 0)
    with pytest.raises(ValueError, match="loss must be for several labels a row, .* with nocall, got CrossEntropy"):
        Experiment(features=Wave(), augment=(WaveAugment(nocall=True),), loss=CrossEntropy())
