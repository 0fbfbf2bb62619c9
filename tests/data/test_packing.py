"""Rows that are stretches of recordings, some of them shared, and splits that not every competition has."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError
from kit.data import packed_files, rows
from kit.data.audio import load_wave
from kit.data.eight_bits import mel_step
from kit.data.features import LogMel, MelFilterbank
from kit.data.reader import FeatureReader
from kit.data.store import pack, packed_folder

RATE = 16_000


@pytest.fixture
def competition(tmp_path):
    """Four rows of two training recordings of 2 s; two test windows; an unlabelled recording."""
    folder = tmp_path / "data"
    for part, names in (("train", "ab"), ("test", "c"), ("more", "d")):
        (folder / part).mkdir(parents=True)
        for name in names:
            noise = 0.1 * np.random.default_rng(ord(name)).standard_normal(2 * RATE)
            soundfile.write(folder / part / f"{name}.wav", noise, RATE)
    (folder / "train.csv").write_text("file,label\na.wav,x\nb.wav,y\n")
    (folder / "sample_submission.csv").write_text("file,label\nc.wav,x\n")
    opened = open_competition(folder)
    nan = np.nan
    train = stretches("train", [("a", 0, 1), ("b", nan, nan), ("a", 1, 2), ("a", 0.5, 1.5)])
    train = train.assign(label=["x", "y", "y", "x"], source=["clip", "clip", "scape", "clip"], group=list("abab"))
    test = stretches("test", [("c", 0, 1), ("c", 1, 2)]).assign(fault="")
    return replace(opened, train=train, test=test, unlabelled=stretches("more", [("d", nan, nan), ("d", 0, 0.5)]))


def stretches(folder: str, rows: list) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["name", "start_seconds", "end_seconds"])
    path = folder + "/" + table["name"] + ".wav"
    where = [f"{folder}.csv: line {number + 2}" for number in range(len(table))]
    table = table.assign(path=path, audio=path, where=where, id=[f"{folder}_{number}" for number in range(len(table))])
    return table.drop(columns="name")


def mel_of(path) -> torch.Tensor:
    return MelFilterbank()(load_wave(path, RATE)[None])[0]  # (198, 40)


def test_rows_of_a_file_share_its_frames(competition, tmp_path):
    store = pack(competition, tmp_path / "cache", progress=False, unlabelled=True)
    index = store.index.set_index("id")
    assert len(store.features) == 4 * 198, "four files, each once"
    assert index["start"].tolist() == [0, 198, 100, 50, 396, 496, 594, 594]
    assert index["frames"].tolist() == [98, 198, 98, 98, 98, 98, 198, 48]
    assert index["split"].tolist() == ["train"] * 4 + ["test"] * 2 + ["unlabelled"] * 2
    assert index["source"][:4].tolist() == ["clip", "clip", "scape", "clip"] and index["source"][4:].isna().all()
    assert index["target"].tolist() == [0, 1, 1, 0, -1, -1, -1, -1]
    assert store.rows("unlabelled").tolist() == [6, 7]
    for row in index.itertuples():
        path, first = competition.folder / {**PATHS}[row.Index], {**FIRST}.get(row.Index, 0)
        truth = mel_of(path)[first : first + row.frames]
        kept = store.features[row.start : row.start + row.frames].float()
        assert (kept - truth).abs().max() < 0.01, "half precision of log-mels to 20: 2^-7"


PATHS = {
    "train_0": "train/a.wav", "train_1": "train/b.wav", "train_2": "train/a.wav", "train_3": "train/a.wav",
    "test_0": "test/c.wav", "test_1": "test/c.wav", "more_0": "more/d.wav", "more_1": "more/d.wav",
}  # fmt: skip
FIRST = {"train_2": 100, "train_3": 50, "test_1": 100}


def test_unlabelled_rows_are_packed_where_they_are_asked_for(competition, tmp_path):
    """Else their file need not be there; both names begin alike."""
    without = pack(competition, tmp_path / "cache", progress=False)
    assert without.index["split"].tolist() == ["train"] * 4 + ["test"] * 2 and len(without.features) == 3 * 198
    none = pack(replace(competition, unlabelled=None), tmp_path / "cache", progress=False, unlabelled=True)
    assert none.folder == without.folder == packed_folder(competition, tmp_path / "cache")
    store = pack(competition, tmp_path / "cache", progress=False, unlabelled=True)
    assert store.folder.name.startswith(f"{without.folder.name}+") and len(store.rows("unlabelled")) == 2
    assert store.holds(without.folder.name) and without.holds(store.folder.name)
    other = pack(competition, tmp_path / "cache", kind="wave", progress=False)
    assert not store.holds(other.folder.name) and not other.holds(store.folder.name)
    (competition.folder / "more/d.wav").unlink()
    assert pack(competition, tmp_path / "anew", progress=False).folder.name == without.folder.name


def test_rows_of_waves_share_their_samples(competition, tmp_path):
    store = pack(competition, tmp_path / "cache", kind="wave", progress=False, unlabelled=True)
    assert len(store.features) == 4 * 2 * RATE
    assert store.index["start"].tolist() == [0, 32_000, 16_000, 8_000, 64_000, 80_000, 96_000, 96_000]
    assert store.index["frames"].tolist() == [16_000, 32_000, 16_000, 16_000, 16_000, 16_000, 32_000, 8_000]


def test_other_stretches_are_another_store(competition, tmp_path):
    first = pack(competition, tmp_path / "cache", progress=False, unlabelled=True)
    moved = competition.train.assign(start_seconds=competition.train["start_seconds"] + 0.01)
    assert (
        pack(replace(competition, train=moved), tmp_path / "cache", progress=False, unlabelled=True).folder
        != first.folder
    )
    other = competition.train.assign(source="clip")
    assert (
        pack(replace(competition, train=other), tmp_path / "cache", progress=False, unlabelled=True).folder
        != first.folder
    )


def test_training_stretches_past_the_end_are_all_named(competition, tmp_path):
    late = competition.train.assign(end_seconds=[1, np.nan, 2.06, 3])
    with pytest.raises(CompetitionError) as caught:
        pack(replace(competition, train=late), tmp_path / "cache", progress=False, unlabelled=True)
    rule = "must lie in its file, which ends at 2 s"
    assert f"train.csv: line 4 (train/a.wav): the stretch from 1 to 2.06 s {rule}" in str(caught.value)
    assert f"train.csv: line 5 (train/a.wav): the stretch from 0.5 to 3 s {rule}" in str(caught.value)
    assert "2 problems" in str(caught.value)


def test_a_test_stretch_past_the_end_costs_its_own_row(competition, tmp_path):
    late = competition.test.assign(end_seconds=[1, 5])
    short = competition.unlabelled.assign(end_seconds=[np.nan, 0.001])
    store = pack(replace(competition, test=late, unlabelled=short), tmp_path / "cache", progress=False, unlabelled=True)
    assert store.faults()["id"].tolist() == ["test_1", "more_1"]
    assert store.index["frames"].tolist() == [98, 198, 98, 98, 98, 0, 198, 0]


def test_a_broken_file_is_told_once_of_its_training_rows_and_costs_all_other_rows(competition, tmp_path):
    for path in ("test/c.wav", "more/d.wav"):
        (competition.folder / path).write_bytes(b"noise")
    store = pack(open_again(competition), tmp_path / "cache", progress=False, unlabelled=True)
    assert store.faults()["id"].tolist() == ["test_0", "test_1", "more_0", "more_1"]
    (competition.folder / "train/a.wav").write_bytes(b"noise")
    with pytest.raises(CompetitionError, match="1 problem"):
        pack(open_again(competition), tmp_path / "cache", progress=False, unlabelled=True)


def open_again(competition):
    return replace(competition, listing=type(competition.listing)(competition.folder))


def test_a_store_whose_test_rows_are_all_faulty(competition, tmp_path):
    """As a folder whose test recordings come only when it is scored: no path, no audio, a fault."""
    test = pd.DataFrame({"id": ["x_5", "x_10"], "path": "", "where": "sample_submission.csv: line 2"})
    test = test.assign(audio="", fault="no such file on disk")
    store = pack(replace(competition, test=test), tmp_path / "cache", progress=False, unlabelled=True)
    assert store.faults().to_numpy().tolist() == [["x_5", "no such file on disk"], ["x_10", "no such file on disk"]]
    assert store.index["frames"][store.rows("test")].tolist() == [0, 0] and len(store.features) == 3 * 198
    assert (
        pack(replace(competition, test=test), tmp_path / "cache", progress=False, unlabelled=True).folder
        == store.folder
    )


def test_a_note_is_told_once_a_file(competition, tmp_path):
    soundfile.write(competition.folder / "train/a.wav", np.zeros(2 * RATE), RATE)
    with pytest.warns(match=r"1 of 4 files, such as train_0: silent"):
        store = pack(open_again(competition), tmp_path / "cache", progress=False, unlabelled=True)
    assert store.notes()["id"].tolist() == ["train_0"]


def test_the_first_seconds_of_each_recording(competition, tmp_path):
    """Of whole ones: a stretch is packed to its end, wherever that is."""
    mel = LogMel(most_seconds=0.5)
    store = pack(competition, tmp_path / "cache", mel, progress=False, unlabelled=True)
    assert store.index["frames"].tolist() == [98, 48, 98, 98, 98, 98, 48, 48]
    assert len(store.features) == 198 + 48 + 198 + 48
    start = store.index["start"][1]
    truth = mel_of(competition.folder / "train/b.wav")[:48]
    assert (store.features[start : start + 48].float() - truth).abs().max() < 0.01


def test_a_byte_a_value(competition, tmp_path):
    """Off by half a step and what half precision is off."""
    full, half = LogMel(), LogMel(bits=8)
    stores = [pack(competition, tmp_path / "cache", mel, progress=False, unlabelled=True) for mel in (full, half)]
    assert stores[1].features.dtype == torch.uint8
    sizes = [(store.folder / "features.bin").stat().st_size for store in stores]
    assert sizes == [4 * 198 * 80, 4 * 198 * 40]
    for row in (0, 2, 7):
        one, two = (store.recording(row) for store in stores)
        assert two.dtype == torch.float32 and (one - two).abs().max() <= mel_step(half) / 2 + 2**-7


@pytest.mark.parametrize("room", [False, True])
def test_a_byte_a_value_is_served_as_log_mels(competition, tmp_path, monkeypatch, room):
    """From the file, and from a copy on the device."""
    store = pack(competition, tmp_path / "cache", LogMel(bits=8), progress=False, unlabelled=True)
    monkeypatch.setattr("kit.data.reader._free_bytes", lambda device: 10**9 * room)
    reader = FeatureReader(store, torch.device("cpu"))
    assert (reader.features is not None) == room
    index = store.index.iloc[[1, 2, 7]]
    start, length = (index[name].to_numpy(np.int64, copy=True) for name in ("start", "frames"))
    for first in (start, start + 3):
        served = reader.read(first, length - 3, 195)
        assert served.dtype == torch.float32 and served.shape == (3, 195, 40)
        for item, row, shift in zip(served, (1, 2, 7), first - start, strict=True):
            truth = store.recording(row)[shift : shift + store.index["frames"][row] - 3]
            assert torch.equal(item[: len(truth)], truth)


def test_fields_that_log_mels_of_files_would_not_heed(voices, tmp_path):
    for mel, rule in ((LogMel(bits=8), "bits must be 16, got 8"), (LogMel(most_seconds=1), "most_seconds must be 0, ")):
        with pytest.raises(ValueError, match=f"{voices.folder} holds no audio, and is packed as it is: {rule}"):
            pack(voices, tmp_path, mel, progress=False)


def packed_slowly(competition, cache):
    """Confirmed to the disk after each file, a second's work in all."""
    packed_files.CONFIRM_SECONDS = 0.0
    add = packed_files.PackedFiles.add
    packed_files.PackedFiles.add = lambda self, item: (time.sleep(0.05), add(self, item))
    pack(competition, cache, progress=False, unlabelled=True)


