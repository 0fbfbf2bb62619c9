"""Weights to the stub and back: what arrives, when it is sent again, and each way to go wrong as one line."""

import hashlib
import json
from types import SimpleNamespace

import pytest

from kit.kaggle import uploads, weights, wheels
from kit.kaggle.attached import LIST, flat_name
from kit.kaggle.client import Kaggle, KaggleError, KaggleFailure
from kit.kaggle.secrets import SecretError
from kit.kaggle.sent import send_weights
from kit.kaggle.uploads import check_name, name_of_weights, send_folder
from kit.kaggle.weights import files_of_runs, files_of_weights, files_of_wheels, gather

REF = "stub-user/birds-weights"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(uploads, "POLL_SECONDS", 0.01)


@pytest.fixture
def files(tmp_path):
    """Two files of one name, one of an odd one."""
    made = {"a/best.pt": b"one", "b/best.pt": b"two", "b/my net (1).bin": b"three"}
    for name, content in made.items():
        path = tmp_path / "made" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return {name: tmp_path / "made" / name for name in made}


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_files_lie_flat_by_their_sha256_and_the_list_tells_their_paths(files, tmp_path):
    digest = gather(files, tmp_path / "flat")
    named = {f"{sha(b'one')[:12]}-best.pt", f"{sha(b'two')[:12]}-best.pt", f"{sha(b'three')[:12]}-my-net-1-.bin", LIST}
    assert {path.name for path in (tmp_path / "flat").iterdir()} == named
    listed = {"a/best.pt": sha(b"one"), "b/best.pt": sha(b"two"), "b/my net (1).bin": sha(b"three")}
    assert json.loads((tmp_path / "flat" / LIST).read_text()) == listed
    assert digest == sha((tmp_path / "flat" / LIST).read_bytes()) == gather(files, tmp_path / "flat")
    del files["a/best.pt"]
    assert gather(files, tmp_path / "flat") != digest
    assert flat_name("a/best.pt", sha(b"one")) not in {path.name for path in (tmp_path / "flat").iterdir()}


def test_a_private_dataset_is_created_and_then_given_versions(account, stub, files, capsys):
    stub.dataset_states = ["BLOBS_RECEIVED", "READY"]
    kaggle, folder = Kaggle(), account / "flat"
    sent = send_weights(kaggle, "dataset", files, folder, REF)
    assert sent.source == REF and stub.datasets[REF] == [{path.name: path.read_bytes() for path in folder.iterdir() if
                                                          not path.name.endswith("-metadata.json")}]  # fmt: skip
    assert sha(stub.datasets[REF][0][LIST]) == sent.sha256
    assert stub.count("GetDatasetStatus") == 4  # there? (Kaggle's client asks again), and whether it is ready, twice
    assert send_weights(kaggle, "dataset", files, folder, REF) == sent and len(stub.datasets[REF]) == 1
    assert f"{REF} holds them already" in capsys.readouterr().out
    files["a/best.pt"].write_bytes(b"other")
    again = send_weights(kaggle, "dataset", files, folder, REF)
    assert again.sha256 != sent.sha256 and len(stub.datasets[REF]) == 2
    assert b"other" in stub.datasets[REF][1].values()
    del stub.datasets[REF]  # by hand, on the site
    send_weights(kaggle, "dataset", files, folder, REF)
    assert len(stub.datasets[REF]) == 1


def test_a_private_model_is_created_and_then_given_versions(account, stub, files):
    kaggle, folder = Kaggle(), account / "flat"
    sent = send_weights(kaggle, "model", files, folder, REF)
    assert sent.source == f"{REF}/pyTorch/default/1"
    (versions,) = stub.models[REF].values()
    assert sha(versions[0][LIST]) == sent.sha256
    assert send_weights(kaggle, "model", files, folder, REF) == sent
    files["a/best.pt"].write_bytes(b"other")
    assert send_weights(kaggle, "model", files, folder, REF).source == f"{REF}/pyTorch/default/2"
    assert stub.count("CreateModel") == stub.count("CreateModelInstance") == 1


@pytest.mark.parametrize(
    ("method", "answer", "told"),
    [
        ("CreateDataset", {"status": "error", "error": "Invalid license"}, "^dataset stub-user/birds-weights: Invalid"),
        ("CreateDataset", {"status": "error"}, "the answer is 'error'"),
        ("CreateModel", {"error": "Slug in use", "errorCode": 409}, "^model stub-user/birds-weights: Slug in use$"),
        ("CreateModelInstance", {"error": "No such license"}, "No such license"),
    ],
)
def test_an_answer_of_200_that_holds_an_error_is_an_error(account, stub, files, method, answer, told):
    stub.answer[method] = answer
    gather(files, account / "flat")
    kind = "model" if "Model" in method else "dataset"
    with pytest.raises(KaggleError, match=told):
        send_folder(Kaggle(), kind, account / "flat", REF, "notes")


