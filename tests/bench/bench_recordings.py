"""One-minute recordings at 48 kHz to log-mels of 128 bins, on all cores; a recording's windows through a net; crops
decoded from their files.

To reach: 100 × real time on 2 cores, in under 2 GB whatever the number of recordings.
"""

import os
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from kit.competition.competition import open_competition
from kit.data.crops import RandomCrops
from kit.data.dataset import SpectrogramDataset, Training
from kit.data.features import LogMel
from kit.data.mels import Mels
from kit.data.store import Store, pack
from kit.presets import recording_preset
from kit.training.features import mels_of
from kit.training.nets import build_net
from tests.bench.turns import Bound, products

MINUTES = 24
CROPS, CROP_SECONDS = 16, 5
PACK = """
import re, sys, time
from pathlib import Path
from kit.data.features import LogMel
from kit.competition.competition import open_competition
from kit.data.store import pack
competition = open_competition(sys.argv[1])
started = time.perf_counter()
pack(competition, sys.argv[2], LogMel(48000, 128, 0.04, 0.01, 60.0, 16000.0), progress=False)
seconds, status = time.perf_counter() - started, Path("/proc/self/status")  # ru_maxrss would count the parent's too
print(seconds, int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1000 if status.exists() else float("nan"))
"""


@pytest.fixture
def folder(tmp_path):
    """RFCX's layout: as many minutes of noise, each a link to one of two files on disk."""
    rng, names = np.random.default_rng(0), [f"{number:09x}" for number in range(MINUTES)]
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        noise = (rng.standard_normal(60 * 48000) * 300).astype(np.int16)
        soundfile.write(tmp_path / f"{split}.flac", noise, 48000)
    half = MINUTES // 2
    for number, name in enumerate(names):
        split = "train" if number < half else "test"
        os.link(tmp_path / f"{split}.flac", tmp_path / split / f"{name}.flac")
    head = "recording_id,species_id,songtype_id,t_min,f_min,t_max,f_max\n"
    (tmp_path / "train_tp.csv").write_text(head + "".join(f"{name},0,1,1,500,2,900\n" for name in names[:half]))
    (tmp_path / "train_fp.csv").write_text(head + f"{names[0]},1,1,1,500,2,900\n")
    sample = "".join(f"{name},0,0\n" for name in names[half:])
    (tmp_path / "sample_submission.csv").write_text("recording_id,s0,s1\n" + sample)
    return tmp_path


@pytest.mark.benchmark(group=f"packing {MINUTES} minutes of 48 kHz FLAC as log-mels")
def test_pack(turns, benchmark, folder, tmp_path_factory):
    """In a process of its own, so that its memory can be told."""

    def once():
        command = [sys.executable, "-c", PACK, str(folder), str(tmp_path_factory.mktemp("cache"))]
        seconds, megabytes = map(float, subprocess.check_output(command, text=True).split())
        benchmark.extra_info["times real time"] = round(60 * MINUTES / seconds)
        benchmark.extra_info["memory (MB)"] = round(megabytes)

    jobs = [joblib.delayed(soundfile.read)(path, dtype="float32") for path in sorted(folder.glob("*/*.flac"))]

    def least():
        subprocess.run([sys.executable, "-c", "import kit.data.store"], check=True)
        joblib.Parallel(n_jobs=-1, prefer="threads")(jobs)

    what = "the imports of a process, decoding FLAC, then the Fourier transforms; 100 times real time to reach"
    turns(once, Bound(what, least), turns=3)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A store of one minute, and the demo's net."""
    experiment = recording_preset("demo")
    features = experiment.features
    frames = features.n_frames(60 * features.sample_rate_hz)
    index = pd.DataFrame({"id": ["a"], "split": "test", "target": -1, "start": 0, "frames": frames})
    noise = torch.randn(frames, 128, generator=torch.Generator().manual_seed(0)).half()
    store = Store(tmp_path_factory.mktemp("store"), noise, index, "mel", ("s0", "s1"), features, "multi")
    mels = mels_of(experiment, store, "cpu")
    crop = experiment.predict.crop(mels.units, experiment.crop_frames)
    return SpectrogramDataset(store, [0], crop, mels=mels), build_net(experiment, 2, 128).eval()


@pytest.mark.benchmark(group="the windows of a minute through a net")
def test_windows(turns, recording):
    """All of them as one batch, beside one at a time."""
    dataset, net = recording

    @torch.inference_mode()
    def one_by_one():
        for window in dataset[0].mel.split(1):
            net(window)

    @torch.inference_mode()
    def once():
        net(dataset[0].mel)

    bound = products("the net's convolutions, most of one channel each; then its norms' passes", once)
    turns(once, bound, single=one_by_one, turns=8)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Batches of log-mels of crops of 16 minutes of 32 kHz OGG Vorbis: of the files, and of a store of their waves."""
    folder, rate, generator = tmp_path_factory.mktemp("ogg"), 32_000, np.random.default_rng(0)
    for part in ("train", "test"):
        (folder / part).mkdir()
    with soundfile.SoundFile(folder / "one.ogg", "w", rate, 1) as file:
        for _ in range(60):  # libsndfile overflows where it codes much at once
            file.write(0.1 * generator.standard_normal(rate))
    names = [f"{number}.ogg" for number in range(CROPS)]
    for name in names:
        os.link(folder / "one.ogg", folder / "train" / name)
    os.link(folder / "one.ogg", folder / "test/t.ogg")
    rows = "".join(f"{name},{'ab'[number % 2]}\n" for number, name in enumerate(names))
    (folder / "train.csv").write_text(f"file,label\n{rows}")
    (folder / "sample_submission.csv").write_text("file,label\nt.ogg,a\n")
    competition, mel = open_competition(folder), LogMel(rate, 128, 0.064, 0.016, 20.0, 16_000.0)

    def batches(kind):
        store = pack(competition, folder / "cache", mel, kind, progress=False)
        mels = Mels(store)
        crop = RandomCrops(mels.units(mel.n_frames(CROP_SECONDS * rate)))
        dataset, epoch = SpectrogramDataset(store, store.rows("train"), crop, mels=mels, training=Training()), 0
        while True:
            dataset.set_epoch(epoch := epoch + 1)
            yield dataset.__getitems__(range(CROPS))

    return batches("files"), batches("wave")


@pytest.mark.benchmark(group=f"a batch of {CROPS} crops of {CROP_SECONDS} s, decoded from OGG, as log-mels")
def test_crops_from_files(turns, crops):
    files, waves = crops
    assert torch.equal(next(files).mel, next(waves).mel)
    turns(lambda: next(files), Bound("decoding Vorbis"), store=lambda: next(waves), turns=10)
