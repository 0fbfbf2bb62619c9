"""Malformed experiment files for `python -m kit train`: one line that names the file, the field and the rule."""

import json
import re
import sys
from pathlib import Path

import pytest

from kit.__main__ import main
from kit.data.features import LogMel
from kit.experiment import Experiment
from kit.experiment_file import importable, read_experiment
from kit.models.heads import Cosine
from kit.models.pooling import GeM
from kit.parts import Part
from kit.presets import preset, recording_preset


def field(**values):
    return json.dumps(values).encode()


def part(name, **fields):
    return {"part": name, **fields}


FAULTS = {
    # the file's content, then what the message must say
    "empty": (b"", "line 1: not JSON (Expecting value)"),
    "not JSON": (b'{\n "seed": 3,\n}', "line 3: not JSON ("),
    "a comment": (b'{"seed": 3} # enough', "line 1: not JSON (Extra data)"),
    "YAML": (b"seed: 3\n", "line 1: not JSON ("),
    "Latin-1": (b'{"name": "caf\xe9"}', "not UTF-8 text (line 1, "),
    "nested": (b'{"net":' * 100_000, "not JSON that can be read (nested too deep)"),
    "an array": (b"[]", "an experiment must be a JSON object, got list"),
    "null": (b"null", "an experiment must be a JSON object, got NoneType"),
    "a field misspelt": (field(sede=3), "Experiment: no field 'sede' (did you mean seed?); there are name, seed"),
    "a field in another case": (field(Seed=3), "Experiment: no field 'Seed' (did you mean seed?); there are name"),
    "a field twice": (b'{"seed": 3, "seed": 30}', "the key 'seed' is there twice in one object"),
    "a part's field misspelt": (field(loop={"epohcs": 3}), "loop: Loop: no field 'epohcs' (did you mean epochs?)"),
    "a field of a field": (field(epochs=3), "Experiment: no field 'epochs'"),
    "a part misspelt": (field(net=part("Nett")), "net: no part 'Nett' (did you mean Net?); there are AMSoftmax"),
    "a part inside misspelt": (field(net={"head": part("Linaer")}), "net.head: no part 'Linaer' (did you mean Linear"),
    "a part without its name": (field(mix={"alpha": 0.5}), 'mix must be an object with a text "part", got [\'alpha\''),
    "a number for a part's name": (field(net=part(7)), 'net must be an object with a text "part", got'),
    "a part for another field": (field(loop=part("Mean")), "loop must be a Loop, got Mean"),
    "a number for a part": (field(net=3), "net must be a part, got 3"),
    "null for a part": (field(loss=None), "loss must be a part, got None"),
    "a module that is not there": (field(net=part("gone:Net")), "part gone:Net can't be imported: ModuleNotF"),
    "a name that a module lacks": (field(net=part("json:Net")), "part json:Net can't be imported: AttributeError"),
    "a preset that is none": (field(preset="large"), "no preset 'large'; there are tiny, demo, quick, full"),
    "a preset in a list": (field(preset=["demo"]), "preset must be a preset's name, got ['demo']"),
    "a number in text": (field(seed="3"), "seed must be of type int, got '3'"),
    "a number with a fraction": (field(loop={"epochs": 3.0}), "loop: epochs must be of type int, got 3.0"),
    "a truth value for a number": (field(seed=True), "seed must be of type int, got True"),
    "a number for a text": (field(name=7), "name must be of type str, got 7"),
    "null for a number": (field(optimizer={"lr": None}), "optimizer: lr must be of type float, got None"),
    "an array for a number": (field(optimizer={"lr": [1e-3]}), "optimizer: lr must be of type float, got (0.001,)"),
    "below its range": (field(loop={"epochs": 0}), "loop: epochs must be at least 1, got 0"),
    "above its range": (field(net={"backbone": {"dropout": 1.0}}), "net.backbone: dropout must be in [0, 1), got 1.0"),
    "NaN": (b'{"net": {"backbone": {"dropout": NaN}}}', "net.backbone: dropout must be finite, got nan"),
    "without end": (b'{"optimizer": {"weight_decay": Infinity}}', "optimizer: weight_decay must be finite, got inf"),
    "so large that it is without end": (b'{"loop": {"clip_norm": 1e999}}', "loop: clip_norm must be finite, got inf"),
    "more than 64 bits": (field(loop={"epochs": 2**64}), "loop: epochs must fit in 64 bits, got a number of 65 bits"),
    "1,000 digits": (b'{"seed": ' + b"1" * 1000 + b"}", "a whole number must have at most 300 digits, got 1000"),
    "a seed beyond NumPy's": (field(seed=2**32), "seed must be at most 4294967295, got 4294967296"),
    "a name that leaves": (field(name="../up"), "name must be usable as a folder's name, got '../up'"),
    "a name of 300 letters": (field(name="n" * 300), "name must be usable as a folder's name, of at most 200 bytes"),
    "a name of half a pair": (b'{"name": "\\udc00"}', "not text that can be written (half of a surrogate pair)"),
    "augment no list": (field(augment=part("SpecAugment")), "augment must be of type tuple, got"),
    "augment of a text": (field(augment=["SpecAugment"]), "augment must be a tuple of parts, got"),
    "features of a billion bins": (field(features={"n_mels": 10**9}), "features: n_mels must be at most 1024, got 100"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch, voices_folder):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_one_line(folder, capsys, fault, voices_folder):
    content, message = FAULTS[fault]
    (folder / "mine.json").write_bytes(content)
    assert main(["train", "mine.json", "--data", str(voices_folder)]) == 1
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1
    assert error.startswith("kit train: mine.json: ") and message in error, error
    assert [path.name for path in folder.iterdir()] == ["mine.json"]


def test_what_is_no_file_is_named(folder, capsys):
    (folder / "folder.json").mkdir()
    for name, reason in (("gone.json", "No such file or directory"), ("folder.json", "Is a directory")):
        assert main(["train", name, "--data", "gone"]) == 1
        assert re.match(f"kit train: {name}: .*{reason}", capsys.readouterr().err)


DEFAULT = Experiment()
ODD = {
    "nothing": (b" {} \n", DEFAULT),
    "a whole number for a rate": (field(optimizer={"lr": 1}), DEFAULT.but(optimizer__lr=1)),
    "a name in another script": (b'{"name": "\\u0416\\ud83c\\udfb5"}', DEFAULT.but(name="Ж🎵")),
    "the largest seed": (field(seed=2**32 - 1), DEFAULT.but(seed=2**32 - 1)),
    "a part without its name": (field(features={"n_mels": 64}), DEFAULT.but(features=LogMel(n_mels=64))),
    "a part with its name": (field(features=part("LogMel", n_mels=64)), DEFAULT.but(features=LogMel(n_mels=64))),
    "another part": (field(net=part("Net", pooling=part("GeM", p=4.0))), DEFAULT.but(net__pooling=GeM(p=4.0))),
    "a part inside": (field(net={"head": part("Cosine")}), DEFAULT.but(net__head=Cosine())),
    "no augmentation": (field(augment=[]), DEFAULT.but(augment=())),
    "a preset": (field(preset="tiny", name="mine"), preset("tiny").but(name="mine")),
    "a preset with another pooling": (
        field(preset="tiny", net=part("Net", pooling=part("GeM"))),
        preset("tiny").but(net__pooling=GeM()),
    ),
    "a preset with another loop": (field(preset="tiny", loop={"epochs": 9}), preset("tiny").but(loop__epochs=9)),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_read(folder, case, voices):
    content, experiment = ODD[case]
    (folder / "mine.json").write_bytes(content)
    assert read_experiment(Path("mine.json"), lambda: voices, folder / "cache") == experiment


def test_a_recordings_preset_is_its_own(folder, rainforest):
    (folder / "mine.json").write_bytes(field(preset="tiny"))
    assert read_experiment(Path("mine.json"), lambda: rainforest, folder / "cache") == recording_preset("tiny")


def test_a_part_of_ones_own_is_found_beside_the_file(folder):
    (folder / "parts").mkdir()
    (folder / "parts/beside_the_file.py").write_text("def share(frames, mask=None):\n    return frames.mean(1)\n")
    (folder / "parts/mine.json").write_bytes(field(net={"pooling": part("beside_the_file:share")}))
    path, before = list(sys.path), Path("parts/mine.json")
    with importable(folder / "parts", folder):
        experiment = read_experiment(before, None, folder)
    assert isinstance(experiment.net.pooling, Part) and experiment.net.pooling.target.__name__ == "share"
    assert sys.path == path


def test_a_part_whose_file_is_no_python_is_named(folder, capsys):
    (folder / "broken_part.py").write_text("def share(:\n")
    (folder / "mine.json").write_bytes(field(net={"pooling": part("broken_part:share")}))
    assert main(["train", "mine.json", "--data", "gone"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("kit train: mine.json: part broken_part:share can't be imported: SyntaxError(")


def test_a_preset_s_name_in_the_place_of_a_file_is_told_how_to_write_one(tmp_path):
    with pytest.raises(ValueError, match=r'tiny: .*; a preset is a file with \{"preset": ".*tiny"\}'):
        read_experiment(tmp_path / "tiny", None, tmp_path)
