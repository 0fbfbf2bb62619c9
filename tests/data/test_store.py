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

import kit.data.store as store_module
from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError
from kit.data.audio import LogMel, MelSpec, load_wave
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
    keys.add(pack(competition, tmp_path / "cache", MelSpec(n_mels=20), kind="wave", progress=False).folder.name)
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
    spec = MelSpec(n_mels=24)
    store = pack(open_competition(tmp_path), tmp_path / "cache", spec, progress=False)
    truth = LogMel(spec)(load_wave(tmp_path / "train/b.wav", 16000)[None])[0]
    row = store.index.iloc[1]
    assert store.mel == spec
    assert (store.features[row["start"] : row["start"] + row["frames"]].float() - truth).abs().max() < 0.01


@pytest.mark.parametrize("most", [1, 7, 48, 49])  # of 48 frames
def test_a_long_recording_is_packed_in_stretches_with_the_frames_of_the_whole(tmp_path, monkeypatch, most):
    spec, path = MelSpec(n_mels=24), tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    whole = LogMel(spec)(load_wave(path, 16000)[None])[0]
    monkeypatch.setattr(store_module, "MOST_FRAMES", most)
    lengths = [spec.n_frames(part.shape[1]) for part in store_module._stretches(torch.zeros(1, 8000), spec)]
    assert max(lengths) <= most and sum(lengths) == len(whole) == 48
    found = torch.from_numpy(store_module._wave_mel(path, spec, LogMel(spec)))
    assert found.shape == whole.shape and (found.float() - whole).abs().max() < 0.01


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
    index.loc[0, "frames"] += 1
    index.to_parquet(store.folder / "index.parquet")
    with pytest.raises(ValueError, match=r"features.bin: must have \d+ bytes, has \d+; delete the folder"):
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
    with pytest.raises(ValueError, match='kind must be "mel" or "wave", got "both"'.replace('"both"', "'both'")):
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
