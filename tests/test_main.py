import json
import re

import pytest

from kit.__main__ import main
from kit.demos.digits import make_digits
from kit.results.ledger import read_ledger


@pytest.fixture(scope="module")
def trained(voices_folder, tmp_path_factory):
    """One tiny experiment from the command line: the folder it was run in."""
    work = tmp_path_factory.mktemp("work")
    fields = {"name": "mine", "segment_frames": 24, "width": 16, "layers": 1, "heads": 2, "ff_width": 32,
              "kernel_size": 5, "epochs": 1, "n_folds": 2, "warmup_steps": 2}  # fmt: skip
    (work / "config.json").write_text(json.dumps(fields))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        assert main(["train", "config.json", "--data", str(voices_folder), "--out", "runs/a"]) == 0
    return work


@pytest.fixture
def kit(trained, voices_folder, monkeypatch, capsys):
    """Run a command there; its exit code, stdout and stderr."""
    monkeypatch.chdir(trained)

    def run(*arguments):
        code = main([*arguments, "--data", str(voices_folder)])
        return code, *capsys.readouterr()

    return run


def test_train_leaves_a_run_and_a_submission(trained, kit):
    ledger = read_ledger(trained / "submissions/ledger.csv")
    assert ledger["run"].tolist() == ["a/mine-s0"] and ledger["public"].notna().all()
    code, out, _ = kit("check", ledger["file"][0])
    assert code == 0 and "accepted, 18 rows" in out


def test_score_prints_both_parts(kit):
    code, out, _ = kit("score", "submissions/a/mine-s0.csv")
    assert code == 0
    assert re.fullmatch(r"public   accuracy 0\.\d{5}  \(9 rows\)\nprivate  accuracy 0\.\d{5}  \(9 rows\)\n", out)


def test_train_again_needs_resume(kit):
    code, _, error = kit("train", "config.json", "--out", "runs/a")
    assert code == 1 and "mine-s0: exists; --resume goes on with it" in error
    assert kit("train", "config.json", "--out", "runs/a", "--resume")[0] == 0


def test_errors_are_one_line_and_an_exit_code(kit, trained):
    (trained / "bad.json").write_text('{"epohcs": 3}')
    code, out, error = kit("train", "bad.json")
    assert code == 1 and out == "" and error.startswith("kit train: bad.json: epohcs is no field")
    (trained / "bad.csv").write_text("Id,Category\nx,y\n")
    code, _, error = kit("check", "bad.csv")
    assert code == 1 and error.startswith("kit check: bad.csv") and len(error.splitlines()) == 1


def test_the_traceback_comes_on_request():
    with pytest.raises(ValueError, match="gone: not a folder"):
        main(["--traceback", "check", "submission.csv", "--data", "gone"])


def test_help_tells_a_stranger(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for command in ("demo", "run", "train", "check", "score", "bench", "push", "status", "output", "submit", "scores"):
        assert re.search(rf"^ +{command} +\S", out, re.M)


def test_run_names_notebooks_that_the_folder_suits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = make_digits(tmp_path / "digits")
    assert main(["run", "--data", str(folder), "--only", "01,02"]) == 1
    message = "kit run: only must name a notebook for a folder of layout 'images', got ['01', '02']"
    assert capsys.readouterr().err.startswith(message)


def test_a_folders_day_has_no_studies_unless_asked_for(kit, monkeypatch):
    asked = []
    monkeypatch.setattr("kit.__main__.run_notebooks", lambda _, preset, paths, options: asked.append(paths))
    assert kit("run")[0] == 0 and kit("run", "--only", "04")[0] == 0
    assert [[path.name[:2] for path in paths] for paths in asked] == [["01", "02", "03", "05"], ["04"]]
