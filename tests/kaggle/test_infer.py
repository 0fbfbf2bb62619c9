"""The kernel that only predicts, from `push --infer` to its CSV: as it arrived at the stub, in an empty folder."""

import importlib.util
import shutil
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from kit.competition.competition import open_competition
from kit.competition.folds import Folds
from kit.data.features import LogMel
from kit.experiment import Experiment
from kit.inference.export import export
from kit.inference.predict import predict
from kit.kaggle import uploads
from kit.kaggle.attached import find_weights, runs_in
from kit.kaggle.infer import Inference
from kit.kaggle.serve import leave_priors, predict_here
from kit.kaggle.weights import files_of_runs, gather
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.results.ledger import read_ledger
from kit.results.place_priors import SitePrior
from kit.results.post import post_processed
from kit.results.post_file import save_post
from kit.results.post_windows import FilePeak, Smooth
from kit.training.crossval import crossval
from kit.training.loop import Loop
from kit.training.losses import BCE
from kit.training.runs import load_run

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("birdclef_folders", ROOT / "tests/competition/birdclef_folders.py")
folders = importlib.util.module_from_spec(spec)
spec.loader.exec_module(folders)

SLUG = "voices-challenge"  # the only competition that the stub knows
REF, WEIGHTS = f"stub-user/infer-{SLUG}", f"stub-user/infer-{SLUG}-weights"
NAME = WEIGHTS.split("/")[1]
EXPERIMENT = Experiment(
    name="birds", folds=Folds(2), features=LogMel(32000, 16, 0.04, 0.04, 300.0, 14000.0), crop_frames=16, loss=BCE(),
    net=Net(Conformer(width=8, layers=1, heads=2, ff_width=16, kernel_size=3)),
    loop=Loop(epochs=1, epoch_steps=1, batch_size=4),
)  # fmt: skip


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A competition as it is when a kernel is pushed: no test audio, a sample of three rows."""
    return folders.make_birdclef(tmp_path_factory.mktemp("data") / SLUG, 2026)


@pytest.fixture(scope="module")
def filled(empty, tmp_path_factory):
    """And as it is when Kaggle runs the kernel again: other files, a sample of their rows."""
    folder = shutil.copytree(empty, tmp_path_factory.mktemp("rerun") / SLUG)
    names = ["BC2026_Test_0001_S05_20250227_010002", "BC2026_Test_0002_S22_20250301_235900"]
    for name in names:
        folders.write_noise(folder / "test_soundscapes" / f"{name}.ogg", 10.0)
    folders.write_sample(folder, [f"{name}_{end}" for name in names for end in (5, 10)])
    return folder


@pytest.fixture(scope="module")
def run(empty, tmp_path_factory):
    work = tmp_path_factory.mktemp("trained")
    with pytest.warns(UserWarning, match="got the class priors"):
        runs = crossval(EXPERIMENT, open_competition(empty), work / "runs", cache=work / "cache", n_jobs=1, threads=1,
                        progress=False)  # fmt: skip
    return runs[0].folder


@pytest.fixture
def push(account, stub, kit, run, monkeypatch):
    """`push --infer` with these options; the cells that arrived, and the files of the weights."""
    monkeypatch.setattr(uploads, "POLL_SECONDS", 0.01)

    def pushed(*options):
        code, out, error = kit("push", "--infer", run, "--competition", SLUG, *options)
        assert code == 0, error
        notebook = nbformat.reads(stub.kernels[REF]["text"], as_version=4)
        sent = stub.datasets[WEIGHTS][-1] if WEIGHTS in stub.datasets else next(iter(stub.models[WEIGHTS].values()))[-1]
        return [cell.source for cell in notebook.cells if cell.cell_type == "code"], sent

    return pushed


@pytest.fixture
def kernel(kernels, tmp_path):
    """Run cells where a competition's folder and the files of weights are mounted; the exit code and what was said."""

    def ran(cells, data, files, mount):
        root, work = tmp_path / "input", tmp_path / "working"
        shutil.copytree(data, root / "competitions" / SLUG)
        for name, content in files.items():
            (root / mount).mkdir(parents=True, exist_ok=True)
            (root / mount / name).write_bytes(content)
        return *kernels(cells, root, work), work / "submission.csv"

    return ran


def check(kit, csv, data):
    code, out, error = kit("check", csv, "--data", data)
    assert code == 0, error


# The first at any time, the others at night: they differ in the search alone, which test_attached.py tries.
MOUNTS = [
    f"datasets/{WEIGHTS}", f"models/{WEIGHTS}/pytorch/default/1", NAME, f"{NAME}/pytorch/default/1",
    "notebooks/stub-user/made",
]  # fmt: skip


