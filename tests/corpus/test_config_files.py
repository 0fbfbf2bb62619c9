"""Malformed config files for `python -m kit train`: one line that names the file, the field and the rule."""

import json
import re

import pytest

from kit.__main__ import main
from kit.data.audio import MelSpec
from kit.training.config import Config


def field(**values):
    return json.dumps(values).encode()


FAULTS = {
    # the file's content, then what the message must say
    "empty": (b"", "line 1: not JSON (Expecting value)"),
    "not JSON": (b'{\n "epochs": 3,\n}', "line 3: not JSON ("),
    "a comment": (b'{"epochs": 3} # enough', "line 1: not JSON (Extra data)"),
    "YAML": (b"epochs: 3\n", "line 1: not JSON ("),
    "Latin-1": (b'{"name": "caf\xe9"}', "not UTF-8 text (line 1, "),
    "nested": (b'{"mel":' * 100_000, "not JSON that can be read (nested too deep)"),
    "an array": (b"[]", "a config must be a JSON object, got list"),
    "null": (b"null", "a config must be a JSON object, got NoneType"),
    "a field misspelt": (field(epohcs=3), "epohcs is no field; the fields are name, seed"),
    "a field in another case": (field(Epochs=3), "Epochs is no field"),
    "a field twice": (b'{"epochs": 3, "epochs": 30}', "the key 'epochs' is there twice in one object"),
    "a number in text": (field(epochs="3"), "epochs must be of type int, got '3'"),
    "a number with a fraction": (field(epochs=3.0), "epochs must be of type int, got 3.0"),
    "a truth value for a number": (field(epochs=True), "epochs must be of type int, got True"),
    "a number for a truth value": (field(mix_per_row=1), "mix_per_row must be of type bool, got 1"),
    "a number for a text": (field(name=7), "name must be of type str, got 7"),
    "null for a number": (field(lr=None), "lr must be of type float, got None"),
    "an array for a number": (field(lr=[1e-3]), "lr must be of type float, got (0.001,)"),
    "an object for a text": (field(head={"kind": "linear"}), "head must be of type str, got {'kind': 'linear'}"),
    "a choice that is none": (field(head="arcface"), "head must be one of linear, cosine, am_softmax, sed, got 'arcfa"),
    "below its range": (field(epochs=0), "epochs must be at least 1, got 0"),
    "above its range": (field(dropout=1.0), "dropout must be in [0, 1), got 1.0"),
    "NaN": (b'{"dropout": NaN}', "dropout must be in [0, 1), got nan"),
    "NaN for a rate": (b'{"lr": NaN}', "lr must be above 0, got nan"),
    "NaN for a weight": (b'{"weight_decay": NaN}', "weight_decay must be at least 0, got nan"),
    "without end": (b'{"weight_decay": Infinity}', "weight_decay must be finite, got inf"),
    "so large that it is without end": (b'{"clip_norm": 1e999}', "clip_norm must be finite, got inf"),
    "more than 64 bits": (field(epochs=2**64), "epochs must fit in 64 bits, got a number of 65 bits"),
    "more than 64 bits for a rate": (field(lr=2**64), "lr must fit in 64 bits, got a number of 65 bits"),
    "1,000 digits": (b'{"lr": ' + b"1" * 1000 + b"}", "a whole number must have at most 300 digits, got 1000"),
    "a seed beyond NumPy's": (field(seed=2**32), "seed must be at most 4294967295, got 4294967296"),
    "a seed beyond scikit-learn's": (field(fold_seed=2**32), "fold_seed must be at most 4294967295, got 4294967296"),
    "a name that leaves": (field(name="../up"), "name must be usable as a folder's name, got '../up'"),
    "a name of 300 letters": (field(name="n" * 300), "name must be usable as a folder's name, of at most 200 bytes"),
    "a name of half a pair": (b'{"name": "\\udc00"}', "not text that can be written (half of a surrogate pair)"),
    "a range of one end": (field(wave_snr_db=[3]), "wave_snr_db must be (low, high) with low <= high, got (3,)"),
    "a range of texts": (field(wave_gain_db=["a", "b"]), "wave_gain_db must be (low, high) with low <= high"),
    "a range the other way": (field(wave_stretch_rate=[2, 1]), "wave_stretch_rate must be (low, high) with low <= hig"),
    "a range without end": (b'{"wave_gain_db": [-Infinity, 0]}', "wave_gain_db must be (low, high) with low <= high"),
    "a place that is no text": (field(mix="manifold", mix_places=[["stem"]]), "mix_places must be names of places"),
    "mel an array": (field(mel=[40]), "mel. must be a JSON object, got list"),
    "mel misspelt": (field(mel={"n_mel": 40}), "mel.n_mel is no field; the fields are sample_rate_hz, n_mels"),
    "mel in text": (field(mel={"fmin_hz": "20"}), "fmin_hz must be a number, got '20'"),
    "mel of truth values": (field(mel={"n_mels": True}), "n_mels must be a whole number of at least 1, got True"),
    "mel null": (field(mel={"window_seconds": None}), "window_seconds must be a number, got None"),
    "mel NaN": (b'{"mel": {"fmax_hz": NaN}}', "fmin_hz must be in [0, fmax_hz = nan), got 20.0"),
    "mel of a billion bins": (field(mel={"n_mels": 10**9}), "n_mels must be at most 1024, got 1000000000"),
    "mel of an hour": (field(mel={"window_seconds": 3600}), "window_samples must be at most 131072, got 57600000"),
    "mel of a rate of 300 digits": (field(mel={"sample_rate_hz": 10**299}), "sample_rate_hz must be at most 768000"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_one_line(tmp_path, monkeypatch, capsys, fault):
    content, message = FAULTS[fault]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_bytes(content)
    assert main(["train", "config.json", "--data", "gone"]) == 1
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1
    assert re.match(re.escape(f"kit train: config.json: {message}"), error), error
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_what_is_no_file_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    for name, reason in (("gone.json", "No such file or directory"), ("folder.json", "Is a directory")):
        assert main(["train", name, "--data", "gone"]) == 1
        assert re.match(f"kit train: {name}: .*{reason}", capsys.readouterr().err)


ODD = {
    "nothing": (b" {} \n", Config()),
    "a whole number for a rate": (field(lr=1, clip_norm=0), Config(lr=1, clip_norm=0)),
    "arrays for ranges": (field(wave_gain_db=[-3, 3.5]), Config(wave_gain_db=(-3, 3.5))),
    "a name in another script": (b'{"name": "\\u0416\\ud83c\\udfb5"}', Config(name="Ж🎵")),
    "a part of mel": (field(mel={"n_mels": 64}), Config(mel=MelSpec(n_mels=64))),
    "the largest seed": (field(seed=2**32 - 1), Config(seed=2**32 - 1)),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_read(tmp_path, case):
    content, config = ODD[case]
    (tmp_path / "config.json").write_bytes(content)
    assert Config.load(tmp_path / "config.json") == config
