"""What does not fit is one line that names the part, before any training."""

import dataclasses
import importlib
import re
import sys

import numpy as np
import pytest
import torch
from torch import nn

from kit.competition.metrics import Metric
from kit.data.features import Wave
from kit.data.store import pack
from kit.parts import Part
from kit.training.checkpoint import load_model
from kit.training.crossval import crossval
from kit.training.losses import BCE
from kit.training.trial import try_experiment


class Pool(nn.Module):
    """The last frame, of a width that says so; `wide` more are promised than there are."""

    def __init__(self, width, wide=0):
        super().__init__()
        self.out_width = width + wide

    def forward(self, frames, mask=None):
        return frames[:, -1]


class NoMask(Pool):
    def forward(self, frames):
        return frames[:, -1]


class Head(nn.Linear):
    def __init__(self, width, n_classes, extra=0):
        super().__init__(width, n_classes + extra)


class NoClasses(nn.Linear):
    def __init__(self, width):
        super().__init__(width, 6)


def by_row(logits, batch):
    return nn.functional.cross_entropy(logits, batch.target, reduction="none")


def failing(logits, batch):
    raise RuntimeError("no luck")


def no_number(target, probability):
    return float("nan")


def inverted(target, probability):
    return 1 / 0


def shorter(mel, mask, generator):
    return mel[:, 1:]


def doubled(mel, mask, generator):
    return mel.double()


@dataclasses.dataclass(frozen=True)
class Drawn:
    size: int = 1

    def draw(self, lengths, n_bins, generator):
        return torch.rand(len(lengths), generator=generator)

    def apply(self, mel, plan, mask):
        return mel[..., : -self.size]


def no_optimiser(groups):
    return groups


def negative(step, steps):
    return -0.5


def later_negative(step, steps):
    return 1 - 2 * step / steps


def no_share(step, steps):
    return "all of it"