def test_what_fails_on_the_way_and_afterwards_is_one_line(account, stub, files, monkeypatch):
    gather(files, account / "flat")
    kaggle = Kaggle()
    stub.fail["GetDatasetStatus"] = (500, "Oh no")
    with pytest.raises(KaggleError, match="dataset stub-user/birds-weights: 500: Oh no"):
        send_folder(kaggle, "dataset", account / "flat", REF, "notes")
    stub.fail = {"PUT": (400, "")}
    with pytest.raises(KaggleError, match="Upload unsuccessful: "):
        send_folder(kaggle, "dataset", account / "flat", REF, "notes")
    assert stub.datasets == {}
    stub.fail, stub.dataset_states = {}, ["FAILED"]
    with pytest.raises(KaggleFailure, match="Kaggle took the files, and then: failed"):
        send_folder(kaggle, "dataset", account / "flat", REF, "notes")
    stub.dataset_states = ["REPROCESSING"]
    monkeypatch.setattr(uploads, "WAIT_SECONDS", 0.0)
    with pytest.raises(KaggleError, match="is not ready after 0 minutes; the same command looks again") as caught:
        send_folder(kaggle, "dataset", account / "flat", REF, "notes")
    assert caught.value.passing


def test_a_dry_run_sends_nothing(nobody, files, capsys):
    assert send_weights(None, "dataset", files, nobody / "flat", REF).source == REF
    assert send_weights(None, "model", files, nobody / "flat", REF).source == f"{REF}/pyTorch/default/1"
    assert "not sent: 3 files" in capsys.readouterr().out


def test_a_name_is_one_that_kaggle_takes():
    assert name_of_weights("tf_efficientnet_b0.NS") == "tf-efficientnet-b0-ns-weights"
    assert len(name_of_weights("x" * 80)) == 50
    for ref in ("ann", "ann/Birds", "ann/-birds", "ann/birds--x", "a b/birds"):
        with pytest.raises(ValueError, match="must be named owner/name of lower-case letters, digits and hyphens, got"):
            check_name(ref)
    for name in ("birds", "x" * 51):
        with pytest.raises(ValueError, match="must have 6 to 50 letters, got"):
            check_name(f"ann/{name}")


def run_folder(folder, *folds, priors=True):
    folder.mkdir(parents=True)
    (folder / "experiment.json").write_text('{"folds": {"part": "Folds", "n": 2}, "weights": "/home/ann/w.pt"}')
    (folder / "metrics.json").write_text("{}")
    (folder / "oof.parquet").write_bytes(b"0")
    for fold in folds:
        (folder / f"fold{fold}").mkdir()
        (folder / f"fold{fold}/metrics.json").write_text('{"priors": [0.5, 0.5]}' if priors else "{}")
        for name in ("best.pt", "last.pt", "log.csv", "oof.parquet"):
            (folder / f"fold{fold}" / name).write_bytes(b"0")
    return folder


def test_of_a_run_what_a_prediction_needs_is_sent(tmp_path):
    run = run_folder(tmp_path / "runs/a-s0", 0, 1)
    (run / "sources").mkdir()
    (run / "sources/mine.py").write_text("x = 1\n")
    found = files_of_runs([run, run_folder(tmp_path / "b", 0, 1, priors=False)])
    first = ["experiment.json", "fold0/best.pt", "fold0/metrics.json", "fold1/best.pt",
             "fold1/metrics.json", "metrics.json", "sources/mine.py"]  # fmt: skip
    assert sorted(name for name in found if name.startswith("runs/00/")) == [f"runs/00/a-s0/{name}" for name in first]
    assert "runs/01/b/oof.parquet" in found, "whence an older run takes its priors"
    gather(found, tmp_path / "flat")  # a home folder among what was asked stays private
    (run / "sources/mine.py").write_text("key = 'KGAT_0123456789abcdef0123'\n")
    with pytest.raises(SecretError, match=r"mine.py, line 1: must hold nothing secret"):
        gather(found, tmp_path / "flat")


def test_a_missing_fold_is_one_line(tmp_path):
    run = run_folder(tmp_path / "a-s0", 0)
    with pytest.raises(FileNotFoundError, match=r"a-s0/fold1: must be a trained fold, has no best.pt; --folds 0,1 "):
        files_of_runs([run])
    assert "runs/00/a-s0/fold0/best.pt" in files_of_runs([run], [0])
    with pytest.raises(FileNotFoundError, match=r"a-s0/fold1: must be a trained fold, has no best.pt$"):
        files_of_runs([run], [0, 1])
    with pytest.raises(FileNotFoundError, match="made: must be the folder of a run, has no experiment.json"):
        files_of_runs([tmp_path / "made"])