@pytest.mark.parametrize("mount", [pytest.param(m, marks=[pytest.mark.nightly] * (m in MOUNTS[1:])) for m in MOUNTS])
def test_rows_that_the_sample_did_not_have_are_predicted(push, kernel, kit, run, filled, tmp_path, mount):
    """The bits are those of a prediction at home."""
    cells, sent = push("--as", "model" if "pytorch" in mount else "dataset")
    code, out, csv = kernel(cells, filled, sent, mount)
    assert code == 0, out
    assert "kit: the bundle's, sha256 " in out and "submission.csv: accepted, 4 rows" in out
    assert str(ROOT) not in out.replace(sys.prefix, "")
    check(kit, csv, filled)
    predict(run, filled, out=tmp_path / "home.csv", cache=tmp_path / "cache", progress=False, threads=1)
    assert csv.read_bytes() == (tmp_path / "home.csv").read_bytes()


def test_post_processing_is_sent_along_and_is_there_what_it_is_at_home(run, filled, tmp_path, monkeypatch, capsys):
    """Of two runs the first one's, after their mean; what arrives is found as in a kernel, and no server is needed."""
    run, other = (shutil.copytree(run, tmp_path / "runs" / name) for name in ("birds-s0", "other"))
    oof = pd.read_parquet(run / "oof.parquet")
    oof.assign(fold=np.where(oof["id"].str.contains("S05"), 0, 1)).to_parquet(run / "oof.parquet")  # windows in each
    save_post(run, (SitePrior(added=1.0), FilePeak(), Smooth()), open_competition(filled))
    monkeypatch.setenv("KIT_INPUT", str(tmp_path / "input"))
    monkeypatch.chdir(tmp_path)
    files = files_of_runs([run, other], post=True)
    assert {"runs/00/birds-s0/post.json", "runs/00/birds-s0/oof.parquet"} < set(files)
    assert not any(name.startswith("runs/01/") and name.endswith(("post.json", "oof.parquet")) for name in files)
    weights = find_weights(gather(files, tmp_path / "input/datasets/weights"), WEIGHTS)
    competition = leave_priors(filled)
    there = predict_here(runs_in(weights), competition, 10.0, post=True, threads=1, progress=False)
    plain = predict([run, other], filled, cache=tmp_path / "cache", progress=False, threads=1)
    capsys.readouterr()
    home = predict([run, other], filled, out=tmp_path / "home.csv", cache=tmp_path / "cache", threads=1, post=True)
    assert "post-processed by SitePrior(added=1.0), FilePeak, Smooth, fitted on the out-of-fold rows of birds-s0" in (
        "".join(capsys.readouterr())
    )
    parts = (SitePrior(added=1.0), FilePeak(), Smooth())
    pd.testing.assert_frame_equal(home, post_processed(plain, load_run(run), parts, competition), check_exact=True)
    pd.testing.assert_frame_equal(there, home, check_exact=True)
    assert Path("submission.csv").read_bytes() == Path("home.csv").read_bytes()
    assert not home.drop(columns="id").equals(plain.drop(columns="id"))
    again = predict([other, run], filled, cache=tmp_path / "cache", progress=False, threads=1, post=run / "post.json")
    pd.testing.assert_frame_equal(again, home)
    (run / "post.json").unlink()
    with pytest.raises(FileNotFoundError, match="post.json: no such file; kit.save_post writes post.json beside oof"):
        files_of_runs([run], post=True)
    with pytest.raises(FileNotFoundError, match=r"post.json: no such file; kit.save_post\(run, parts, competition\)"):
        predict(run, filled, cache=tmp_path / "cache", progress=False, post=True)


@pytest.mark.nightly
def test_exported_files_predict_there_as_at_home(push, kernel, kit, run, filled, tmp_path):
    """Within what export allows, 1e-4."""
    export(run, "onnx", cache=run.parents[1] / "cache")
    cells, sent = push("--engine", "onnx")
    code, out, csv = kernel(cells, filled, sent, MOUNTS[0])
    assert code == 0, out
    check(kit, csv, filled)
    home = predict(run, filled, cache=tmp_path / "cache", progress=False, threads=1)
    there = pd.read_csv(csv)
    assert there["row_id"].tolist() == home["id"].tolist()
    assert abs(there.drop(columns="row_id").to_numpy() - home.drop(columns="id").to_numpy()).max() < 1e-4
    shutil.rmtree(run / "exported")


def test_an_empty_test_folder_gives_the_sample_with_the_priors(push, kernel, kit, empty):
    cells, sent = push()
    code, out, csv = kernel(cells, empty, sent, MOUNTS[0])
    assert code == 0, out
    table = pd.read_csv(csv)
    assert table["row_id"].tolist() == [f"soundscape_1446779_{end}" for end in (5, 10, 15)]
    assert table.drop(columns="row_id").nunique().eq(1).all()
    check(kit, csv, empty)


