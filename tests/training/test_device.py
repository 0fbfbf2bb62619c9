"""A training step on "meta", a device of every machine that is not the CPU, and whose tensors hold no values.

What mixes devices, or reads a value, which makes the host wait for a GPU, raises there; and a step that takes anything
from the CPU can't be recorded as a CUDA graph.
"""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kit.competition.competition import open_competition
from kit.data.mixup import build_mixup
from kit.data.store import pack
from kit.demos.digits import make_digits
from kit.models.build import build_model
from kit.training.config import Config
from kit.training.loader import train_loader
from kit.training.step import TrainStep

TINY = {
    "segment_frames": 24, "width": 16, "layers": 1, "heads": 2, "ff_width": 32, "kernel_size": 5, "batch_size": 8,
    "head": "am_softmax", "pooling": "attention", "margin_warmup_steps": 3,
}  # fmt: skip
VOICES = {
    "plain": {},
    "short utterances": {"segment_frames": 150},
    "input mixup, by row": {"mix": "input", "mix_per_row": True},
    "manifold mixup": {"mix": "manifold", "mix_places": ("stem", "layer1")},
    "last-layer mixup": {"mix": "last_layer"},
    "lpc": {"mix": "lpc", "lpc_order": 8, "lpc_shuffled": 0.5},
    "timm": {"backbone": "timm", "timm_name": "test_resnet"},
    "transformer": {"backbone": "transformer"},
    "linear head": {"head": "linear", "pooling": "mean"},
    "cosine head": {"head": "cosine", "pooling": "statistics", "mask_fill": "floor"},
    "generalised mean": {"pooling": "gem"},
    "waves": {"features": "wave", "segment_frames": 150},
    "mixed waves": {"features": "wave", "mix": "wave"},
    "lpc of waves": {"features": "wave", "mix": "lpc", "lpc_order": 8},
}
RAINFOREST = {
    "segment_frames": 64, "backbone": "timm", "timm_name": "test_byobnet", "timm_frequency": "stack", "head": "sed",
    "loss": "focal", "batch_size": 4, "label_smoothing": 0.1, "positive_weight": 2.0, "positive_decay": 0.5,
}  # fmt: skip
SPECIES = {
    "one label of several": {},
    "binary cross-entropy": {"loss": "bce", "head": "linear", "pooling": "sed"},
    "last-layer mixup": {"mix": "last_layer"},
    "manifold mixup": {"mix": "manifold"},
}


class Moves(TorchDispatchMode):
    """What is done with a tensor of the CPU and one of the device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        devices = {leaf.device.type for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, torch.Tensor)}
        if len(devices) > 1:
            self.found.append(function)
        return out


def check_steps(config, competition, cache, meta):
    store = pack(competition, cache, config.mel, config.features, progress=False)
    raw = build_model(config, len(store.classes), store.n_mels).to("meta")
    step = TrainStep(config, raw, raw, torch.optim.SGD(raw.parameters(), config.lr), meta)
    rows, mixup = store.rows("train"), build_mixup(config, raw.stage_names, store.kind)
    loader = train_loader(config, store, rows[8:], rows[:8], mixup, meta)
    for number, batch in enumerate(loader):
        with Moves() as moves:
            loss, right = step(batch, number, config.lr)
        # Shuffled views are drawn on the CPU within the step, which is why such steps are not recorded as a graph.
        assert moves.found == ([torch.ops.aten._to_copy.default] if config.mix == "lpc" and config.lpc_shuffled else [])
        step.optimizer.zero_grad()
        assert loss.is_meta and right.is_meta
    assert number == len(loader) - 1 > 0


@pytest.fixture(autouse=True)
def without_autocast(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no "meta"


@pytest.mark.parametrize("name", VOICES)
def test_a_step_stays_on_its_device_and_reads_nothing(voices, shared_cache, meta, name):
    check_steps(Config(name="a", **{**TINY, **VOICES[name]}), voices, shared_cache, meta)


@pytest.mark.parametrize("name", SPECIES)
def test_so_does_a_step_on_several_labels(rainforest, shared_cache, meta, name):
    check_steps(Config(name="a", **{**RAINFOREST, **SPECIES[name]}), rainforest, shared_cache, meta)


def test_so_does_a_step_on_images(shared_cache, meta, tmp_path):
    config = Config(
        name="a", backbone="timm", timm_name="test_resnet", normalize="none", image_channels=1, segment_frames=8,
        image_crop_pixels=1, image_flip=True, batch_size=32, mix="input", time_masks=0, freq_masks=0,
    )  # fmt: skip
    check_steps(config, open_competition(make_digits(tmp_path / "digits")), shared_cache, meta)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")
