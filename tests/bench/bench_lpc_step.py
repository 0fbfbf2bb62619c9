"""A training step with LPCViews, three views of each wave through one net, against the plain step on the same waves.

To reach: at most 3.3 times the plain step (ratio 0.30). A step is all of it: the batch from waves to masked log-mels,
forward, loss, backward, clipping, AdamW.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from kit.data.features import LogMel, Wave
from kit.data.store import Store
from kit.experiment import Experiment
from kit.models.heads import Cosine
from kit.models.net import Net
from kit.training.loader import train_loader
from kit.training.nets import build_net
from kit.training.optim import build_optimizer
from kit.training.step import TrainStep
from kit.training.views import LPCViews
from tests.bench.turns import Bound

CLIPS, SAMPLES, N_CLASSES, BATCH = 200, 16000, 40, 32
PLAIN = Experiment(features=Wave(), crop_frames=96, net=Net(head=Cosine()))
LPC = PLAIN.but(views=LPCViews(recombination=0.5, shuffled=0.5, swap="least"))


@pytest.fixture(scope="module")
def waves(tmp_path_factory) -> Store:
    """Clips of one second of noise."""
    samples = torch.randint(-3000, 3000, (CLIPS * SAMPLES, 1), dtype=torch.int16)
    index = pd.DataFrame({"id": np.arange(CLIPS).astype(str), "split": "train", "frames": SAMPLES})
    index["target"], index["start"] = np.arange(CLIPS) % N_CLASSES, np.arange(CLIPS) * SAMPLES
    return Store(tmp_path_factory.mktemp("waves"), samples, index, "wave", tuple(map(str, range(N_CLASSES))), LogMel())


def stepper(experiment: Experiment, store: Store):
    """What takes one training step at each call."""
    accelerator = Accelerator(cpu=True)
    dataset = train_loader(experiment, store, range(CLIPS), (), None, accelerator).dataset
    net = build_net(experiment, N_CLASSES, store.n_mels).train()
    net, optimizer = accelerator.prepare(net, build_optimizer(experiment.optimizer, net))
    update = TrainStep(experiment, net, net, optimizer, accelerator)

    def step():
        update(dataset.__getitems__(range(BATCH)), 0, 1.0)
        optimizer.zero_grad()

    return step


@pytest.mark.benchmark(group="LPC training step")
def test_step(turns, waves):
    plain = stepper(PLAIN, waves)
    turns(stepper(LPC, waves), Bound("three views through one net", plain, 3), plain=plain, turns=8, reach=1 / 3.3)
