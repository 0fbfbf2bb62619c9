"""A divided recording: all of its windows in one batch, each with what is known of it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from kit.data.boxes import BoxCrops
from kit.data.crops import Items
from kit.data.dataset import SpectrogramDataset, Training
from kit.data.division import ImageDivision
from kit.data.features import LogMel
from kit.data.negatives import SampledNegatives
from kit.data.store import pack
from kit.experiment import Experiment
from kit.models.net import Net
from kit.models.sed import ClassAttention
from kit.training.loader import train_loader
from kit.training.loop import Loop
from kit.training.losses import BCE

CPU = SimpleNamespace(device=torch.device("cpu"), process_index=0, num_processes=1)
MEL = LogMel(32000, 64, 0.04, 0.04, 300.0, 14000.0)


def items(*sizes):
    n = len(sizes)
    return Items(np.arange(n), np.arange(n) * 10_000, np.array(sizes), np.zeros(n, dtype=bool))


def test_the_sources_division_by_hand():
    """A minute is 3,751 frames: 8 windows of 512 that share at least 49, the last one ending with the recording."""
    cut = ImageDivision(overlap=49).crop(lambda frames: frames, 512).cut(items(3751, 400), None)
    assert cut.times == [8, 1] and cut.longest == 512
    assert cut.start.tolist() == [0, 463, 925, 1388, 1851, 2314, 2776, 3239, 10_000]  # of 3239 in seven steps
    assert cut.length.tolist() == [512] * 8 + [400]


def test_of_waves_the_overlap_is_in_samples():
    crop = ImageDivision(overlap=2).crop(lambda frames: 400 + 160 * (frames - 1), 10)
    assert (crop.segment, crop.overlap) == (400 + 160 * 9, 320)


@pytest.fixture(scope="module")
def forest(rainforest, tmp_path_factory):
    return pack(rainforest, tmp_path_factory.mktemp("cache"), MEL, progress=False)


@pytest.fixture(scope="module")
def base():
    return Experiment(
        features=MEL, crop_frames=64, net=Net(head=ClassAttention()), loss=BCE(), augment=(), loop=Loop(batch_size=2)
    )


def test_each_window_has_what_is_known_of_it(forest, base):
    rows = forest.rows("train")
    loader = train_loader(base.but(crops=ImageDivision(overlap=16)), forest, rows[2:], rows[:2], None, CPU)
    batch = next(iter(loader))
    one, two = batch.row[0].item(), batch.row[-1].item()
    starts = [0, 43, 86]  # 150 frames in windows of 64 that share 16 at least
    assert batch.row.tolist() == [one] * 3 + [two] * 3 and batch.mel.shape == (6, 64, 64)
    recording = forest.recording(one)
    for window, start in enumerate(starts):
        torch.testing.assert_close(batch.mel[window], recording[start : start + 64])
        known = loader.dataset.training.labels.known(np.array([one]), [False], np.array([start]), np.array([64]))[0]
        torch.testing.assert_close(batch.target[window : window + 1], known, equal_nan=True)


def test_windows_of_pseudo_labelled_recordings_are_told_apart(forest, base, tmp_path):
    """Both halves of a batch are the same recordings; the pseudo label is known in its own half's window alone."""
    rows = forest.rows("train")[:1]
    number = int(np.setdiff1d(np.arange(24), forest.boxes["number"][forest.boxes["row"] == rows[0]])[0])
    pseudo = pd.DataFrame({"row": rows, "number": number, "start": 120, "end": 130})
    crop = ImageDivision(overlap=16).crop(lambda frames: frames, 64)
    training = Training(0, labels=BoxCrops(forest, pseudo), n_real=1)
    batch = SpectrogramDataset(forest, [*rows, *rows], crop, training=training).__getitems__([0, 1])
    assert batch.target[:, number].isnan().tolist() == [True, True, True, True, True, False]
    assert batch.target[5, number] == 1


def test_crops_of_sampled_negatives_are_around_true_boxes_by_their_share(forest, base):
    rows = forest.rows("train")
    loader = train_loader(base.but(sampler=SampledNegatives(0)), forest, rows[2:], rows[:2], None, CPU)
    labels = loader.dataset.training.labels
    assert labels.true_share == 1
    drawn = torch.cat([batch.target for batch in loader])
    assert (drawn == 1).any(1).all(), "every crop has a call"
    assert train_loader(base, forest, rows[2:], rows[:2], None, CPU).dataset.training.labels.true_share == 0.5


def test_what_it_refuses(base):
    with pytest.raises(ValueError, match="overlap must be at least 0, got -1"):
        ImageDivision(-1)
    with pytest.raises(ValueError, match=r"overlap must be below crop_frames \(64\), got 64"):
        base.but(crops=ImageDivision(64))
