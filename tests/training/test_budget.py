"""Minutes of training: where it stops, and that what goes on afterwards is what never stopped, bit for bit."""

import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from kit.data.mixup import Mixup
from kit.experiment import changes
from kit.results.compare import cv_table
from kit.results.record import record
from kit.training import budget as budget_module
from kit.training.budget import Budget
from kit.training.crossval import crossval
from kit.training.loop import Loop

ALONE = SimpleNamespace(num_processes=1)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set forward, in seconds."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(budget_module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_an_epoch_begins_only_where_it_would_end_in_time(clock):
    """Of two minutes, with epochs of 30 s and 50 s: a third would end at 130 s at worst; the first always may begin."""
    budget, allowed = Budget(2.0), []
    for seconds in (30, 50):
        allowed.append(budget.allows(ALONE))
        clock.seconds += seconds
        budget.epoch_ended()
    assert allowed == [True, True] and not budget.allows(ALONE)
    clock.seconds = 70.0  # 50 s before the end
    assert budget.allows(ALONE)


def test_without_minutes_there_is_no_end_and_the_first_epoch_may_take_its_time(clock):
    for minutes, then in ((0.0, True), (1.0, False)):
        budget = Budget(minutes)
        clock.seconds += 3600
        assert budget.allows(ALONE)
        clock.seconds += 3600
        budget.epoch_ended()
        assert budget.allows(ALONE) is then


def test_minutes_are_no_other_experiment(tiny):
    assert changes(tiny.to_dict(), tiny.but(loop__minutes=30.0).to_dict()) == {}
    older = tiny.to_dict()
    del older["loop"]["minutes"]  # as a run of a kit that knew none has it
    assert changes(older, tiny.to_dict()) == {}
    assert changes(tiny.to_dict(), tiny.but(loop__minutes=30.0, loop__epochs=9).to_dict()) == {"loop__epochs": (3, 9)}
    with pytest.raises(ValueError, match="^minutes must be at least 0, got -1$"):
        Loop(minutes=-1)


@pytest.fixture
def short(tiny):
    """Three epochs, each longer than its minutes; with what must be carried over: moving averages, a mixup, a mean."""
    return tiny.but(loop__minutes=1e-6, loop__ema_decay=0.9, loop__average_best=2, mix=Mixup("input"))


def pieces(path):
    """What a fold's checkpoint holds, but what it was asked."""
    saved = torch.load(path, weights_only=True)
    saved.pop("experiment")
    return saved


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def go(experiment, voices, tmp_path, out):
    return crossval(
        experiment, voices, tmp_path / out, folds=[0], cache=tmp_path / "cache", n_jobs=1, threads=1, progress=False
    )[0]


def test_a_training_that_stopped_twice_and_went_on_twice_has_the_bits_of_one_that_ran_through(short, voices, tmp_path):
    """Twice elsewhere: the folder is copied, as the output of a kernel that the next one has as its input."""
    whole = go(short.but(loop__minutes=0.0), voices, tmp_path, "whole")
    for number in (1, 2):
        told = (
            rf"unfinished as its minutes were over, fold 0 after {number} of 3 epochs; its predictions are of the best"
        )
        with pytest.warns(UserWarning, match=told):
            run = go(short.but(loop__minutes=number * 1e-6), voices, tmp_path, str(number))
        assert run.metrics["unfinished"] == {"0": number} and not (run.folder / "fold0/metrics.json").exists()
        assert run.title == f"{short.name} ({number} of 3 epochs)" == cv_table([run])["name"][0]
        shutil.copytree(tmp_path / str(number), tmp_path / str(number + 1))
    run = go(short, voices, tmp_path, "3")
    assert "unfinished" not in run.metrics and not (run.folder / "fold0/so_far.json").exists()
    assert run.title == short.name == cv_table([run])["name"][0]
    for name in ("oof.parquet", "test.parquet", "fold0/oof.parquet", "fold0/test.parquet", "fold0/log.csv"):
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    for name in ("best.pt", "last.pt"):
        assert same(pieces(run.folder / "fold0" / name), pieces(whole.folder / "fold0" / name)), name
    assert {**run.metrics, "minutes": 0} == {**whole.metrics, "minutes": 0}


@pytest.mark.filterwarnings("ignore:.*in every row")
def test_what_stopped_can_be_submitted_and_says_its_minutes(short, voices, tmp_path):
    with pytest.warns(UserWarning, match="unfinished"):
        run = go(short, voices, tmp_path, "runs")
    row = record(run, voices, tmp_path / "submissions")
    assert len(pd.read_csv(row["file"])) == len(voices.test)
    so_far = json.loads((run.folder / "fold0/so_far.json").read_text())
    assert so_far["epochs"] == 1 and so_far["minutes"] > 0
    with pytest.warns(UserWarning, match="after 2 of 3"):
        go(short.but(loop__minutes=2e-6), voices, tmp_path, "runs")
    assert json.loads((run.folder / "fold0/so_far.json").read_text())["minutes"] > so_far["minutes"]
    assert json.loads((run.folder / "experiment.json").read_text())["loop"]["minutes"] == 2e-6
    fresh = short.but(loop__minutes=0.0)
    again = crossval(fresh, voices, tmp_path / "runs", folds=[0], cache=tmp_path / "cache", n_jobs=1, threads=1,
                     progress=False, fresh=True)[0]  # fmt: skip
    assert "unfinished" not in again.metrics and not (run.folder / "fold0/so_far.json").exists()
