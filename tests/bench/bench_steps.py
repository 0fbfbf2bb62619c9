"""Training steps: a Conformer and a timm net, plain and with each mixup; whole utterances through a net in eval."""

import pytest
import timm
import torch
from accelerate import Accelerator

from kit.data.batch import Batch
from kit.data.batches import generator_for
from kit.data.mixup import Mixup, mix_drawer
from kit.experiment import Experiment
from kit.models.timm_backbone import Timm
from kit.training.loop import Loop
from kit.training.nets import build_net
from kit.training.optim import build_optimizer
from kit.training.predict import predict
from kit.training.step import TrainStep
from tests.bench.mixup_source import SourceConformerMixup
from tests.bench.step_source import SourceConformer, source_step
from tests.bench.turns import Bound, products

N_CLASSES, FRAMES, N_MELS, ITEMS = 600, 128, 40, 16
MEL = torch.randn(ITEMS, FRAMES, N_MELS, generator=torch.Generator().manual_seed(0))
TARGET = torch.randint(N_CLASSES, (ITEMS,), generator=torch.Generator().manual_seed(0))
CONFORMER = Experiment(crop_frames=FRAMES, loop=Loop(batch_size=ITEMS))
MIXUPS = {"input": "input", "manifold, layer1": "layer1", "last layer": "final", "embedding": "embedding"}


def kit_step(experiment: Experiment):
    """What takes a step on the same batch at each call."""
    accelerator = Accelerator(cpu=True)
    raw = build_net(experiment, N_CLASSES, N_MELS).train()
    net, optimizer = accelerator.prepare(raw, build_optimizer(experiment.optimizer, raw))
    update = TrainStep(experiment, net, raw, optimizer, accelerator)
    mixup = mix_drawer(experiment.mix, raw.mix_places, raw.stage_names, False)

    def step():
        plan = mixup and mixup.draw(ITEMS, 1, generator_for(0))
        update(Batch(MEL, None, TARGET, torch.arange(ITEMS), plan), 0, 1.0)
        optimizer.zero_grad()

    return step


def source_stepper(model):
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    return lambda: source_step(model, optimizer, scheduler, MEL, TARGET)


@pytest.mark.benchmark(group="Conformer d160 × 2, training step")
def test_conformer(turns):
    step = kit_step(CONFORMER)
    bound = products("matrix products; then what lies between them, of which eager mode makes a pass each", step)
    turns(step, bound, source=source_stepper(SourceConformer(N_MELS, N_CLASSES).train()), turns=8)


class SourceTimm(torch.nn.Module):
    """A timm net as it comes, its images in rows."""

    def __init__(self):
        super().__init__()
        self.net = timm.create_model("resnet18", in_chans=1, num_classes=N_CLASSES)

    def forward(self, mel):
        return self.net(mel.transpose(1, 2).unsqueeze(1))


@pytest.mark.benchmark(group="timm resnet18, training step")
def test_timm(turns):
    step = kit_step(CONFORMER.but(net__backbone=Timm("resnet18")))
    bound = products("oneDNN's convolutions, with channels last; then batch norm's passes", step)
    turns(step, bound, source=source_stepper(SourceTimm().train()), turns=8)


@pytest.mark.benchmark(group="mixup on the Conformer, training step")
@pytest.mark.parametrize("place", MIXUPS)
def test_mixup(turns, place):
    mixups = {
        "input": Mixup("input"),
        "layer1": Mixup("manifold", places=("layer1",)),
        "final": Mixup("last_layer"),
        "embedding": Mixup("embedding"),
    }
    model = SourceConformerMixup(build_net(CONFORMER, N_CLASSES, N_MELS).train())
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    bound = Bound("a step without mixup: mixing costs one pass over the map", kit_step(CONFORMER))
    kit = kit_step(CONFORMER.but(mix=mixups[MIXUPS[place]]))
    turns(kit, bound, source=lambda: model.step(optimizer, MEL, TARGET, MIXUPS[place]), turns=8)


@pytest.mark.benchmark(group="inference, 64 whole utterances of HW4's lengths")
def test_inference(turns, hw4_store):
    """One at a time at the source, through the same net."""
    net, accelerator = build_net(CONFORMER, N_CLASSES, N_MELS).eval(), Accelerator(cpu=True)
    store = hw4_store(64)
    index, features = store.index, store.features

    @torch.inference_mode()
    def every_one():
        for start, frames in zip(index["start"], index["frames"], strict=True):
            net(features[start : start + frames].float().unsqueeze(0))[0].argmax(1).item()

    def once():
        predict(net, store, range(64), CONFORMER, accelerator)

    bound = products("matrix products, then attention over long utterances", once)
    turns(once, bound, source=every_one, turns=3)
