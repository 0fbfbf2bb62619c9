from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
import soundfile

from kit.competition.competition import open_competition
from kit.data import store_size as module
from kit.data.features import LogMel
from kit.data.store import pack
from kit.data.store_size import StoreSize, store_size, told_bytes


def test_numbers_by_hand():
    """Of 1 s at 16 kHz: 98 frames of 40 half-precision numbers, or 16,000 samples of 16 bits."""
    assert store_size([1.0, 0.0], LogMel()) == StoreSize(2, 1.0, 98 * 40 * 2, 32_000)
    assert store_size([1.0], LogMel(bits=8)).mel_bytes == 98 * 40
    assert store_size([0.0249, 0.025], LogMel()).mel_bytes == 80, "a window is 0.025 s"


def test_it_is_told_as_people_say_it():
    lengths = np.full(35_549, 21.0)  # 207.4 h
    told = str(store_size(lengths, LogMel(32_000, 128, 0.064, 0.016, 20.0, 16_000.0)))
    # (672,000 - 2,048) // 512 + 1 = 1,309 frames of 256 bytes, or 1,344,000 bytes, each 35,549 times.
    assert told == "35,549 recordings, 207 h: 12 GB as mel, 48 GB as wave"
    assert str(StoreSize(1, 1800.0, 900, 2_500_000)) == "1 recordings, 0.5 h: 1 kB as mel, 2.5 MB as wave"
    assert [told_bytes(n) for n in (0, 1001, 10**6, 9_940_000, 9_960_000, 11 * 10**9, 2 * 10**12)] == [
        "0 kB", "2 kB", "1.0 MB", "9.9 MB", "10 MB", "11 GB", "2.0 TB",
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Three training and two test recordings of 2 s, one of them no audio."""
    for part, names in (("train", "abc"), ("test", "de")):
        (tmp_path / "data" / part).mkdir(parents=True)
        for name in names:
            noise = 0.1 * np.random.default_rng(ord(name)).standard_normal(32_000)
            soundfile.write(tmp_path / "data" / part / f"{name}.flac", noise, 16_000)
    (tmp_path / "data/test/e.flac").write_bytes(b"noise")
    (tmp_path / "data/train.csv").write_text("file,label\na.flac,x\nb.flac,y\nc.flac,x\n")
    (tmp_path / "data/sample_submission.csv").write_text("file,label\nd.flac,x\ne.flac,x\n")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("kind", "mel", "told", "bytes_"),
    [
        ("mel", LogMel(), "5 recordings, 0.0022 h: 64 kB as mel, 256 kB as wave", 4 * 198 * 80),
        ("mel", LogMel(bits=8), "5 recordings, 0.0022 h: 32 kB as mel, 256 kB as wave", 4 * 198 * 40),
        ("wave", LogMel(most_seconds=1.0), "5 recordings, 0.0011 h: 32 kB as mel, 128 kB as wave", 4 * 32_000),
    ],
)
def test_the_size_is_told_before_and_is_that_of_the_store(
    folder, tmp_path, capsys, monkeypatch, kind, mel, told, bytes_
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(0, 0, bytes_))
    store = pack(open_competition(folder), tmp_path / "cache", mel, kind)
    assert f"{told}; {told_bytes(bytes_)} free\n" in capsys.readouterr().err
    assert (store.folder / "features.bin").stat().st_size == bytes_


def test_a_disk_that_is_too_small(folder, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(0, 0, 4 * 198 * 80 - 1))
    message = (
        r"No space left on device for a store of 5 recordings, 0.0022 h: 64 kB as mel, 256 kB as wave; 64 kB free: "
        r"'.*cache/.*'$"
    )
    with pytest.raises(OSError, match=message):
        pack(open_competition(folder), tmp_path / "cache", progress=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_packed_needs_no_more_room(folder, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(0, 0, 198 * 80))
    competition = open_competition(folder)
    files = pd.concat([competition.train, competition.test.iloc[:1]]).assign(most=np.inf)
    module.check_room(competition, files, LogMel(), "mel", tmp_path, 3, False)
    with pytest.raises(OSError, match="No space left on device for a store of 4 recordings"):
        module.check_room(competition, files, LogMel(), "mel", tmp_path, 2, False)
