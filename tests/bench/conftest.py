"""Every benchmark on one thread: what a core does, on any machine. And what several of them read."""

import json
import os
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from kit.competition.competition import open_competition
from kit.data.feature_file import FeatureFile
from kit.data.store import Store
from tests.bench.turns import take_turns


@pytest.fixture(autouse=True)
def one_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def turns(benchmark):
    return partial(take_turns, benchmark)


def hw4_lengths(utterances: int) -> np.ndarray:
    """Frames of utterances as HW4 has them: log-normal with median 540 and mean 657, from 91 to 7,193."""
    generator = np.random.default_rng(0)
    return generator.lognormal(np.log(540), 0.626, utterances).clip(91, 7193).astype(int)


@pytest.fixture(scope="module")
def hw4_files(tmp_path_factory):
    """A competition of 400 files of HW4's lengths, single precision."""
    folder, lengths = tmp_path_factory.mktemp("hw4"), hw4_lengths(401).tolist()
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


@pytest.fixture
def hw4_store(tmp_path):
    """Makes a store of so many utterances of HW4's lengths, of noise, half precision, mapped from disk."""

    def make(utterances: int) -> Store:
        path = tmp_path / f"{utterances}.bin"
        frames = hw4_lengths(utterances)
        ends = np.cumsum(frames)
        noise = np.random.default_rng(0).standard_normal((100_000, 40)).astype("float16")
        with path.open("wb") as file:
            for start in range(0, ends[-1], len(noise)):
                file.write(noise[: ends[-1] - start].tobytes())
            os.fsync(file.fileno())  # else the disk is still at it while the batches are timed
        index = pd.DataFrame({"id": np.arange(utterances).astype(str), "split": "train", "label": "a", "target": 0})
        index["start"], index["frames"] = ends - frames, frames
        mapped = np.memmap(path, dtype="float16", mode="c", shape=(ends[-1], 40))  # as open_store maps it
        return Store(tmp_path, torch.from_numpy(mapped), index, "mel", ("a",), None, file=FeatureFile(path))

    yield make
    for path in tmp_path.glob("*.bin"):
        path.unlink()  # of 60,000 utterances it is 3 GB
