import json
import os
import shutil
import signal
import time
import zipfile

import numpy as np
import pytest
import soundfile
import torch

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError
from kit.data.audio import load_wave
from kit.data.features import LogMel, MelFilterbank
from kit.data.store import open_store, pack


@pytest.fixture
def folder(voices_folder, tmp_path):
    """A copy of the demo that a test may spoil."""
    return shutil.copytree(voices_folder, tmp_path / "voices")


def test_every_utterance_is_where_the_index_says(voices, tmp_path):
    store = pack(voices, tmp_path, progress=False)
    assert len(store.index) == len(voices.train) + len(voices.test)
    assert store.kind == "mel" and store.n_mels == 40 and store.classes == voices.classes
    for place in (0, 7, len(store.index) - 1):
        row = store.index.iloc[place]
        truth = torch.load(voices.folder / row["id"], weights_only=True)
        assert torch.equal(store.features[row["start"] : row["start"] + row["frames"]], truth)
    train = store.index.iloc[store.rows("train")]
    assert [voices.classes[number] for number in train["target"]] == voices.train["label"].tolist()
    assert (store.index.iloc[store.rows("test")]["target"] == -1).all()


def test_a_packed_store_is_opened_not_packed_again(voices, tmp_path):
    first = pack(voices, tmp_path, progress=False)
    before = (first.folder / "features.bin").stat().st_mtime_ns
    again = pack(voices, tmp_path, progress=False)
    assert again.folder == first.folder
    assert (again.folder / "features.bin").stat().st_mtime_ns == before


def test_the_key_follows_files_and_parameters(folder, tmp_path):
    competition = open_competition(folder)
    keys = {pack(competition, tmp_path / "cache", progress=False).folder.name}
    keys.add(pack(competition, tmp_path / "cache", kind="wave", progress=False).folder.name)
    keys.add(pack(competition, tmp_path / "cache", LogMel(n_mels=20), kind="wave", progress=False).folder.name)
    name = competition.train["id"][0]
    mel = torch.load(folder / name, weights_only=True)
    torch.save(mel + 1, folder / name)
    keys.add(pack(open_competition(folder), tmp_path / "cache", progress=False).folder.name)
    assert len(keys) == 4


def test_training_can_not_write_into_the_store(voices, tmp_path):
    store = pack(voices, tmp_path, progress=False)
    store.features[0] = 7.0  # copy on write
    assert not (open_store(store.folder).features[0] == 7.0).all()


def test_waves_and_their_log_mels(voices, tmp_path):
    store = pack(voices, tmp_path, kind="wave", progress=False)
    row = store.index.iloc[3]
    wave = load_wave(voices.folder / voices.train["audio"][3], 16000)
    kept = store.features[row["start"] : row["start"] + row["frames"], 0].float() / 32767
    assert store.features.dtype == torch.int16 and len(wave) == row["frames"]
    assert (kept - wave).abs().max() < 1 / 32767


def test_audio_competition_is_packed_as_log_mels(tmp_path):
    for name in ("train/a.wav", "train/b.wav", "test/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    (tmp_path / "train.csv").write_text("file,label\na.wav,x\nb.wav,y\n")
    (tmp_path / "sample_submission.csv").write_text("file,label\nc.wav,x\n")
    spec = LogMel(n_mels=24)
    store = pack(open_competition(tmp_path), tmp_path / "cache", spec, progress=False)
    truth = MelFilterbank(spec)(load_wave(tmp_path / "train/b.wav", 16000)[None])[0]
    row = store.index.iloc[1]
    assert store.mel == spec
    assert (store.features[row["start"] : row["start"] + row["frames"]].float() - truth).abs().max() < 0.01


BAD_TENSORS = {
    "shape": (lambda mel: mel[:, :39], r"must have shape \(\d+, 40\) \(mel_len, n_mels\), got \(\d+, 39\)"),
    "length": (lambda mel: mel[:-1], "must have shape"),
    "dimensions": (lambda mel: mel[None], "must have shape"),
    "nan": (lambda mel: mel.where(torch.rand_like(mel) > 0.5, torch.nan), "holds NaN or inf"),
    "inf": (lambda mel: mel.where(torch.rand_like(mel) > 0.5, -torch.inf), "holds NaN or inf"),
    "whole numbers": (lambda mel: mel.long(), "must hold a floating-point tensor, got torch.int64"),
    "list": (lambda mel: mel.tolist(), "must hold a floating-point tensor, got list"),
    "sparse": (lambda mel: mel.to_sparse(), "must hold a floating-point tensor"),
}


@pytest.mark.parametrize("fault", BAD_TENSORS)
def test_a_bad_tensor_is_named_and_nothing_is_left(folder, tmp_path, fault):
    spoil, message = BAD_TENSORS[fault]
    competition = open_competition(folder)
    row = competition.train.iloc[4]
    torch.save(spoil(torch.load(folder / row["path"], weights_only=True)), folder / row["path"])
    with pytest.raises(CompetitionError, match=message) as caught:
        pack(open_competition(folder), tmp_path / "cache", progress=False)
    assert row["path"] in str(caught.value) and "metadata.json: speaker" in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


class Harm:
    def __reduce__(self):
        return (os.system, ("touch harm-was-done",))


def test_a_pickle_that_would_run_code_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = open_competition(folder).train.iloc[2]
    torch.save(Harm(), folder / row["path"])
    with pytest.raises(CompetitionError, match="not a tensor file that can be read safely"):
        pack(open_competition(folder), tmp_path / "cache", progress=False)
    assert not (tmp_path / "harm-was-done").exists()


@pytest.mark.parametrize("content", [b"nonsense", b"PK\x03\x04 cut short", b"\x80\x02."])
def test_a_broken_file_is_named(folder, tmp_path, content):
    row = open_competition(folder).train.iloc[2]
    (folder / row["path"]).write_bytes(content)
    with pytest.raises(CompetitionError, match=row["path"]):
        pack(open_competition(folder), tmp_path / "cache", progress=False)


def test_a_zip_that_is_no_tensor_is_named(folder, tmp_path):
    row = open_competition(folder).train.iloc[2]
    with zipfile.ZipFile(folder / row["path"], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"0" * 1000)
    with pytest.raises(CompetitionError, match=row["path"]):
        pack(open_competition(folder), tmp_path / "cache", progress=False)


def test_a_store_cut_short_is_not_opened(voices, tmp_path):
    store = pack(voices, tmp_path, progress=False)
    with (store.folder / "features.bin").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ValueError, match=r"features.bin: must have \d+ bytes, has 1000"):
        open_store(store.folder)


