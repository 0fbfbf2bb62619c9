from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kit.data.store import pack
from kit.training.config import Config


@pytest.fixture(scope="session")
def store(voices, tmp_path_factory):
    return pack(voices, tmp_path_factory.mktemp("cache"), progress=False)


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
    return Config(
        name="tiny", segment_frames=24, width=16, layers=1, heads=2, ff_width=32, kernel_size=5, pooling="attention",
        head="am_softmax", epochs=3, batch_size=8, warmup_steps=4, margin_warmup_steps=6, n_folds=2, lr=5e-3,
    )  # fmt: skip
