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
from kit.data.augment import SpecAugment
from kit.data.features import LogMel, Wave
from kit.data.image_augment import ImageAugment
from kit.data.images import Pixels
from kit.data.mixup import Mixup, mix_drawer
from kit.data.store import pack
from kit.demos.digits import make_digits
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.heads import AMSoftmax, Cosine, Linear
from kit.models.net import Net
from kit.models.pooling import SED, GeM, Mean, SelfAttention, Statistics
from kit.models.sed import ClassAttention
from kit.models.timm_backbone import Timm
from kit.models.transformer import Transformer
from kit.training.loader import train_loader
from kit.training.loop import Loop
from kit.training.losses import BCE, Focal
from kit.training.nets import build_net
from kit.training.step import TrainStep
from kit.training.views import LPCViews

SMALL = {"width": 16, "layers": 1, "heads": 2, "ff_width": 32}
TINY = Experiment(
    name="a", crop_frames=24, net=Net(Conformer(**SMALL, kernel_size=5), SelfAttention(), AMSoftmax(warmup_steps=3)),
    loop=Loop(batch_size=8),
)  # fmt: skip
VIEWS = LPCViews(order=8)
VOICES = {
    "plain": {},
    "short utterances": {"crop_frames": 150},
    "input mixup, by row": {"mix": Mixup("input", per_row=True)},
    "manifold mixup": {"mix": Mixup(places=("stem", "layer1"))},
    "last-layer mixup": {"mix": Mixup("last_layer"), "crop_frames": 150},
    "lpc": {"views": LPCViews(order=8, shuffled=0.5)},
    "timm": {"net__backbone": Timm("test_resnet")},
    "transformer": {"net__backbone": Transformer(**SMALL)},
    "linear head": {"net__head": Linear(), "net__pooling": Mean()},
    "cosine head": {"net__head": Cosine(), "net__pooling": Statistics(), "augment": (SpecAugment(fill="floor"),)},
    "generalised mean": {"net__pooling": GeM()},
    "waves": {"features": Wave(), "crop_frames": 150},
    "mixed waves": {"features": Wave(), "mix": Mixup("wave")},
    "lpc of waves": {"features": Wave(), "views": VIEWS},
}
RAINFOREST = Experiment(
    name="a", crop_frames=64, net=Net(Timm("test_byobnet", frequency="stack"), head=ClassAttention()),
    features=LogMel(32000, 40, 0.04, 0.04, 300.0, 14000.0), loop=Loop(batch_size=4),
    loss=Focal(label_smoothing=0.1, positive_weight=2.0, positive_decay=0.5),
)  # fmt: skip
SPECIES = {
    "one label of several": {},
    "binary cross-entropy": {"loss": BCE(), "net__head": Linear(), "net__pooling": SED()},
    "last-layer mixup": {"mix": Mixup("last_layer")},
    "manifold mixup": {"mix": Mixup("manifold")},
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


def check_steps(experiment, competition, cache, meta):
    features, views = experiment.features, experiment.views
    store = pack(competition, cache, features.mel, features.packs, progress=False)
    raw = build_net(experiment, len(store.classes), store.n_mels).to("meta")
    optimizer = torch.optim.SGD(raw.parameters(), 1.0)
    optimizer.param_groups[0]["initial_lr"] = 1.0
    step, rows = TrainStep(experiment, raw, raw, optimizer, meta), store.rows("train")
    mixup = mix_drawer(experiment.mix, raw.mix_places, raw.stage_names, store.kind == "wave")
    for number, batch in enumerate(train_loader(experiment, store, rows[8:], rows[:8], mixup, meta)):
        with Moves() as moves:
            loss, right = step(batch, number, 0.5)
        # Shuffled views are drawn on the CPU within the step, which is why such steps are not recorded as a graph.
        assert moves.found == ([torch.ops.aten._to_copy.default] if views and views.shuffled else [])
        step.optimizer.zero_grad()
        assert loss.is_meta and right.is_meta
    assert number > 0


@pytest.fixture(autouse=True)
def without_autocast(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no "meta"


@pytest.mark.parametrize("name", VOICES)
def test_a_step_stays_on_its_device_and_reads_nothing(voices, shared_cache, meta, name):
    check_steps(TINY.but(**VOICES[name]), voices, shared_cache, meta)


@pytest.mark.parametrize("name", SPECIES)
def test_so_does_a_step_on_several_labels(rainforest, shared_cache, meta, name):
    check_steps(RAINFOREST.but(**SPECIES[name]), rainforest, shared_cache, meta)


def test_so_does_a_step_on_images(shared_cache, meta, tmp_path):
    experiment = Experiment(
        name="a", net=Net(Timm("test_resnet", normalize="none")), features=Pixels(), crop_frames=8,
        augment=(ImageAugment(1, flip=True),), loop=Loop(batch_size=32), mix=Mixup("input"),
    )  # fmt: skip
    check_steps(experiment, open_competition(make_digits(tmp_path / "digits")), shared_cache, meta)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")
