"""Small competitions of each layout, made anew for every case, which may spoil them as it likes."""

import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.competition.table_folders import make_columns, make_cornell, make_freesound, make_speech_commands

BOXES = "recording_id,species_id,songtype_id,t_min,f_min,t_max,f_max\n"


def noise(name, n_samples=1600):
    return np.random.default_rng(sum(name.encode())).standard_normal(n_samples) * 0.1


@pytest.fixture
def hw4(tmp_path):
    """HW4's layout: speakers anna and ben with two utterances each and one of the test, of 5 frames of 40 bins."""
    folder = tmp_path / "hw4"
    folder.mkdir()
    items = [{"feature_path": f"u{number}.pt", "mel_len": 5} for number in range(5)]
    for number, item in enumerate(items):
        torch.save(torch.full((5, 40), float(number)), folder / item["feature_path"])
    files = {
        "metadata.json": {"n_mels": 40, "speakers": {"anna": items[:2], "ben": items[2:4]}},
        "mapping.json": {"speaker2id": {"anna": 0, "ben": 1}},
        "testdata.json": {"n_mels": 40, "utterances": items[4:]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture
def table(tmp_path):
    """A plain table: a.wav (yes), b.wav (no) and, of the test, c.wav, of 0.1 s."""
    folder = tmp_path / "table"
    for name in ("train/a.wav", "train/b.wav", "test/c.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, noise(name), 16000)
    (folder / "train.csv").write_text("file,label\na.wav,yes\nb.wav,no\n")
    (folder / "sample_submission.csv").write_text("file,label\nc.wav,no\n")
    return folder


@pytest.fixture
def rfcx(tmp_path):
    """RFCX's layout: recordings aa and bb, of the test tt, of 0.1 s, and two species."""
    folder = tmp_path / "rfcx"
    for name in ("train/aa.flac", "train/bb.flac", "test/tt.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, noise(name), 16000)
    (folder / "train_tp.csv").write_text(BOXES + "aa,0,1,0.01,90,0.05,180\n")
    (folder / "train_fp.csv").write_text(BOXES + "bb,1,1,0.01,90,0.05,180\n")
    (folder / "sample_submission.csv").write_text("recording_id,s0,s1\ntt,0,0\n")
    return folder


@pytest.fixture(scope="session")
def contests(tmp_path_factory):
    """Folders in the shape of real contests that are tables, by name."""
    home, makers = (
        tmp_path_factory.mktemp("contests"),
        (make_columns, make_cornell, make_freesound, make_speech_commands),
    )
    return {
        maker.__name__.removeprefix("make_"): maker(home / maker.__name__.removeprefix("make_")) for maker in makers
    }


@pytest.fixture
def contest(contests, tmp_path):
    """contest(name) is a copy of one of them."""
    return lambda name: shutil.copytree(contests[name], tmp_path / name)


@pytest.fixture
def grown():
    """A block's memory: `with grown() as bytes_`, then bytes_() is how far the resident peak rose above the start."""

    def peak():
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

    @contextmanager
    def block():
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is resident now
        except OSError:
            pytest.skip("needs a Linux whose peak of memory can be set back")
        before = peak()
        yield lambda: peak() - before

    return block
