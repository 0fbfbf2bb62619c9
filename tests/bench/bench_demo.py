"""Where the time of a fold of the demo goes: two epochs of its Conformer with AM-softmax."""

import time

import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.competition.folds import make_folds
from kit.data.dataset import SpectrogramDataset
from kit.data.store import pack
from kit.demos.demo import make_voices
from kit.models.heads import AMSoftmax
from kit.models.pooling import SelfAttention
from kit.presets import preset
from kit.training import fit as fitting
from kit.training.step import TrainStep

PARTS = {
    "updates": (TrainStep, "__call__"),
    "predictions": (fitting, "predict"),
    "training batches": (SpectrogramDataset, "__getitems__"),
    "checkpoints": (fitting, "save_checkpoint"),
}


def watch(monkeypatch, owner, name: str, spent: dict, part: str) -> None:
    plain = getattr(owner, name)

    def timed(*args, **kwargs):
        began = time.perf_counter()
        try:
            return plain(*args, **kwargs)
        finally:
            if getattr(args[0], "training", True) is not None:  # a prediction's batches are the prediction's
                spent[part].append(time.perf_counter() - began)

    monkeypatch.setattr(owner, name, timed)


@pytest.mark.benchmark(group=f"a fold of the demo, {2 * preset('demo').loop.epoch_steps} updates and two validations")
def test_demo_fold(benchmark, tmp_path, monkeypatch):
    competition = open_competition(make_voices(tmp_path / "voices"))
    store = pack(competition, tmp_path / "cache", progress=False)
    experiment = preset("demo").but(net__pooling=SelfAttention(), net__head=AMSoftmax(), loop__epochs=2)
    train = store.rows("train")
    held_out = make_folds(store.index.iloc[train], experiment.folds.n) == 0
    folders = iter(range(100))

    def once():
        folder = tmp_path / f"run{next(folders)}"
        fitting.fit(experiment, store, train[~held_out], train[held_out], folder, progress=False)

    once()
    spent = {part: [] for part in PARTS}
    for part, (owner, name) in PARTS.items():
        watch(monkeypatch, owner, name, spent, part)
    benchmark.pedantic(once, rounds=3)
    whole = np.sum(benchmark.stats.stats.data)
    for part, seconds in spent.items():
        benchmark.extra_info[f"{part} (%)"] = round(100 * sum(seconds) / whole)
    benchmark.extra_info["bounded by"] = "matrix products: updates and predictions are compute"