@pytest.mark.parametrize("name", ["index.parquet", "store.json", "boxes.parquet"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_another_file_of_a_store_cut_short(voices, tmp_path, name, share):
    store = pack(voices, tmp_path, progress=False)
    path = store.folder / name
    content = path.read_bytes() if path.exists() else (store.folder / "index.parquet").read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=rf"^{store.folder}: not a whole store \(\w+\); delete the folder$"):
        open_store(store.folder)


def test_an_index_of_other_features_is_refused(voices, tmp_path):
    store = pack(voices, tmp_path, progress=False)
    index = store.index.copy()
    index.loc[len(index) - 1, "frames"] += 1
    index.to_parquet(store.folder / "index.parquet")
    total = len(store.features)
    message = f"^{store.folder}: a row must end within {total} frames, got {total + 1}; delete the folder$"
    with pytest.raises(ValueError, match=message):
        open_store(store.folder)


@pytest.mark.parametrize("delay_seconds", [0.0, 0.02, 0.05])
def test_a_kill_leaves_a_whole_store_or_none(forkserver, voices, tmp_path, delay_seconds):
    """Killed so long after it began to write."""
    process = forkserver.Process(target=pack, args=(voices, tmp_path, None, "mel", False))
    process.start()
    while process.is_alive() and not list(tmp_path.iterdir()):
        time.sleep(0.001)
    time.sleep(delay_seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    for path in tmp_path.iterdir():
        if not path.name.endswith(".part"):
            open_store(path)
    store = pack(voices, tmp_path, progress=False)
    assert json.loads((store.folder / "store.json").read_text())["total"] == len(store.features)


def test_impossible_kinds_are_refused(voices, tmp_path, folder):
    with pytest.raises(ValueError, match='kind must be "mel", "wave" or "files", got .both.'):
        pack(voices, tmp_path, kind="both")
    shutil.rmtree(folder / "audio")
    with pytest.raises(ValueError, match="needs audio files"):
        pack(open_competition(folder), tmp_path, kind="wave")


def test_a_wave_shorter_than_a_window_is_named(folder, tmp_path):
    """As audio, that a batch of waves would need; its log-mel has a frame, and its table says so."""
    competition = open_competition(folder)
    audio = competition.train["audio"][2]
    soundfile.write(folder / audio, np.zeros(399), 16000)
    with pytest.raises(CompetitionError) as caught:
        pack(open_competition(folder), tmp_path / "cache", kind="wave", progress=False)
    assert f"({audio})" in str(caught.value)
    assert "must hold at least one window of 400 samples, got 399" in str(caught.value)


@pytest.fixture
def table(tmp_path):
    """A plain table of six training and five test recordings of half a second."""
    folder = tmp_path / "table"
    for part, count in (("train", 6), ("test", 5)):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            wave = 0.1 * np.random.default_rng(number).standard_normal(8000)
            soundfile.write(folder / part / f"{number}.wav", wave, 16000)
    rows = [f"{number}.wav,{'ab'[number % 2]}\n" for number in range(6)]
    (folder / "train.csv").write_text("file,label\n" + "".join(rows))
    (folder / "sample_submission.csv").write_text("file,label\n" + "".join(f"{n}.wav,a\n" for n in range(5)))
    return folder


@pytest.mark.parametrize("kind", ["mel", "wave"])
def test_a_test_file_that_can_not_be_read_costs_its_own_row(table, tmp_path, kind):
    soundfile.write(table / "test/1.wav", np.zeros(0), 16000)
    soundfile.write(table / "test/3.wav", np.zeros(32), 16000)
    (table / "test/4.wav").unlink()
    store = pack(open_competition(table), tmp_path / "cache", kind=kind, progress=False)
    assert store.faults()["id"].tolist() == ["1.wav", "3.wav", "4.wav"]
    assert store.faults()["fault"].str.contains("at least one sample|at least one window|no such file").all()
    frames = 48 if kind == "mel" else 8000
    assert store.index["frames"].tolist() == [frames] * 7 + [0, frames, 0, 0]
    soundfile.write(table / "train/1.wav", np.zeros(0), 16000)
    with pytest.raises(CompetitionError, match="1 problem"):
        pack(open_competition(table), tmp_path / "cache", kind=kind, progress=False)


def test_a_test_tensor_that_can_not_be_read_costs_its_own_row(folder, tmp_path):
    test = open_competition(folder).test["path"]
    (folder / test[0]).write_bytes(b"noise")
    (folder / test[1]).unlink()
    torch.save(torch.full((3, 40), torch.nan), folder / test[2])
    (folder / test[3]).write_bytes(b"")
    competition = open_competition(folder)
    assert [note for note in competition.notes if "priors" in note] == [
        f"testdata.json: utterances, row 1 ({test[1]}): no such file on disk; it will be given the class priors",
        f"testdata.json: utterances, row 3 ({test[3]}): the file is empty; it will be given the class priors",
    ]
    store = pack(competition, tmp_path / "cache", progress=False)
    assert store.faults()["id"].tolist() == test[:4].tolist()
    row = store.index.set_index("id").loc[test[4]]
    truth = torch.load(folder / test[4], weights_only=True)
    assert torch.equal(store.features[row["start"] : row["start"] + row["frames"]], truth)


def test_copied_moved_or_touched_data_open_the_same_store(table, tmp_path):
    cache = tmp_path / "cache"
    first = pack(open_competition(table), cache, progress=False)
    before = (first.folder / "features.bin").stat().st_mtime_ns
    os.utime(table / "train/0.wav", (1, 1))
    copy = shutil.copytree(table, tmp_path / "elsewhere" / "other name")
    moved = shutil.move(table, tmp_path / "moved")
    (tmp_path / "moved" / "README").write_text("no table names it")
    for folder in (copy, moved, moved):
        again = pack(open_competition(folder), cache, progress=False)
        assert again.folder == first.folder and (again.folder / "features.bin").stat().st_mtime_ns == before
    assert [path.name for path in cache.iterdir()] == [first.folder.name]


def test_other_data_never_open_the_same_store(table, tmp_path):
    """Of one folder's name, of one size, of the times of the former: a sample in the middle differs."""
    cache, other = tmp_path / "cache", shutil.copytree(table, tmp_path / "b" / "table")
    first = pack(open_competition(table), cache, progress=False)
    content = bytearray((other / "test/2.wav").read_bytes())
    content[8000] ^= 1
    stat = (table / "test/2.wav").stat()
    (other / "test/2.wav").write_bytes(content)
    os.utime(other / "test/2.wav", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = pack(open_competition(other), cache, progress=False)
    assert second.folder != first.folder
    (table / "train.csv").write_text((table / "train.csv").read_text().replace("0.wav,a", "0.wav,b"))
    assert pack(open_competition(table), cache, progress=False).folder not in (first.folder, second.folder)


def test_silent_files_and_channels_that_cancel_are_counted_and_told(table, tmp_path):
    noise = 0.1 * np.random.default_rng(9).standard_normal(8000)
    soundfile.write(table / "train/0.wav", np.zeros(8000), 16000)
    soundfile.write(table / "test/0.wav", np.full(8000, 0.25), 16000)
    soundfile.write(table / "train/3.wav", np.stack([noise, -noise], 1), 16000, subtype="FLOAT")
    competition = open_competition(table)
    for _ in range(2):  # when it is packed, and when it is opened
        with pytest.warns() as caught:
            store = pack(competition, tmp_path / "cache", progress=False)
        assert sorted(str(item.message) for item in caught) == [
            f"{table}: 1 of 11 files, such as 3.wav: its 2 channels cancel when averaged: the loudest is taken",
            f"{table}: 2 of 11 files, such as 0.wav: silent: its samples differ by at most a step of 16 bits",
        ]
    assert store.notes()["id"].tolist() == ["0.wav", "3.wav", "0.wav"]
    assert store.faults().empty and store.features.float().max() > -10, "the loudest channel is heard"


def test_waves_far_above_1_are_told_where_16_bits_keep_them(table, tmp_path):
    soundfile.write(table / "train/0.wav", 3000.0 * np.sin(np.arange(8000)), 16000, subtype="FLOAT")
    with pytest.warns(match="1 of 11 files, such as 0.wav: louder than 1.5: waves are kept in 16 bits"):
        pack(open_competition(table), tmp_path / "cache", kind="wave", progress=False)
    assert pack(open_competition(table), tmp_path / "cache", progress=False).notes().empty
