"""Crops decoded from the recordings by seeking: the samples, batches and trainings of a store of waves."""

import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from kit.competition.competition import open_competition
from kit.competition.containers import AudioError, last_page
from kit.competition.folds import Folds
from kit.data import packed_files, rows
from kit.data.audio import Straight, read_wave
from kit.data.crops import RandomCrops, WindowCrops
from kit.data.dataset import SpectrogramDataset, Training
from kit.data.features import LogMel, Wave
from kit.data.mels import Mels
from kit.data.recording_files import decoded, last_sought
from kit.data.store import open_store, pack
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.training.crossval import crossval
from kit.training.loop import Loop

RATE = 16_000
MEL = LogMel(RATE, 16)
FORMS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III", "opus": "OPUS"}


def write(path, seconds=3.0, rate=RATE, channels=1, subtype=None, seed=0):
    """Noise that swells, so that no two places are alike; of a length that ends in no whole block of any coder."""
    n = round(seconds * rate) + 117
    wave = np.random.default_rng(seed).standard_normal((n, channels)) * np.linspace(0.01, 0.2, n)[:, None]
    kind = "OGG" if path.suffix == ".opus" else path.suffix[1:].upper()
    with soundfile.SoundFile(path, "w", rate, channels, subtype, format=kind) as file:
        for first in range(0, n, rate):  # libsndfile overflows where it codes much Vorbis at once
            file.write(wave[first : first + rate])
    return path


@pytest.mark.parametrize(("form", "rate", "channels", "to_hz"), [
    *((form, RATE, 1, RATE) for form in FORMS),
    ("wav", 44_100, 2, RATE), ("flac", 22_050, 1, RATE), ("ogg", 32_000, 2, RATE), ("mp3", 44_100, 1, RATE),
    ("ogg", RATE, 1, 22_050),
])  # fmt: skip
def test_samples_are_those_of_a_whole_decoding(tmp_path, form, rate, channels, to_hz):
    path = write(tmp_path / f"a.{form}", 5.0, rate, channels, FORMS[form])
    whole, seek = read_wave(path, to_hz)[0].numpy(), last_sought(path)
    generator, n = np.random.default_rng(1), len(whole)
    places = [0, n - 700, n - 2, *generator.integers(0, n - 1, 12).tolist()]
    for first in places:
        count = min(n - first, int(generator.integers(1, to_hz)))
        with Straight(path) as file:
            assert np.array_equal(decoded(file, first, count, to_hz, -1, seek), whole[first : first + count]), first


