"""A training batch, 32 × 192 frames × 40 bins, cropped and masked, from one process; growth with the store's size."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
import torch

from kit.data.augment import SpecAugment
from kit.data.batches import EpochBatches
from kit.data.competition import open_competition
from kit.data.dataset import SpectrogramDataset, batch_loader
from kit.data.store import Store, pack
from tests.bench.batch_source import source_loader

FRAMES = 192


@pytest.fixture(scope="module")
def competition(tmp_path_factory):
    """400 files of HW4's lengths, log-normal with median 540 and mean 657 frames, single precision."""
    folder, generator = tmp_path_factory.mktemp("hw4"), np.random.default_rng(0)
    lengths = generator.lognormal(np.log(540), 0.626, 401).clip(91, 7193).astype(int).tolist()
    items = [{"feature_path": f"uttr-{number}.pt", "mel_len": frames} for number, frames in enumerate(lengths)]
    for item in items:
        torch.save(torch.randn(item["mel_len"], 40), folder / item["feature_path"])
    speakers = {f"id{number}": items[number * 20 : number * 20 + 20] for number in range(20)}
    tables = {
        "metadata.json": {"n_mels": 40, "speakers": speakers},
        "mapping.json": {"speaker2id": {name: number for number, name in enumerate(speakers)}},
        "testdata.json": {"n_mels": 40, "utterances": items[400:]},
    }
    for name, content in tables.items():
        (folder / name).write_text(json.dumps(content))
    return open_competition(folder)


def endless(loader):
    for epoch in itertools.count():
        if hasattr(loader.batch_sampler, "set_epoch"):
            loader.batch_sampler.set_epoch(epoch)
            loader.dataset.set_epoch(epoch)
        yield from loader


@pytest.mark.benchmark(group="training batch from disk")
def test_batch_source(benchmark, competition):
    train = competition.train
    targets = [competition.classes.index(label) for label in train["label"]]
    batches = endless(source_loader(competition.folder, train["path"].tolist(), targets, FRAMES))
    benchmark.pedantic(lambda: next(batches), rounds=60, warmup_rounds=10)


@pytest.mark.benchmark(group="training batch from disk")
def test_batch_kit(benchmark, competition, tmp_path):
    store = pack(competition, tmp_path, progress=False)
    batches = endless(kit_loader(store))
    benchmark.pedantic(lambda: next(batches), rounds=300, warmup_rounds=20)


@pytest.mark.benchmark(group="training batch, by number of utterances")
@pytest.mark.parametrize("utterances", [1_000, 10_000, 60_000])
def test_batch_grows_kit(benchmark, tmp_path, utterances):
    """Cost a batch must not grow with the number of utterances: within 10 %, once the pages are in memory."""
    store = synthetic_store(tmp_path, utterances, frames=250)
    batches = endless(kit_loader(store))
    benchmark.pedantic(lambda: next(batches), rounds=300, warmup_rounds=50)


def kit_loader(store: Store):
    dataset = SpectrogramDataset(store, store.rows("train"), FRAMES, train=True, augment=SpecAugment())
    return batch_loader(dataset, EpochBatches(len(dataset), 32))


def synthetic_store(folder, utterances: int, frames: int) -> Store:
    """Utterances of one length, all of them the same stretch of noise, mapped from disk."""
    path = folder / "features.bin"
    shape = (utterances * frames, 40)
    mapped = np.memmap(path, dtype="float16", mode="w+", shape=shape)
    mapped[:] = np.tile(np.random.default_rng(0).standard_normal((frames, 40)).astype("float16"), (utterances, 1))
    index = pd.DataFrame({"id": np.arange(utterances).astype(str), "split": "train", "label": "a", "target": 0})
    index["start"], index["frames"] = np.arange(utterances) * frames, frames
    return Store(folder, torch.from_numpy(mapped), index, "mel", ("a",), None)
