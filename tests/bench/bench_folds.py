"""Folds in parallel: four folds of a small Conformer on voices, one after another and side by side."""

import os

import pytest

from kit.competition.competition import open_competition
from kit.competition.folds import Folds
from kit.data.store import pack
from kit.demos.demo import make_voices
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.training.crossval import crossval
from kit.training.loop import Loop
from kit.training.schedules import WarmupCosine
from tests.bench.turns import Bound

SMALL = Experiment(
    name="small", folds=Folds(4), crop_frames=64, schedule=WarmupCosine(10),
    net=Net(Conformer(width=64, layers=2, heads=2, ff_width=128, kernel_size=15)),
    loop=Loop(epochs=2, epoch_steps=30, batch_size=16),
)  # fmt: skip


@pytest.fixture(scope="module")
def competition(tmp_path_factory):
    folder = make_voices(tmp_path_factory.mktemp("data") / "voices", n_speakers=6, n_train=8, n_test=2, seed=0)
    return open_competition(folder)


def folds(competition, tmp_path_factory, n_jobs: int):
    cache = tmp_path_factory.mktemp("cache")
    pack(competition, cache, progress=False)

    def once():
        out = tmp_path_factory.mktemp("runs")
        crossval(SMALL, competition, out, cache=cache, n_jobs=n_jobs, threads=1, progress=False)

    return once


@pytest.mark.benchmark(group="four folds, two at a time on a thread each")
def test_folds(turns, competition, tmp_path_factory):
    serial = folds(competition, tmp_path_factory, 1)
    cores = min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    bound = Bound("the cores: two folds at a time", serial, 1 / cores)
    turns(folds(competition, tmp_path_factory, 2), bound, serial=serial, turns=2)
