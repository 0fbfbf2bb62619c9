from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kit.competition.folds import Folds, make_folds
from kit.data.store import pack
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.heads import AMSoftmax
from kit.models.net import Net
from kit.models.pooling import SelfAttention
from kit.training.loop import Loop
from kit.training.optim import AdamW
from kit.training.schedules import WarmupCosine


@pytest.fixture(scope="session")
def store(voices, tmp_path_factory):
    return pack(voices, tmp_path_factory.mktemp("cache"), progress=False)


@pytest.fixture(scope="session")
def rows(store):
    """The store's training rows without fold 0 of two, and those of it."""
    train = store.rows("train")
    folds = make_folds(store.index.iloc[train], 2)
    return train[folds != 0], train[folds == 0]


@pytest.fixture(scope="session")
def meta():
    """An Accelerator of "meta", a device of every machine that is not the CPU, and whose tensors hold no values."""
    return SimpleNamespace(
        device=torch.device("meta"), process_index=0, num_processes=1, scaler=None, autocast=nullcontext,
        backward=torch.Tensor.backward, clip_grad_norm_=nn.utils.clip_grad_norm_,
    )  # fmt: skip


@pytest.fixture
def tiny():
    """A Conformer that trains in a second or two on the small demo."""
    conformer = Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5)
    return Experiment(
        name="tiny", folds=Folds(2), crop_frames=24, net=Net(conformer, SelfAttention(), AMSoftmax(warmup_steps=6)),
        optimizer=AdamW(lr=5e-3), schedule=WarmupCosine(4), loop=Loop(epochs=3, batch_size=8),
    )  # fmt: skip
