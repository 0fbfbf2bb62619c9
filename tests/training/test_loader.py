from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from kit.data.mixup import MixDrawer
from kit.data.samplers import SourceShare
from kit.experiment import Experiment
from kit.parts import Part
from kit.training.loader import known_targets, train_loader
from kit.training.loop import Loop


def tensors(batch):
    plan = batch.plan
    return {"mel": batch.mel, "mask": batch.mask, "target": batch.target, "lam": plan.lam, "perm": plan.perm}


def test_batches_of_workers_are_served_on_the_cpu_and_moved(store, meta):
    """A process that is forked can't use the GPU of its parent."""
    experiment = Experiment(crop_frames=150, loop=Loop(batch_size=8, workers=2))
    rows, mixup = store.rows("train"), MixDrawer(("input",))
    batches = list(train_loader(experiment, store, rows[8:], rows[:8], mixup, meta))
    assert len(batches) == 5 and any(batch.mask is not None for batch in batches)
    for batch in batches:
        moved = batch.to(meta.device)
        for name, value in tensors(batch).items():
            assert value is tensors(moved)[name] is None or (value.is_cpu and tensors(moved)[name].is_meta), name
        assert moved.row is batch.row and moved.weight is None and moved.plan.place == "input"


def test_batches_of_this_process_are_served_on_the_device(store, meta):
    """Read from disk and moved there, too, where a GPU can't hold the store."""
    experiment = Experiment(crop_frames=150, loop=Loop(batch_size=8))
    rows = store.rows("train")
    loader = train_loader(experiment, store, rows[8:], rows[:8], MixDrawer(("input",)), meta)
    assert loader.dataset.reader.features is None
    for batch in loader:
        assert all(value is None or value.is_meta for value in tensors(batch).values()) and batch.row.is_cpu


def test_a_sampler_orders_the_passes(store, meta):
    rows = store.rows("train")
    experiment = Experiment(crop_frames=32, sampler=Part(backwards), loop=Loop(batch_size=8), augment=(add_one,))
    loader = train_loader(experiment, store, rows[8:], rows[:8], None, cpu(meta))
    batches = list(loader)
    assert [row for batch in batches for row in batch.row.tolist()] == rows[8:][::-1].tolist()
    plain = train_loader(experiment.but(augment=()), store, rows[8:], rows[:8], None, cpu(meta))
    assert all(torch.equal(one.mel, two.mel + 1) for one, two in zip(batches, plain, strict=True))


def test_a_sampler_that_must_know_the_rows_is_given_them(store, meta):
    """Half of each pass are the four rows of a source of their own."""
    rows = store.rows("train")
    source = np.where(np.isin(np.arange(len(store.index)), rows[-4:]), "soundscape", "clip")
    told = replace(store, index=store.index.assign(source=source))
    experiment = Experiment(crop_frames=32, sampler=SourceShare("soundscape", 0.5), loop=Loop(batch_size=8))
    drawn = torch.cat([batch.row for batch in train_loader(experiment, told, rows[8:], rows[:8], None, cpu(meta))])
    assert torch.isin(drawn, torch.from_numpy(rows[-4:])).double().mean() == 0.5 and len(drawn) == 40


def backwards(target, generator):
    return torch.arange(len(target)).flip(0)


def add_one(mel, mask, generator):
    return mel + 1


def cpu(meta):
    return SimpleNamespace(**{**vars(meta), "device": torch.device("cpu")})


def test_targets_as_samplers_see_them():
    several = SimpleNamespace(targets=lambda rows: np.array([[1, 0, -1]], np.int8))
    torch.testing.assert_close(known_targets(several, [0]), torch.tensor([[1.0, 0.0, float("nan")]]), equal_nan=True)
    single = SimpleNamespace(targets=lambda rows: np.array([4, -1]))
    assert known_targets(single, [0, 1]).tolist() == [4, -1]
