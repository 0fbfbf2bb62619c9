"""What a kernel finds of the files that were sent along: under any mount, the very ones, or one line that says why."""

import importlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from kit.kaggle.attached import LIST, WHEELS, find_weights, flat_name, runs_in
from kit.kaggle.serve import install
from kit.kaggle.weights import gather

SOURCE = "ann/birds-weights"
MOUNTS = [
    "datasets/ann/birds-weights", "birds-weights", "models/ann/birds-weights/pytorch/default/3",
    "birds-weights/pytorch/default/3", "notebooks/ann/made",
]  # fmt: skip


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_INPUT", str(tmp_path / "input"))
    (tmp_path / "input/competitions/birds/train").mkdir(parents=True)
    (tmp_path / "input/competitions/birds/train.csv").write_text("")
    (tmp_path / "input/competitions/birds" / LIST).write_text("another's")
    return tmp_path / "input"


@pytest.fixture
def sent(tmp_path):
    """(sha256 of the list, folder) of two files."""
    files = {"runs/00/a-s0/fold0/best.pt": b"one", "runs/01/b-s0/fold0/best.pt": b"two"}
    for name, content in files.items():
        (tmp_path / "made" / name).parent.mkdir(parents=True)
        (tmp_path / "made" / name).write_bytes(content)
    return gather({name: tmp_path / "made" / name for name in files}, tmp_path / "flat"), tmp_path / "flat"


@pytest.mark.parametrize("mount", MOUNTS)
def test_weights_are_found_under_any_mount_and_lie_by_their_paths(root, sent, mount, capsys):
    shutil.copytree(sent[1], root / mount)
    weights = find_weights(sent[0], SOURCE)
    assert [run.name for run in runs_in(weights)] == ["a-s0", "b-s0"]
    assert (runs_in(weights)[1] / "fold0/best.pt").read_bytes() == b"two"
    assert capsys.readouterr().out == f"weights: {SOURCE}, 2 files as they were sent, sha256 {sent[0][:12]}\n"


def test_one_file_is_given_itself(root, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"net")
    sha256 = gather({"net.safetensors": tmp_path / "net.safetensors"}, root / "datasets/ann/net-weights")
    found = Path(find_weights(sha256, "ann/net-weights"))
    assert found.name == "net.safetensors" and found.read_bytes() == b"net"


def test_what_is_not_attached_or_not_as_it_was_sent_is_one_line(root, sent, tmp_path):
    sha256, flat = sent
    shutil.rmtree(root / "competitions")
    with pytest.raises(ValueError, match=f"^weights: {SOURCE} must be attached to this kernel, got no {LIST} below "):
        find_weights(sha256, SOURCE)
    mount = shutil.copytree(flat, root / "birds-weights")
    with pytest.raises(
        ValueError,
        match=rf"must be attached as it was sent .* sha256 000+\), got birds-weights \({sha256[:12]}\); push",
    ):
        find_weights("0" * 64, SOURCE)
    listed = json.loads((flat / LIST).read_text())
    name = flat_name("best.pt", listed["runs/01/b-s0/fold0/best.pt"])
    (mount / name).write_bytes(b"twi")
    with pytest.raises(
        ValueError,
        match=rf"{name}: must have sha256 {name[:12]} as runs/01/b-s0/fold0/best.pt had when it was sent, got",
    ):
        find_weights(sha256, SOURCE)
    (mount / name).unlink()
    with pytest.raises(ValueError, match=f"birds-weights: must hold {name}, which is runs/01/b-s0/fold0/best.pt; "):
        find_weights(sha256, SOURCE)


def test_a_path_that_leads_elsewhere_is_refused(root, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    sha256 = gather({"../../x": tmp_path / "x"}, root / "birds-weights")
    with pytest.raises(ValueError, match=r"must name paths below one folder, got '../../x'"):
        find_weights(sha256, SOURCE)


def test_a_package_comes_from_its_wheel(tmp_path, capsys):
    install("json", tmp_path)  # there already
    with pytest.raises(
        ValueError, match=r"^absent_one must have a wheel for Python 3\.\d+ among those attached, got no wheels$"
    ):
        install("absent_one", tmp_path)
    (tmp_path / WHEELS).mkdir()
    (tmp_path / WHEELS / "absent_one-1-cp39-cp39-win32.whl").write_bytes(b"0")
    with pytest.raises(ValueError, match=r"attached, got absent_one-1-cp39-cp39-win32.whl$"):
        install("absent_one", tmp_path)
    assert capsys.readouterr().out == ""


def test_a_wheel_that_fits_is_installed(tmp_path, monkeypatch, capsys):
    """A package of one line, put aside from those of this machine."""
    (tmp_path / WHEELS).mkdir()
    with zipfile.ZipFile(tmp_path / WHEELS / "kit_trial_net-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("kit_trial_net.py", "x = 1\n")
        info = "kit_trial_net-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: kit-trial-net\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"kit_trial_net.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    install("kit_trial_net", tmp_path)
    assert importlib.import_module("kit_trial_net").x == 1
    assert capsys.readouterr().out == "installed kit_trial_net\n"
