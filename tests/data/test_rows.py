import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch

from kit.data import rows
from kit.data.audio import load_wave
from kit.data.features import LogMel, MelFilterbank

SPEC = LogMel(n_mels=24)
WAVE = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)


@pytest.mark.parametrize("most", [1, 7, 47, 48, 49])  # of 48 frames
@pytest.mark.parametrize("block", [100, 399, 401, 8000])
@pytest.mark.parametrize("hop_seconds", [0.01, 0.025, 0.03])
def test_a_wave_in_blocks_has_the_frames_of_the_whole(monkeypatch, most, block, hop_seconds):
    """Also where a hop is longer than a window, and samples lie in no frame."""
    monkeypatch.setattr(rows, "MOST_FRAMES", most)
    mel = LogMel(n_mels=24, hop_seconds=hop_seconds)
    blocks = [WAVE[first : first + block] for first in range(0, 8000, block)]
    parts = list(rows._stretches(iter(blocks), mel))
    counts = [mel.n_frames(len(part)) for part in parts]
    assert set(counts[:-1]) <= {most} and 1 <= counts[-1] <= most and sum(counts) == mel.n_frames(8000)
    firsts = np.cumsum([0, *counts]) * mel.hop_samples
    for part, (first, _) in zip(parts, pairwise(firsts), strict=True):
        np.testing.assert_array_equal(part, WAVE[first : first + len(part)])


def test_a_wave_without_a_frame_gives_none():
    assert list(rows._stretches(iter([WAVE[:200], WAVE[200:399]]), SPEC)) == []


def test_a_recording_in_memory_and_one_on_disk_are_the_same(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    soundfile.write(path, WAVE, 16_000)
    monkeypatch.setattr(rows, "MOST_FRAMES", 10)
    found = []
    for most in (rows.IN_MEMORY, 100):
        monkeypatch.setattr(rows, "IN_MEMORY", most)
        recording = rows._recording(path, np.inf, SPEC, MelFilterbank(SPEC), tmp_path)
        assert (recording.units, recording.width, recording.dtype, recording.samples) == (48, 24, "float16", 8000)
        with (tmp_path / "out").open("wb") as file:
            recording.write_to(file)
        assert recording.content.closed and sorted(os.listdir(tmp_path)) == ["a.wav", "out"]
        found.append(np.fromfile(tmp_path / "out", np.float16).reshape(48, 24))
    np.testing.assert_array_equal(found[0], found[1])
    truth = MelFilterbank(SPEC)(load_wave(path, 16_000)[None])[0]
    assert (torch.from_numpy(found[0]).float() - truth).abs().max() < 0.01


def test_order_is_kept_and_no_more_is_read_ahead_than_allowed(monkeypatch):
    """Whoever is slow: what is read waits for its turn."""
    monkeypatch.setattr(rows.joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(rows, "AHEAD", 3)
    read = []
    items = rows._in_order(lambda n: read.append(n) or n, list(range(50)))
    for number, item in enumerate(items):
        assert item == number and len(read) <= number + 6
    assert sorted(read) == list(range(50))


def test_an_error_of_a_reader_ends_the_others(monkeypatch):
    read = []

    def fails(n):
        read.append(n)
        if n == 0:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        list(rows._in_order(fails, list(range(1000))))
    assert len(read) <= 1 + rows.AHEAD * rows.joblib.cpu_count()


GROWN = """
import re, sys
from pathlib import Path
from kit.competition.competition import open_competition
from kit.data.features import LogMel
from kit.data.store import pack
def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
peaks = []
for number, folder in enumerate(sys.argv[2:]):
    pack(open_competition(folder), sys.argv[1], LogMel(8000, 64, fmax_hz=4000.0), progress=False)
    peaks.append(peak_mb())
print(*peaks)
"""


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
def test_three_hours_take_the_memory_of_some_minutes(tmp_path):
    """346 MB of samples in single precision and 138 MB of log-mels, of a file that holds zeros and takes no disk."""
    folders = [silent_recording(tmp_path / name, seconds) for name, seconds in (("short", 300), ("long", 3 * 3600))]
    command = [sys.executable, "-W", "ignore", "-c", GROWN, str(tmp_path / "cache"), *map(str, folders)]
    short, long = map(float, subprocess.check_output(command, text=True).split())
    print(f"{short:.0f} MB, then {long:.0f} MB")
    assert long < short + 60


def silent_recording(folder, seconds):
    """A table of a recording of 16 bits at 8 kHz, another one of a second, and one of the test."""
    for name, n_samples in (("train/a", seconds * 8000), ("train/b", 8000), ("test/c", 8000)):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(1), 8000)
        header = bytearray(path.read_bytes()[:44])
        assert header[36:40] == b"data"
        header[4:8], header[40:44] = (n.to_bytes(4, "little") for n in (36 + 2 * n_samples, 2 * n_samples))
        path.write_bytes(header)
        os.truncate(path, 44 + 2 * n_samples)
    (folder / "train.csv").write_text("file,label\na.wav,x\nb.wav,y\n")
    (folder / "sample_submission.csv").write_text("file,label\nc.wav,x\n")
    return folder
