"""A training step with mix "lpc", three views of each wave through one net, against the plain step on the same waves.

To reach: at most 3.3 times the plain step (ratio 0.30). A step is all of it: the batch from waves to masked log-mels,
forward, loss, backward, clipping, AdamW.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from kit.data.audio import MelSpec
from kit.data.augment import SpecAugment
from kit.data.dataset import SpectrogramDataset
from kit.data.store import Store
from kit.models.build import build_model
from kit.training.config import Config
from kit.training.step import TrainStep, build_optimizer
from tests.bench.turns import Bound

CLIPS, SAMPLES, N_CLASSES, BATCH = 200, 16000, 40, 32
PLAIN = Config(features="wave", segment_frames=96, head="cosine", scale=16.0)
LPC = replace(PLAIN, mix="lpc", lpc_recombination=0.5, lpc_shuffled=0.5, lpc_swap="least")


@pytest.fixture(scope="module")
def waves(tmp_path_factory) -> Store:
    """Clips of one second of noise."""
    samples = torch.randint(-3000, 3000, (CLIPS * SAMPLES, 1), dtype=torch.int16)
    index = pd.DataFrame({"id": np.arange(CLIPS).astype(str), "split": "train", "frames": SAMPLES})
    index["target"], index["start"] = np.arange(CLIPS) % N_CLASSES, np.arange(CLIPS) * SAMPLES
    return Store(tmp_path_factory.mktemp("waves"), samples, index, "wave", tuple(map(str, range(N_CLASSES))), MelSpec())


def stepper(config: Config, store: Store):
    """What takes one training step at each call."""
    order = config.lpc_order if config.mix == "lpc" else 0
    dataset = SpectrogramDataset(store, range(CLIPS), 96, train=True, augment=SpecAugment(), lpc_order=order)
    accelerator = Accelerator(cpu=True)
    net = build_model(config, N_CLASSES, store.n_mels).train()
    net, optimizer = accelerator.prepare(net, build_optimizer(config, net))
    update = TrainStep(config, net, net, optimizer, accelerator)

    def step():
        update(dataset.__getitems__(range(BATCH)), 0, config.lr)
        optimizer.zero_grad()

    return step


@pytest.mark.benchmark(group="LPC training step")
def test_step(turns, waves):
    plain = stepper(PLAIN, waves)
    turns(stepper(LPC, waves), Bound("three views through one net", plain, 3), plain=plain, turns=8, reach=1 / 3.3)