@pytest.mark.parametrize("least", [1, 7])
def test_a_killed_packing_goes_on_where_it_was(forkserver, many, tmp_path, monkeypatch, least):
    """With the bytes of an undisturbed one; no file is read again that the journal tells of."""
    whole = pack(many, tmp_path / "whole", progress=False, unlabelled=True)
    process = forkserver.Process(target=packed_slowly, args=(many, tmp_path / "cache"))
    process.start()
    journal = tmp_path / "cache" / f"{whole.folder.name}.part" / "packed.jsonl"
    while process.is_alive() and (not journal.exists() or journal.read_bytes().count(b"\n") < least):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    told = journal.read_bytes().count(b"\n")
    assert least <= told < 20
    assert list(journal.parent.glob("digests-*.parquet")), "no file's content is hashed again either"
    read, recording = [], rows._recording
    monkeypatch.setattr(
        rows, "_recording", lambda path, *most, **rest: read.append(path) or recording(path, *most, **rest)
    )
    store = pack(many, tmp_path / "cache", progress=False, unlabelled=True)
    assert sorted(path.name for path in read) == sorted(f"{number}.wav" for number in range(told, 20))
    assert os.listdir(tmp_path / "cache") == [whole.folder.name]
    for name in ("features.bin", "index.parquet", "store.json"):
        assert (store.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert sorted(os.listdir(store.folder)) == sorted(os.listdir(whole.folder))


@pytest.fixture
def many(tmp_path):
    """20 recordings of different lengths."""
    folder = tmp_path / "many"
    for part, numbers in (("train", range(19)), ("test", (19,))):
        (folder / part).mkdir(parents=True)
        for number in numbers:
            noise = 0.1 * np.random.default_rng(number).standard_normal(4000 + 500 * number)
            soundfile.write(folder / part / f"{number}.wav", noise, RATE)
    (folder / "train.csv").write_text("file,label\n" + "".join(f"{n}.wav,{'ab'[n % 2]}\n" for n in range(19)))
    (folder / "sample_submission.csv").write_text("file,label\n19.wav,a\n")
    return open_competition(folder)
