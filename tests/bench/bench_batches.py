"""A training batch, 32 × 192 frames × 40 bins, cropped and masked, from one process; growth with the store's size."""

import itertools

import pytest
import torch

from kit.data.augment import SpecAugment
from kit.data.augmenters import Augmenters
from kit.data.batches import EpochBatches
from kit.data.crops import RandomCrops
from kit.data.dataset import SpectrogramDataset, Training, batch_loader
from kit.data.store import Store, pack
from tests.bench.batch_source import source_loader
from tests.bench.turns import Bound

FRAMES = 192


def endless(loader):
    for epoch in itertools.count():
        if hasattr(loader.batch_sampler, "set_epoch"):
            loader.batch_sampler.set_epoch(epoch)
            loader.dataset.set_epoch(epoch)
        yield from loader


@pytest.mark.benchmark(group="training batch from disk")
def test_batch(turns, hw4_files, tmp_path):
    train = hw4_files.train
    targets = [hw4_files.classes.index(label) for label in train["label"]]
    source = endless(source_loader(hw4_files.folder, train["path"].tolist(), targets, FRAMES))
    store = pack(hw4_files, tmp_path, progress=False)
    batches, features = endless(kit_loader(store)), store.features.clone()
    starts = torch.randint(len(features) - FRAMES, (32,)).tolist()
    bound = Bound(
        "a copy of each crop; then its masks, and some hundred calls of Python, NumPy and PyTorch",
        lambda: torch.stack([features[start : start + FRAMES] for start in starts]),
    )
    turns(lambda: next(batches), bound, source=lambda: next(source), turns=10, rounds=30, reach=30)


@pytest.mark.benchmark(group="training batch, by number of utterances")
@pytest.mark.parametrize("utterances", [10_000, 60_000])
def test_batch_grows(turns, hw4_store, utterances):
    """Cost a batch must not grow with the number of utterances: within 10 %, once the pages are in memory."""
    least, batches = (endless(kit_loader(hw4_store(number))) for number in (1000, utterances))
    bound = Bound("as the batch from disk; of a large store none is in the processor's caches")
    turns(lambda: next(batches), bound, turns=600, reach=1 / 1.1, **{"1,000": lambda: next(least)})


def kit_loader(store: Store, batch_size: int = 32, device: str | torch.device = "cpu"):
    training = Training(augment=Augmenters((SpecAugment(),)))
    dataset = SpectrogramDataset(store, store.rows("train"), RandomCrops(FRAMES), training=training, device=device)
    return batch_loader(dataset, EpochBatches(torch.zeros(len(dataset)), batch_size))
