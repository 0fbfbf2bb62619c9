"""Several sorts of features from one decoding of each file: the bits of each sort's own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from kit.data import audio
from kit.data.audio import WaveReader
from kit.data.features import LogMel, Wave
from kit.data.store import pack
from kit.inference.clock import Clock
from kit.inference.decoding import Decodings
from kit.inference.nets import fold_nets
from kit.inference.packing import features_key, without_training
from kit.inference.stores import Stores, key_of
from tests.inference.conftest import MEL, TEST

SORTS = (MEL, replace(MEL, n_mels=24), LogMel(4000, 16, fmax_hz=2000.0), Wave(MEL))


@pytest.fixture
def decoded(monkeypatch):
    """The names of files, once for each time that one is decoded."""
    names, real = [], WaveReader._blocks

    def blocks(self, file, frames):
        names.append(self.path.name)
        yield from real(self, file, frames)

    monkeypatch.setattr(WaveReader, "_blocks", blocks)
    return names


@pytest.mark.parametrize("minutes", [None, 60.0])
def test_a_file_is_decoded_once_for_all_sorts_of_features(run_a, sounds, decoded, tmp_path, monkeypatch, minutes):
    monkeypatch.setattr("kit.inference.packing.FIRST_FILES", 5)  # shares of 5, 10 and 5 files
    (net,) = fold_nets(run_a, [0])
    nets = [replace(net, experiment=net.experiment.but(features=features)) for features in SORTS]
    stores = Stores(nets, sounds, tmp_path / "cache", Clock(minutes), progress=False)
    stores.first_shares()
    stores.pack(map(key_of, nets))
    stores.join()
    unusable = ("t3.wav", "t8.wav")  # of which the one is empty, the other refused by its header
    assert sorted(decoded) == sorted(file for file, _, _ in TEST if file not in unusable)
    for features in SORTS:
        alone = pack(without_training(sounds), tmp_path / "alone", *features_key(features), progress=False)
        store = stores.packed[features_key(features)]
        pd.testing.assert_frame_equal(store.index, alone.index)
        assert (store.folder / "features.bin").read_bytes() == (alone.folder / "features.bin").read_bytes()
        assert store.folder.name == alone.folder.name
    kept = {store.folder.name for store in stores.packed.values()}
    assert {path.name for path in (tmp_path / "cache").iterdir()} == kept  # shares and decoded waves are gone


@pytest.fixture
def stereo(tmp_path, monkeypatch):
    """Two channels that cancel, of 5,000 samples in blocks of 512."""
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 1024)
    monkeypatch.setattr("kit.inference.decoding.BLOCK_SAMPLES", 512)
    noise = 0.1 * np.random.default_rng(0).standard_normal(5000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([noise, -noise], 1), 8000)
    return tmp_path / "stereo.wav"


def wave_of(reader):
    return np.concatenate(list(reader)), reader.samples, reader.note


def test_what_is_kept_is_read_as_it_was_decoded(stereo, decoded, tmp_path):
    decodings = Decodings(tmp_path / "kept")
    asked = ((8000, None), (8000, None), (6000, None), (6000, 1500), (8000, 700))
    waves = [wave_of(decodings(stereo, *each)) for each in asked]
    assert len(decoded) == 2  # of several channels, once to tell whether they cancel
    for each, (wave, samples, note) in zip(asked, waves, strict=True):
        alone = wave_of(WaveReader(stereo, *each))
        np.testing.assert_array_equal(wave, alone[0])
        assert (samples, note) == alone[1:] and "its 2 channels cancel" in note


def test_another_share_or_a_longer_wave_is_decoded_anew(stereo, decoded, tmp_path):
    decodings = Decodings(tmp_path / "kept")
    for most, times in ((700, 2), (700, 2), (None, 4), (None, 4)):
        wave_of(decodings(stereo, 8000, most))
        assert len(decoded) == times
    decodings.begin(0)
    assert decodings.kept
    decodings.begin(1)
    assert not decodings.kept and not decodings.file.seek(0, 2)


def test_where_the_disk_is_full_a_file_is_decoded_again(stereo, decoded, tmp_path):
    decodings = Decodings(tmp_path / "kept")

    class Full:
        def seek(self, _):
            pass

        def write(self, content):
            raise OSError(28, "No space left on device")

    decodings.file = Full()
    waves = [wave_of(decodings(stereo, 8000)) for _ in range(2)]
    assert len(decoded) == 4
    np.testing.assert_array_equal(waves[0][0], waves[1][0])