def half_of_them(target, generator):
    return torch.arange(len(target) // 2)


def no_frames(wave):
    return wave


@dataclasses.dataclass(frozen=True)
class NoPlan:
    def draw(self, items, epoch, generator):
        return 0.5


@dataclasses.dataclass(frozen=True)
class Nothing:
    """A part that does nothing."""


@dataclasses.dataclass(frozen=True)
class ShortDraw:
    def draw(self, items):
        return None

    def apply(self, mel, plan, mask):
        return mel


@dataclasses.dataclass(frozen=True)
class OfWave:
    of_wave = True

    def __call__(self, wave):
        return wave


def alone(first):
    return first


FAULTS = {
    "loss of one argument": ({"loss": alone}, "loss alone must take (logits, batch), got (first)"),
    "schedule of one argument": ({"schedule": alone}, "schedule alone must take (step, steps), got (first)"),
    "sampler of one argument": ({"sampler": alone}, "sampler alone must take (target, generator), got (first)"),
    "optimiser of two arguments": ({"optimizer": negative}, "optimizer negative must take (groups), got (step, steps)"),
    "augmentation of one argument": ({"augment": (alone,)}, "augment alone must take (mel, mask, generator), got (f"),
    "augmentation of a wave alone": ({"augment": (OfWave(),)}, "augment OfWave must take (wave, seed), got (wave)"),
    "augmentation whose draw is a mixup's": (
        {"augment": (ShortDraw(),)}, "augment ShortDraw: draw must take (lengths, n_bins, generator), got (items)"
    ),
    "mixup of one argument": (
        {"mix": ShortDraw()}, "mix ShortDraw: draw must take (items, epoch, generator), got (items)"
    ),
    "loss that is no function": (
        {"loss": Nothing()}, "loss Nothing must be called with (logits, batch), got Nothing(), which can't be called"
    ),
    "prediction that is none": (
        {"predict": Nothing()}, "predict Nothing must have crop, pool, batch_frames, and lacks crop, pool, batch_frames"
    ),
    "pooling of another width": (
        {"net__pooling": Part(Pool, wide=3)}, "pooling Pool must give z (B, 19), got (2, 16) of 2 clips"
    ),
    "pooling without mask": ({"net__pooling": NoMask}, "pooling NoMask failed on frames "),
    "pooling without width": (
        {"net__pooling": nn.Flatten}, "pooling Flatten must have out_width, the width of z, of at least 1, got None"
    ),
    "head of more classes": (
        {"net__head": Part(Head, extra=2)}, "head Head must give logits (B, 6), got (2, 8) of 2 clips"
    ),
    "head of a wrong signature": (
        {"net__head": NoClasses}, "head NoClasses(width) is called with 2 values, then its arguments: too many"
    ),
    "loss by row": ({"loss": by_row}, "loss by_row: must give a scalar tensor, got (4,)"),
    "loss that fails": ({"loss": failing}, "loss failing: RuntimeError: no luck"),
    "loss for other labels": (
        {"loss": BCE()}, "loss must be CrossEntropy, or one of your own, for this competition's labels, got BCE"
    ),
    "metric of nan": ({"metric": Metric(no_number)}, "metric no_number must give one finite number, got nan"),
    "metric that fails": ({"metric": Metric(inverted)}, "metric inverted: ZeroDivisionError: "),
    "augmentation that cuts": (
        {"augment": (Part(shorter),)}, "shorter must give a mel of torch.float32 (4, 24, 40)"
    ),
    "augmentation of another dtype": ({"augment": (doubled,)}, "doubled must give a mel of torch.float32 (4, 24, 40)"),
    "augmentation with draw": ({"augment": (Drawn(2),)}, "Drawn must give a mel of torch.float32 (4, 24, 40)"),
    "optimiser that is none": (
        {"optimizer": no_optimiser}, "optimizer no_optimiser: must give a torch optimiser, got list"
    ),
    "schedule below 0": (
        {"schedule": negative}, "schedule negative: must give a finite share of the rate of at least 0, got -0.5"
    ),
    "schedule below 0 at its end": (
        {"schedule": later_negative}, "schedule later_negative: must give a finite share of the rate of at least 0, "
    ),
    "schedule of a text": ({"schedule": no_share}, "schedule no_share: must give a finite share of the rate"),
    "sampler of half": ({"sampler": half_of_them}, "half_of_them must give 48 rows' numbers from 0 to 47, got"),
    "mixup without a plan": ({"mix": NoPlan()}, "a plan of NoPlan must have place, mix, apply, target, to, repeated"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_part_that_does_not_fit_is_one_line_that_names_it(store, tiny, name):
    fields, message = FAULTS[name]
    state = torch.random.get_rng_state()
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        try_experiment(tiny.but(**fields), store, "accuracy")
    assert "\n" not in str(caught.value).split(", got")[0]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_front_end_that_gives_no_frames_is_named(voices, tiny, tmp_path):
    waves = pack(voices, tmp_path, kind="wave", progress=False)
    with pytest.raises(ValueError, match=r"front no_frames must give floats \(B, T, F\) of 2 waves, got torch.float32"):
        try_experiment(tiny.but(features=Wave(front=no_frames)), waves, "accuracy")


OWN = """
import torch
from torch import nn


class Pool(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.out_width = width

    def forward(self, frames, mask=None):
        return frames[:, -1]


class Head(nn.Linear):
    pass


def by_row(logits, batch):
    return nn.functional.cross_entropy(logits, batch.target, reduction="none")


def loss(logits, batch):
    return by_row(logits, batch).mean()


def front(wave):
    return wave.unfold(1, 400, 160).abs().mean(2, keepdim=True).expand(-1, -1, 7)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A reader's module of parts that fit."""
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_parts")
    del sys.modules["own_parts"]


def test_parts_that_fit_pass_and_leave_nothing(store, tiny, own):
    state = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    try_experiment(tiny.but(net__pooling=own.Pool, net__head=own.Head, loss=own.loss), store, "accuracy")
    try_experiment(tiny, store, "accuracy")
    assert torch.equal(torch.random.get_rng_state(), state[0])
    assert np.random.get_state()[1].tolist() == state[1]  # noqa: NPY002


def test_crossval_tries_before_any_fold_trains(voices, tiny, tmp_path, own):
    good, bad = tiny.but(name="good", loop__epochs=1), tiny.but(name="bad", loss=own.by_row)
    with pytest.raises(ValueError, match="^loss by_row: must give a scalar tensor"):
        crossval([good, bad], voices, tmp_path / "runs", cache=tmp_path, n_jobs=1, threads=1, progress=False)
    assert not list((tmp_path / "runs").glob("*/fold*"))


def test_own_parts_train_in_workers_and_load_again(voices, store, tiny, tmp_path, own):
    mine = tiny.but(name="own", net__pooling=own.Pool, net__head=own.Head, loss=own.loss, loop__epochs=1)
    front = tiny.but(name="front", features=Wave(front=own.front), loop__epochs=1)
    options = {"cache": tmp_path / "cache", "threads": 1, "progress": False}
    runs = crossval([mine, front], voices, tmp_path / "two", n_jobs=2, **options)
    assert [sorted(path.name for path in (run.folder / "sources").iterdir()) for run in runs] == [
        ["own_parts.py", "sources.json"]
    ] * 2
    (alone,) = crossval(mine, voices, tmp_path / "one", n_jobs=1, **options)
    assert alone.oof.equals(runs[0].oof) and alone.test.equals(runs[0].test)
    model, facts = load_model(runs[0].folder / "fold0/best.pt", trust=True)
    assert type(model.pooling).__name__ == "Pool" and facts["n_mels"] == 40
    assert load_model(runs[1].folder / "fold1/best.pt", trust=True)[1]["n_mels"] == 7
