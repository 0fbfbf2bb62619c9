"""A training batch, 32 × 192 frames × 40 bins, cropped and masked, from one process; growth with the store's size."""

import itertools
import statistics
import time

import pytest
import torch

from kit.data.augment import SpecAugment
from kit.data.batches import EpochBatches
from kit.data.dataset import SpectrogramDataset, batch_loader
from kit.data.store import Store, pack
from tests.bench.batch_source import source_loader

FRAMES = 192
LEAST = 1000  # utterances


def endless(loader):
    for epoch in itertools.count():
        if hasattr(loader.batch_sampler, "set_epoch"):
            loader.batch_sampler.set_epoch(epoch)
            loader.dataset.set_epoch(epoch)
        yield from loader


@pytest.mark.benchmark(group="training batch from disk")
def test_batch_source(benchmark, hw4_files):
    train = hw4_files.train
    targets = [hw4_files.classes.index(label) for label in train["label"]]
    batches = endless(source_loader(hw4_files.folder, train["path"].tolist(), targets, FRAMES))
    benchmark.pedantic(lambda: next(batches), rounds=60, warmup_rounds=10)


@pytest.mark.benchmark(group="training batch from disk")
def test_batch_kit(benchmark, hw4_files, tmp_path, limit):
    store = pack(hw4_files, tmp_path, progress=False)
    batches, features = endless(kit_loader(store)), store.features.clone()
    starts = torch.randint(len(features) - FRAMES, (32,)).tolist()
    benchmark.extra_info["reach"] = 30
    limit(
        "a copy of each crop; then its masks, and some hundred calls of Python, NumPy and PyTorch",
        lambda: torch.stack([features[start : start + FRAMES] for start in starts]), rounds=300,
    )  # fmt: skip
    benchmark.pedantic(lambda: next(batches), rounds=300, warmup_rounds=20)


@pytest.mark.benchmark(group="training batch, by number of utterances")
@pytest.mark.parametrize("utterances", [LEAST, 10_000, 60_000])
def test_batch_grows_kit(benchmark, hw4_store, utterances):
    """Cost a batch must not grow with the number of utterances: within 10 %, once the pages are in memory.

    Batches of the least number are served by turns with the row's, so that the note is of one time.
    """
    least, batches = (endless(kit_loader(hw4_store(number))) for number in (LEAST, utterances))
    seconds = []

    def serve_least():
        started = time.perf_counter()
        next(least)
        seconds.append(time.perf_counter() - started)

    benchmark.extra_info["bounded by"] = "as the batch from disk; of a large store none is in the processor's caches"
    benchmark.pedantic(lambda: next(batches), setup=serve_least, rounds=600, warmup_rounds=100)
    growth = benchmark.stats.stats.median / statistics.median(seconds[100:])
    benchmark.extra_info[f"times that of {LEAST}, to reach 1.1"] = round(growth, 2)


def kit_loader(store: Store):
    dataset = SpectrogramDataset(store, store.rows("train"), FRAMES, train=True, augment=SpecAugment())
    return batch_loader(dataset, EpochBatches(len(dataset), 32))