def test_another_engines_files_go_along_and_must_be_there(tmp_path):
    run = run_folder(tmp_path / "a-s0", 0, 1)
    (run / "exported").mkdir()
    for name in ("fold0.onnx", "fold1.onnx", "fold0.xml"):
        (run / "exported" / name).write_bytes(b"0")
    exported = [name for name in files_of_runs([run], engine="onnx") if "exported" in name]
    assert exported == ["runs/00/a-s0/exported/fold0.onnx", "runs/00/a-s0/exported/fold1.onnx"]
    with pytest.raises(
        FileNotFoundError, match=r"exported/fold0.bin: no such file; python -m kit export .*a-s0 --to op"
    ):
        files_of_runs([run], engine="openvino")


def test_weights_are_a_file_or_a_folder_and_wheels_are_wheels(files, tmp_path):
    assert files_of_weights(files["a/best.pt"]) == {"best.pt": files["a/best.pt"]}
    assert files_of_weights(tmp_path / "made") == files
    with pytest.raises(FileNotFoundError, match="none: weights must be a file, or a folder with files, got neither"):
        files_of_weights(tmp_path / "none")
    with pytest.raises(ValueError, match=r"made: must hold wheels to send, got no .whl"):
        files_of_wheels(tmp_path / "made")
    (tmp_path / "made/x-1-cp312-none-any.whl").write_bytes(b"0")
    assert list(files_of_wheels(tmp_path / "made")) == ["wheels/x-1-cp312-none-any.whl"]


def test_hidden_files_and_caches_of_a_folder_stay_at_home(files, tmp_path):
    for name in (".env", ".git/config", "a/.netrc", "__pycache__/mine.pyc"):
        (tmp_path / "made" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "made" / name).write_text("x")
    assert files_of_weights(tmp_path / "made") == files
    (tmp_path / ".home/net").mkdir(parents=True)
    (tmp_path / ".home/net/net.pt").write_bytes(b"0")
    assert list(files_of_weights(tmp_path / ".home/net")) == ["net.pt"], "hidden is a name below the folder alone"


def test_any_small_text_is_looked_through_for_secrets(tmp_path, monkeypatch):
    path, secret = tmp_path / "config.yaml", b"weights: 1\ntoken: KGAT_0123456789abcdef0123\n"
    path.write_bytes(secret)
    with pytest.raises(SecretError, match=r"config.yaml, line 2: must hold nothing secret .* a Kaggle token"):
        gather({"config.yaml": path}, tmp_path / "flat")
    assert not (tmp_path / "flat").exists()
    path.write_bytes(b"\xff" + secret)  # of weights, which can hold any bytes
    gather({"config.yaml": path}, tmp_path / "flat")
    path.write_bytes(secret)
    monkeypatch.setattr(weights, "TEXT_BYTES", len(secret))
    gather({"config.yaml": path}, tmp_path / "flat")


def test_only_files_of_a_former_push_are_deleted(files, tmp_path):
    flat = tmp_path / "flat"
    gather(files, flat)
    (flat / "sub").mkdir()
    (flat / "dataset-metadata.json").write_text("{}")
    (flat / ".best.pt-x1.part").write_text("")
    del files["a/best.pt"]
    gather(files, flat)
    assert len(list(flat.iterdir())) == 2 + 1 + 1, "two files, their list, and the folder, which is not sent"
    (flat / "thesis.tex").write_text("mine")
    del files["b/best.pt"]
    with pytest.raises(ValueError, match=r"flat: must hold files of a former push alone, for all of it .* thesis.tex$"):
        gather(files, flat)
    assert (flat / "thesis.tex").read_text() == "mine" and len(list(flat.iterdir())) == 5, "nor are the others"


def test_wheels_are_asked_for_by_each_python_of_the_image(tmp_path, monkeypatch):
    asked = []

    def pip(command, **options):
        asked.append(command)
        return SimpleNamespace(returncode=len(asked) == 2, stderr="ERROR: one\nERROR: No matching distribution found\n")

    monkeypatch.setattr(wheels.subprocess, "run", pip)
    with pytest.raises(
        RuntimeError, match="^wheels: pip found none of onnxruntime for Python 3.13: ERROR: No matching"
    ):
        wheels.download("onnxruntime", tmp_path)
    for command, python in zip(asked, ("3.12", "3.13"), strict=True):
        assert command[1:4] == ["-m", "pip", "download"] and command[-1] == "onnxruntime"
        assert {"--no-deps", "--only-binary=:all:", "--platform=manylinux_2_28_x86_64"} <= set(command)
        assert command[command.index("--python-version") + 1] == python
