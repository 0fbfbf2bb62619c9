"""Packing 4,800 feature files or 40 minutes of OGG, and opening a store of HW4's size: 42.5 million frames."""

import json
import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from kit.competition.competition import open_competition
from kit.data.store import pack
from tests.bench.turns import Bound

UTTERANCES, FRAMES = 64_666, 42_500_000
MINUTES, RATE = 40, 32_000
PACK = """
import re, sys, time
from pathlib import Path
from kit.data.features import LogMel
from kit.competition.competition import open_competition
from kit.data.store import pack
competition = open_competition(sys.argv[1])
started = time.perf_counter()
pack(competition, sys.argv[2], LogMel(32000, 128, 0.064, 0.016, 20.0, 16000.0), progress=False)
seconds, status = time.perf_counter() - started, Path("/proc/self/status")
print(seconds, int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1000 if status.exists() else float("nan"))
"""
MEASURE = """
import sys, time
from pathlib import Path
import kit.data.store as store
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
before = resident()
started = time.perf_counter()
opened = store.open_store(sys.argv[1])
seconds = time.perf_counter() - started
print(seconds, resident() - before)
"""


@pytest.fixture
def files(tmp_path) -> Path:
    """HW4's layout, 240 speakers of 16 + 4 utterances of 132 to 224 frames, half precision."""
    generator, names = np.random.default_rng(0), iter(f"uttr-{number}.pt" for number in range(4800))

    def item():
        name, frames = next(names), int(generator.integers(132, 225))
        torch.save(torch.zeros(frames, 40, dtype=torch.float16), tmp_path / name)
        return {"feature_path": name, "mel_len": frames}

    speakers = {f"spk{number}": [item() for _ in range(16)] for number in range(240)}
    tables = {
        "metadata.json": {"n_mels": 40, "speakers": speakers},
        "mapping.json": {"speaker2id": {name: number for number, name in enumerate(speakers)}},
        "testdata.json": {"n_mels": 40, "utterances": [item() for _ in range(960)]},
    }
    for name, content in tables.items():
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


@pytest.mark.benchmark(group="packing 4,800 files")
def test_pack(turns, benchmark, files, tmp_path_factory):
    def once():
        pack(open_competition(files), tmp_path_factory.mktemp("cache"), progress=False)

    paths = list(files.glob("*.pt"))
    benchmark.extra_info["files a second, to reach"] = 240
    turns(once, Bound("torch.load of each file, in one thread", lambda: [torch.load(path) for path in paths]), turns=3)


@pytest.fixture
def recordings(tmp_path) -> Path:
    """A table of minutes of a wandering tone in noise as OGG Vorbis, each a link to one of two files on disk."""
    generator, time = np.random.default_rng(0), np.arange(60 * RATE) / RATE
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        wave = 0.1 * np.sin(2 * np.pi * (2000 + 500 * np.sin(time)) * time) + 0.05 * generator.standard_normal(
            60 * RATE
        )
        with soundfile.SoundFile(tmp_path / f"{part}.ogg", "w", RATE, 1) as file:
            for first in range(0, len(wave), RATE):  # libsndfile overflows where it codes much at once
                file.write(wave[first : first + RATE])
        for number in range(MINUTES // 2):
            os.link(tmp_path / f"{part}.ogg", tmp_path / part / f"{number}.ogg")
    rows = [f"{number}.ogg,{'ab'[number % 2]}\n" for number in range(MINUTES // 2)]
    for name in ("train.csv", "sample_submission.csv"):
        (tmp_path / name).write_text("file,label\n" + "".join(rows))
    return tmp_path


@pytest.mark.benchmark(group=f"packing {MINUTES} minutes of 32 kHz OGG as log-mels")
def test_pack_recordings(turns, benchmark, recordings, tmp_path_factory):
    """In a process of its own, so that its memory can be told."""

    def once():
        command = [sys.executable, "-c", PACK, str(recordings), str(tmp_path_factory.mktemp("cache"))]
        seconds, megabytes = map(float, subprocess.check_output(command, text=True).split())
        benchmark.extra_info["times real time, 100 to reach"] = round(60 * MINUTES / seconds)
        benchmark.extra_info["memory (MB)"] = round(megabytes)

    jobs = [joblib.delayed(soundfile.read)(path, dtype="float32") for path in sorted(recordings.glob("*/*.ogg"))]

    def least():
        subprocess.run([sys.executable, "-c", "import kit.data.store"], check=True)
        joblib.Parallel(n_jobs=-1, prefer="threads")(jobs)

    turns(once, Bound("the imports of a process, decoding Vorbis, then the Fourier transforms", least), turns=3)


@pytest.mark.benchmark(group="opening 42.5 million frames")
def test_open(turns, benchmark, tmp_path):
    """In a process of its own, so that its memory can be told."""
    with (tmp_path / "features.bin").open("wb") as file:
        file.truncate(FRAMES * 40 * 4)
    ends = np.linspace(0, FRAMES, UTTERANCES + 1).astype("int64")
    index = pd.DataFrame({"id": [f"uttr-{number:032x}.pt" for number in range(UTTERANCES)], "split": "train"})
    index["label"], index["target"] = (np.arange(UTTERANCES) % 600).astype(str), np.arange(UTTERANCES) % 600
    index["start"], index["frames"] = ends[:-1], np.diff(ends)
    index.to_parquet(tmp_path / "index.parquet")
    header = {"kind": "mel", "classes": list(map(str, range(600))), "mel": None, "total": FRAMES, "width": 40}
    (tmp_path / "store.json").write_text(json.dumps({**header, "dtype": "float32"}))

    def once():
        command = [sys.executable, "-c", MEASURE, str(tmp_path)]
        seconds, megabytes = map(float, subprocess.check_output(command, text=True).split())
        benchmark.extra_info["inside (s)"] = round(seconds, 3)
        benchmark.extra_info["memory (MB)"] = round(megabytes)

    imports = [sys.executable, "-c", "import kit.data.store"]
    what = "the imports of a process; the opening is its note, inside, of 1 s at most"
    turns(once, Bound(what, lambda: subprocess.run(imports, check=True)), turns=3)