def test_a_clock_that_is_too_short_gives_every_row(push, kernel, kit, filled):
    cells, sent = push("--minutes", "0.0001")
    code, out, csv = kernel(cells, filled, sent, MOUNTS[0])
    assert code == 0, out
    assert len(pd.read_csv(csv)) == 4
    check(kit, csv, filled)


@pytest.mark.parametrize(
    "fault",
    [
        "not attached",
        *(pytest.param(f, marks=pytest.mark.nightly) for f in ("with another byte", "of another version")),
    ],
)
def test_weights_that_are_not_the_ones_are_one_line_and_leave_a_valid_file(push, kernel, kit, filled, fault):
    cells, sent = push()
    if fault == "not attached":
        sent, told = {}, f"ValueError: weights: {WEIGHTS} must be attached to this kernel, got no sha256.json below "
    elif fault == "of another version":
        sent, told = {"sha256.json": b"{}"}, f"ValueError: weights: {WEIGHTS} must be attached as it was sent"
    else:
        name = next(name for name in sent if name.endswith("best.pt"))
        sent, told = (
            {**sent, name: sent[name][:-1] + b"!"},
            f"{name}: must have sha256 {name[:12]} as runs/00/birds-s0/",
        )
    code, out, csv = kernel(cells, filled, sent, MOUNTS[0])
    assert code == 1 and told in out.splitlines()[-1], out
    check(kit, csv, filled)


def test_from_push_to_score(push, stub, kit, account, run):
    """status, output, submit: as of a kernel that trains."""
    cells, _ = push("--minutes", "45")
    sent = stub.kernels[REF]
    assert (sent["datasetDataSources"], sent["competitionDataSources"]) == ([WEIGHTS], [SLUG])
    assert sent["isPrivate"] and not sent["enableInternet"] and not sent["enableGpu"]
    assert any(cell.startswith("minutes = 45.0\nweights = find_weights(") for cell in cells)
    assert kit("status", REF)[1] == f"{REF}: complete\n"
    stub.outputs = {"submission.csv": b"row_id\n"}
    assert kit("output", REF)[0] == 0
    assert kit("submit", "--kernel", f"{REF}/1", "--competition", SLUG)[0] == 0
    (row,) = read_ledger("submissions/ledger.csv").to_dict("records")
    assert (row["kernel"], row["status"], row["public"]) == (f"{REF}/1", "complete", 0.71234)
    push()
    assert len(stub.datasets[WEIGHTS]) == 1, "the weights are the same, and are not sent again"


def test_wheels_are_sent_and_installed_before_the_prediction(push, run, tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/onnxruntime-1.24.4-cp312-cp312-manylinux_2_28_x86_64.whl").write_bytes(b"0")
    (run / "exported").mkdir()
    for fold in (0, 1):
        (run / f"exported/fold{fold}.onnx").write_bytes(b"0")
    cells, sent = push("--engine", "onnx", "--wheels", tmp_path / "wheels")
    assert any(name.endswith("-onnxruntime-1.24.4-cp312-cp312-manylinux_2_28_x86_64.whl") for name in sent)
    assert cells[-2].endswith("install('onnxruntime', weights)")
    assert cells[-1].endswith("predict_here(runs_in(weights), competition, minutes, engine='onnx')")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--folds", "0,7"], "fold7: must be a trained fold, has no best.pt"),
        (["--minutes", "0"], "minutes must be above 0, got 0.0"),
        (["--engine", "tflite"], "engine must be one of torch, onnx, openvino, got 'tflite'"),
        (["--how", "median"], "how must be one of "),
        (["--shares", "0.5,0.5"], "shares must be 1 numbers, one a run, got 2"),
        (["--shares", "-1"], "shares must be numbers from 0, not all 0, got (-1.0,)"),
        (["--wheels", "."], "--wheels are for --engine onnx or openvino: Kaggle's image has PyTorch"),
        (["-p", "seed=1"], "--weights and -p are for a notebook that trains, and not with --infer"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_sent(account, stub, kit, run, options, told):
    code, _, error = kit("push", "--infer", run, "--competition", SLUG, *options)
    assert code == 1 and told in error and len(error.splitlines()) == 1, error
    assert stub.kernels == {} and stub.datasets == {}


def test_a_notebook_or_runs_and_not_both(account, kit, run):
    for arguments in ([], ["x.ipynb", "--infer", run]):
        error = kit("push", *arguments, "--competition", SLUG)[2]
        assert error == "kit push: push needs a notebook, or --infer RUN, and not both\n"


def test_what_the_call_is_given():
    assert Inference().options(2) == ""
    assert Inference(post=True).options(1) == ", post=True"
    given = Inference(engine="onnx", how="rank mean", shares=(0.25, 0.75)).options(2)
    assert given == ", engine='onnx', how='rank mean', weights=(0.25, 0.75)"
