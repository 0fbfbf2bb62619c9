"""Shift averaging by hand, and as a run is predicted once more by it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from kit.competition.metrics import METRICS
from kit.data.batch import Batch
from kit.data.store import pack
from kit.experiment import Experiment
from kit.inference.clock import lighter_ways
from kit.results.compare import difference
from kit.training.checkpoint import load_model
from kit.training.crossval import crossval
from kit.training.predict import Crops, WholeClip, predict, probability_of
from kit.training.repredict import repredicted
from kit.training.shifts import ShiftAverage, rolled
from kit.training.views import LPCViews


def test_a_clip_is_rolled_within_what_is_valid():
    mel = torch.arange(5.0).view(1, 5, 1).repeat(2, 1, 2)
    assert rolled(mel, None, 2)[0, :, 0].tolist() == [3, 4, 0, 1, 2]
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    found = rolled(mel, mask, 1)
    assert found[0, :, 0].tolist() == [4, 0, 1, 2, 3] and found[1, :, 1].tolist() == [2, 0, 1, 3, 4]
    assert rolled(mel, mask, -4)[1, :, 0].tolist() == [1, 2, 0, 3, 4], "further than it is long"
    assert torch.equal(rolled(mel, mask, 0), mel) and mel[0, :, 0].tolist() == [0, 1, 2, 3, 4]


def test_the_mean_over_shifts_by_hand():
    """A net that gives sigmoid of a clip's first frame: of frames 0, ln 3, rolled by 0 and by 1, ½ and ¾, 3 to 1."""
    mel = torch.tensor([0.0, np.log(3)]).view(1, 2, 1)
    batch = Batch(mel, None, torch.zeros(1), torch.zeros(1))
    experiment = Experiment(predict=ShiftAverage((0, 1), (3.0, 1.0)))
    net = lambda mel, mask: (mel[:, 0], None)  # noqa: E731
    assert probability_of(net, "multi", experiment)(batch).item() == pytest.approx((3 * 0.5 + 0.75) / 4)
    once = probability_of(net, "multi", Experiment())(batch)
    assert probability_of(net, "multi", Experiment(predict=ShiftAverage((0,), (5.0,))))(batch) == once


def test_bad_shifts_are_refused():
    for shifts in ((), (0.5,), (True,)):
        with pytest.raises(ValueError, match="shifts must be at least one whole number of frames, got"):
            ShiftAverage(shifts)
    for weights in ((1.0,), (1.0, 0.0, 1.0), (1, 2, "a")):
        with pytest.raises(ValueError, match="weights must be 3 numbers above 0, got"):
            ShiftAverage(weights=weights)
    with pytest.raises(ValueError, match="views must be None with ShiftAverage, got LPCViews"):
        ShiftAverage().check_with(SimpleNamespace(views=LPCViews()))


def test_with_too_little_time_shifts_go_first():
    way = ShiftAverage(way=Crops(2))
    assert lighter_ways(way) == [way, Crops(2), Crops(1)]


def test_a_run_is_predicted_once_more(voices, tiny, tmp_path):
    """By its own way it is as it was; by another one its rows are what each fold's net gives by that."""
    small = tiny.but(loop__epochs=1)
    run = crossval(small, voices, tmp_path / "runs", cache=tmp_path / "cache", n_jobs=1, threads=1, progress=False)[0]
    store = pack(voices, tmp_path / "cache", progress=False)
    again, test = repredicted(run, store, WholeClip())
    assert (again.name, again.experiment["name"], again.folder) == ("tiny-s0-WholeClip", "tiny-WholeClip", None)
    np.testing.assert_allclose(again.probability, run.probability, atol=1e-6)  # of threads and of float32's order
    np.testing.assert_allclose(test[run.classes].to_numpy(), run.test[run.classes].to_numpy(), atol=1e-6)
    pd.testing.assert_frame_equal(again.oof[["id", "fold", "label"]], run.oof[["id", "fold", "label"]])
    shifted, _ = repredicted(run, store, ShiftAverage((-5, 5), (1.0, 1.0)))
    assert not np.allclose(shifted.probability, run.probability, atol=1e-4)
    assert difference(shifted, run, METRICS["log_loss"]).delta != 0
    model, _ = load_model(run.folder / "fold1/best.pt")
    mine = (run.oof["fold"] == 1).to_numpy()
    rows = pd.Series(np.arange(len(store.index)), index=store.index["id"]).loc[run.oof.loc[mine, "id"]].to_numpy()
    expected = predict(model, store, rows, small.but(predict=ShiftAverage((-5, 5), (1.0, 1.0))), Accelerator())
    np.testing.assert_allclose(shifted.probability[mine], expected, atol=1e-6)
    folder = tmp_path / "other"
    other = SimpleNamespace(index=store.index, classes=store.classes, folder=folder, holds=lambda name: name == "other")
    with pytest.raises(ValueError, match=r"fold0: was trained on other data \(store .*, not other\)"):
        repredicted(run, other, WholeClip())