def test_what_may_be_sought(tmp_path):
    """All of a WAV or FLAC; of Ogg what lies a second before the last page; nothing of MP3, nor of ADPCM."""
    n = 5 * RATE + 117
    for form in ("wav", "flac"):
        assert last_sought(write(tmp_path / f"a.{form}", 5.0)) == n
    assert last_sought(write(tmp_path / "b.wav", 5.0, subtype="MS_ADPCM")) == 0
    assert last_sought(write(tmp_path / "a.mp3", 5.0)) == 0
    ogg = write(tmp_path / "a.ogg", 5.0)
    assert last_sought(ogg) == last_page(ogg) - RATE > RATE
    assert last_sought(write(tmp_path / "a.opus", 5.0, subtype="OPUS")) == last_page(tmp_path / "a.opus") // 3 - RATE
    assert last_sought(write(tmp_path / "short.ogg", 0.2)) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Eight training clips of many forms, the first with channels that cancel; a test clip and a broken one."""
    folder = tmp_path_factory.mktemp("made") / "data"
    forms = [("wav", RATE), ("flac", RATE), ("ogg", 32_000), ("mp3", RATE)] * 2
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
    for number, (form, rate) in enumerate(forms):
        write(folder / "train" / f"{number}.{form}", 1.0 + 0.1 * number, rate, seed=number)
    wave = 0.1 * np.random.default_rng(9).standard_normal(RATE)
    soundfile.write(folder / "train/0.wav", np.stack([wave, -1.01 * wave], 1), RATE)
    write(folder / "test/t.ogg", 1.5)
    (folder / "test/bad.ogg").write_bytes(b"noise")
    lines = "".join(f"{number}.{form},{'xy'[number % 2]}\n" for number, (form, _) in enumerate(forms))
    (folder / "train.csv").write_text("file,label\n" + lines)
    (folder / "sample_submission.csv").write_text("file,label\nt.ogg,x\nbad.ogg,x\n")
    return folder


def opened(folder, cache, kind):
    with pytest.warns(UserWarning, match="2 channels cancel"):
        return pack(open_competition(folder), cache, MEL, kind, progress=False)


@pytest.fixture(scope="module")
def both(made):
    """The waves packed, and what is read from their files."""
    return opened(made, made.parent / "cache", "wave"), opened(made, made.parent / "cache", "files")


@pytest.fixture
def own(made, both, tmp_path):
    """A folder that a test may change, and its store without samples."""
    folder = shutil.copytree(made, tmp_path / "data")
    return folder, opened(folder, shutil.copytree(made.parent / "cache", tmp_path / "cache"), "files")


def test_a_store_without_samples_has_the_rows_of_a_store_of_waves(both):
    waves, files = both
    pd.testing.assert_frame_equal(files.index, waves.index)
    assert files.faults()["id"].tolist() == ["bad.ogg"] and files.kind == "wave" and files.folder != waves.folder
    assert not (files.folder / "features.bin").exists() and files.features is None
    for row in np.flatnonzero(waves.index["frames"]):
        assert torch.equal(files.recording(row), waves.recording(row)), row


def batches(store, crop, rows, training):
    mels = Mels(store)
    crop = crop(mels.units(40))
    dataset = SpectrogramDataset(store, rows, crop, mels=mels, training=Training() if training else None)
    return [dataset.__getitems__([0, 3, 7, 2]), dataset.__getitems__([1, 5])]


@pytest.mark.parametrize("crop", [RandomCrops, lambda units: WindowCrops(units, units // 2)])
def test_batches_are_those_of_a_store_of_waves(both, crop):
    waves, files = both
    rows, training = waves.rows("train"), crop is RandomCrops
    expected, found = batches(waves, crop, rows, training), batches(open_store(files.folder), crop, rows, training)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.mel, theirs.mel) and torch.equal(ours.row, theirs.row)
        assert ours.mask is None and theirs.mask is None or torch.equal(ours.mask, theirs.mask)


def test_a_training_and_its_predictions_are_those_of_a_store_of_waves(made, tmp_path):
    experiment = Experiment(
        name="waves", folds=Folds(2), features=Wave(MEL), crop_frames=32,
        net=Net(Conformer(width=8, layers=1, heads=1, ff_width=8, kernel_size=3)),
        loop=Loop(epochs=1, epoch_steps=2, batch_size=4),
    )  # fmt: skip
    of_files = experiment.but(name="files", features__from_files=True)
    options = {"cache": made.parent / "cache", "folds": [0], "n_jobs": 1, "progress": False}
    with pytest.warns(UserWarning):
        runs = crossval([experiment, of_files], open_competition(made), tmp_path, **options)
    for file in ("oof.parquet", "test.parquet"):
        ours, theirs = (pd.read_parquet(run.folder / "fold0" / file) for run in runs)
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_a_folder_that_moved_is_found_again(own, both, tmp_path):
    folder, files = own
    moved = shutil.move(folder, tmp_path / "moved")
    with pytest.raises(AudioError, match=r"audio file must be there and readable, as it was, got .*data/train/1.flac"):
        files.recording(1)
    again = opened(moved, tmp_path / "cache", "files")
    assert again.folder == files.folder and torch.equal(again.recording(1), both[0].recording(1))


def test_a_recording_that_changed_is_named(own):
    folder, files = own
    write(folder / "train/1.flac", 0.5)
    with pytest.raises(AudioError, match=rf"must have {round(1.1 * RATE) + 117} frames, as it had, got .*1.flac of"):
        files.recording(1)


def test_a_crop_of_a_long_recording_holds_no_more_than_itself(tmp_path):
    """A minute is 3.8 MB as single precision, and a second of it 64 kB."""
    path = write(tmp_path / "long.flac", 60.0)
    tracemalloc.start()
    with Straight(path) as file:
        decoded(file, 50 * RATE, RATE, RATE, -1, last_sought(path))
    assert tracemalloc.get_traced_memory()[1] < 500_000
    tracemalloc.stop()


def test_a_listening_that_was_cut_short_goes_on(made, both, tmp_path, monkeypatch):
    heard, whole, most = [], rows._recording, 6

    def listened(path, *values, **options):
        heard.append(path)
        if len(heard) > most:
            raise KeyboardInterrupt
        return whole(path, *values, **options)

    monkeypatch.setattr(packed_files, "CONFIRM_SECONDS", 0)
    monkeypatch.setattr(rows, "AHEAD", 1)
    monkeypatch.setattr(rows, "_recording", listened)
    with pytest.raises(KeyboardInterrupt):
        pack(open_competition(made), tmp_path, MEL, "files", progress=False)
    heard, most = [], 100
    store = opened(made, tmp_path, "files")
    assert 0 < len(heard) < 10, "of ten files some were listened to before"
    pd.testing.assert_frame_equal(store.index, both[1].index)


def test_no_disk_is_needed_for_the_samples(made, tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(OSError, match="for a store of"):
        pack(open_competition(made), tmp_path / "other", MEL, "wave", progress=False)
    opened(made, tmp_path / "other", "files")


def test_only_audio_can_be_left_in_its_files(made, tmp_path):
    competition = open_competition(made)
    mels = replace(competition, train=competition.train.drop(columns="audio"))
    with pytest.raises(ValueError, match='kind "files" needs audio files'):
        pack(mels, tmp_path, MEL, "files")
