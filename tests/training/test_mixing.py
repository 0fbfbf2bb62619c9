"""Mixtures in the training loop: of each place, of one's own, in their epochs."""

from dataclasses import dataclass

import pandas as pd
import pytest
import torch

from kit.competition.folds import make_folds
from kit.data.features import Wave
from kit.data.mix_plan import MixPlan
from kit.data.mixup import Mixup
from kit.data.store import pack
from kit.training.fit import fit


@dataclass(frozen=True)
class Swap:
    """One's own mixup: every batch in its reverse order."""

    def draw(self, items, epoch, generator):
        return MixPlan(torch.tensor(0.0), torch.arange(items).flip(0), "input")


class TestTraining:
    @pytest.fixture
    def rows(self, store):
        train = store.rows("train")
        folds = make_folds(store.index.iloc[train], 2)
        return train[folds != 0], train[folds == 0]

    @pytest.mark.parametrize("mix", [Mixup("input"), Mixup(places=("input", "layer1")), Mixup("last_layer"),
                                     Mixup("embedding"), Swap()])  # fmt: skip
    def test_every_mode_trains(self, store, rows, tiny, tmp_path, mix):
        fit(tiny.but(loop__epochs=1, mix=mix), store, *rows, tmp_path, progress=False)
        log = pd.read_csv(tmp_path / "log.csv")
        assert log["loss"].between(0, 40).all() and log["train_accuracy"].between(0, 1).all()

    def test_waves_train_too(self, voices, rows, tiny, tmp_path):
        waves = pack(voices, tmp_path / "cache", kind="wave", progress=False)
        fit(tiny.but(loop__epochs=1, features=Wave(), mix=Mixup("wave")), waves, *rows, tmp_path, progress=False)
        assert pd.read_csv(tmp_path / "log.csv")["loss"].between(0, 40).all()

    def test_outside_the_window_a_run_is_the_unmixed_one(self, store, rows, tiny, tmp_path):
        logs = []
        for name, mix in {"none": None, "late": Mixup("input", from_epoch=2)}.items():
            fit(tiny.but(loop__epochs=2, mix=mix), store, *rows, tmp_path / name, progress=False)
            logs.append(pd.read_csv(tmp_path / name / "log.csv"))
        assert logs[0].iloc[0].equals(logs[1].iloc[0])
        assert logs[0]["loss"][1] != logs[1]["loss"][1]

    def test_a_misspelt_place_stops_before_training(self, store, rows, tiny, tmp_path):
        with pytest.raises(ValueError, match="places must be among input, stem, layer1, final, embedding"):
            fit(tiny.but(mix=Mixup(places=("layer7",))), store, *rows, tmp_path, progress=False)
        assert not (tmp_path / "log.csv").exists()
