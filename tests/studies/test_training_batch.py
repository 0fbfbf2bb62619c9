"""The batch that is shown is the one that training sees, and the net's shapes are its own."""

import numpy as np
import pytest
import torch

from kit import SED, Mixup, Net, Statistics, Timm, Wave, preset
from kit.competition.metrics import METRICS
from kit.data.store import pack
from kit.studies import training_batch
from kit.training import fit as fitting
from kit.training.fold import fold_of_rows


@pytest.fixture(scope="module")
def store(voices, tmp_path_factory):
    return pack(voices, tmp_path_factory.mktemp("cache"), progress=False)


def test_the_first_batch_is_the_one_that_training_takes(store, tmp_path, monkeypatch):
    experiment = preset("tiny")
    shown, taken = training_batch.first_batch(experiment, store, fold=1), []
    step = fitting.TrainStep.__call__

    def spy(self, batch, *arguments, **options):
        taken.append((batch.mel.clone(), batch.row, batch.target))
        return step(self, batch, *arguments, **options)

    monkeypatch.setattr(fitting.TrainStep, "__call__", spy)
    folds, train = fold_of_rows(experiment, store), store.rows("train")
    short = experiment.but(loop__epochs=1)
    fitting.fit(
        short, store, train[folds != 1], train[folds == 1], tmp_path, metric=METRICS["accuracy"], progress=False
    )
    mel, row, target = taken[0]
    assert torch.equal(shown.mel, mel) and torch.equal(shown.row, row) and torch.equal(shown.target, target)
    assert not set(shown.row.tolist()) & set(train[folds == 1].tolist())


def test_masks_alone_differ_where_augmentation_is_left_out(store):
    experiment = preset("demo")
    masked, plain = (training_batch.first_batch(one, store) for one in (experiment, experiment.but(augment=())))
    assert torch.equal(masked.row, plain.row) and not torch.equal(masked.mel, plain.mel)
    assert (masked.mel == plain.mel).float().mean() > 0.5


def test_waves_are_shown_as_the_log_mels_that_are_made_of_them(voices, tmp_path):
    waves = pack(voices, tmp_path, kind="wave", progress=False)
    batch = training_batch.first_batch(preset("tiny").but(features=Wave(), mix=Mixup("input")), waves)
    assert batch.mel.shape[1:] == (24, 40)


@pytest.mark.parametrize("net", [None, Net(Timm("test_resnet"), SED()), Net(pooling=Statistics())])
def test_the_shapes_are_those_of_the_net_and_its_parameters_are_all_counted(store, net):
    experiment = preset("tiny") if net is None else preset("tiny").but(net=net)
    state = torch.random.get_rng_state()
    table = training_batch.net_shapes(experiment, store, torch.zeros(3, 24, 40)).set_index("stage")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert table.loc["log-mel", "comes out"] == "3 × 24 × 40" and table.loc["head", "comes out"] == "3 × 6"
    counts = [int(text.replace(",", "")) for text in table["parameters"].drop("all") if text]
    assert sum(counts) == int(table.loc["all", "parameters"].replace(",", ""))
    assert np.isin(["pooling", "hidden"], table.index).all()
