"""The command line: what each command says, leaves, and imports."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit import commands
from kit.__main__ import main, version
from kit.demos.digits import make_digits
from kit.notebooks import numbered
from kit.presets import NAMES
from kit.results.ledger import read_ledger

ROOT = Path(__file__).parents[1]
EXPERIMENT = {
    "name": "mine",
    "preset": "tiny",
    "loop": {"epochs": 1},
    "net": {"pooling": {"part": "my_pooling:LastShare", "share": 0.25}},
}
POOLING = """
import torch
from torch import nn


class LastShare(nn.Module):
    def __init__(self, width, share=0.5):
        super().__init__()
        self.share, self.out_width = share, width

    def forward(self, frames, mask=None):
        return frames[:, int(frames.shape[1] * (1 - self.share)) :].mean(1)
"""


@pytest.fixture(scope="module")
def trained(voices_folder, tmp_path_factory):
    """One tiny experiment with a part of its own, from the command line: the folder it was run in."""
    work = tmp_path_factory.mktemp("work")
    (work / "my_pooling.py").write_text(POOLING)
    (work / "mine.json").write_text(json.dumps(EXPERIMENT))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        assert main(["train", "mine.json", "--data", str(voices_folder), "--out", "runs/a"]) == 0
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
    assert ledger["experiment"].tolist() == ["runs/a/mine-s0/experiment.json"]
    pooling = json.loads((trained / ledger["experiment"][0]).read_text())["net"]["pooling"]
    assert pooling == {"part": "my_pooling:LastShare", "share": 0.25}
    assert (trained / "runs/a/mine-s0/sources/my_pooling.py").read_text() == POOLING
    code, out, _ = kit("check", ledger["file"][0])
    assert code == 0 and "accepted, 18 rows" in out


def test_score_prints_both_parts(kit):
    code, out, _ = kit("score", "submissions/a/mine-s0.csv")
    assert code == 0
    assert re.fullmatch(r"public   accuracy 0\.\d{5}  \(9 rows\)\nprivate  accuracy 0\.\d{5}  \(9 rows\)\n", out)


def test_predict_leaves_the_submission_of_training(kit):
    code, out, error = kit("predict", "runs/a/mine-s0", "--out", "again.csv", "--trust")
    assert code == 0 and out == "again.csv: 18 rows\n", error
    assert Path("again.csv").read_bytes() == Path("submissions/a/mine-s0.csv").read_bytes()
    code, out, _ = kit("predict", "--blend", "mine", "--out", "blend.csv", "--trust", "--minutes", "9", "--cores", "4")
    assert code == 0 and "all of 2 folds over 18 rows: about" in out and "on 4 as fast ones" in out
    assert Path("blend.csv").read_bytes() == Path("again.csv").read_bytes()


def test_predict_refuses_in_one_line(kit):
    for arguments, line in (
        (["runs/a/mine-s0"], "sources: holds code of its own (my_pooling.py); read it, then trust=True loads it"),
        (["runs/a/mine-s0", "--minutes", "0"], "minutes must be above 0, got 0"),
        (["runs/a/mine-s0", "--folds", "7", "--trust"], "fold 7 is not finished; there are 0, 1"),
        (["runs/a/gone"], "gone: must be the folder of a run with finished folds, has no experiment.json"),
        ([], "predict needs RUN folders or --blend, one of the two"),
        (["--blend", "mind"], "ledger.csv: no row 'mind'"),
    ):
        code, out, error = kit("predict", *arguments, "--out", "refused.csv")
        assert (code, out, len(error.splitlines())) == (1, "", 1) and line in error
    assert not Path("refused.csv").exists()


def test_train_again_needs_resume_or_fresh(kit):
    code, _, error = kit("train", "mine.json", "--out", "runs/a")
    assert code == 1 and "mine-s0: exists; --resume goes on with it, --fresh trains it anew" in error
    assert kit("train", "mine.json", "--out", "runs/a", "--resume")[0] == 0
    best = Path("runs/a/mine-s0/fold0/best.pt")
    before = best.stat().st_mtime_ns
    assert kit("train", "mine.json", "--out", "runs/a", "--fresh")[0] == 0
    assert best.stat().st_mtime_ns > before


def test_errors_are_one_line_and_an_exit_code(kit, trained):
    (trained / "bad.json").write_text('{"loop": {"epohcs": 3}}')
    code, out, error = kit("train", "bad.json")
    assert code == 1 and out == "" and error.startswith("kit train: bad.json: loop: Loop: no field 'epohcs'")
    (trained / "bad.csv").write_text("Id,Category\nx,y\n")
    code, _, error = kit("check", "bad.csv")
    assert code == 1 and error.startswith("kit check: bad.csv") and len(error.splitlines()) == 1


def test_the_traceback_comes_on_request():
    with pytest.raises(ValueError, match="gone: not a folder"):
        main(["--traceback", "check", "submission.csv", "--data", "gone"])


def stop(options):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "again"),
    [
        (["train", "my file.json", "--data", "d"], "train 'my file.json' --data d --resume"),
        (["train", "a.json", "--data", "d", "--resume"], "train a.json --data d --resume"),
        (["train", "a.json", "--data", "d", "--fresh"], "train a.json --data d --resume"),
        (["demo"], "demo"),
        (["check", "a.csv", "--data", "d"], None),
    ],
)
def test_ctrl_c_is_two_lines_with_how_to_go_on(monkeypatch, capsys, arguments, again):
    monkeypatch.setattr(commands, arguments[0], stop)
    assert main(arguments) == 130
    stopped = f"kit {arguments[0]}: stopped by Ctrl-C; what was finished is kept"
    assert capsys.readouterr().err.strip().splitlines() == [stopped] + [f"to go on: python -m kit {again}"] * bool(
        again
    )


def test_help_tells_a_stranger(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    day = "demo run train predict export check score bench push status output submit scores"
    for command in day.split():
        assert re.search(rf"^ +{command} +\S", out, re.M)


def test_the_help_of_train_lists_fields_and_parts(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "net: Net" in out and "Net(backbone=Conformer, pooling=Mean, head=Linear)" in out
    assert "GeM(p=3.0" in out and "--fresh" in out


def test_the_help_of_run_names_the_presets(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    listed = f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"
    assert listed in " ".join(capsys.readouterr().out.split())
    assert main(["run", "--data", "gone", "--preset", "large"]) == 1
    assert capsys.readouterr().err.startswith("kit run: no preset 'large'; there are tiny, demo, quick, full")


def test_the_version_is_pyproject_tomls(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"kit {version()}\n"
    assert re.search(rf'^version = "{re.escape(version())}"$', (ROOT / "pyproject.toml").read_text(), re.M)


def test_run_names_notebooks_that_the_folder_suits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = make_digits(tmp_path / "digits")
    assert main(["run", "--data", str(folder), "--only", "01,02"]) == 1
    message = "kit run: only must name a notebook for a folder of 'images', got 01, 02"
    assert capsys.readouterr().err.startswith(message)


def test_the_demo_says_first_what_it_will_do(voices_folder, monkeypatch, capsys, tmp_path):
    asked, kept, measured = [], tmp_path / "seconds.json", tmp_path / "measured.json"
    seconds = {path.stem: 20.0 for path in numbered()}
    measured.write_text(json.dumps({"day": "2026-11-27", "cores": 2, "seconds": seconds}))
    monkeypatch.setattr("kit.durations.FILE", measured)
    monkeypatch.setattr(commands, "run_notebooks", lambda _, preset, paths, options: asked.append(paths) or {"01": 7.0})
    monkeypatch.setattr("kit.demos.demo.make_voices", lambda folder: voices_folder)
    for more, n in {"": 5, "--all": 10, "--only 06,07": 2}.items():
        assert main(["demo", *more.split()]) == 0
        out = capsys.readouterr().out
        assert [path.name[:2] for path in asked[-1]] == re.findall(r"^  (\d\d)_\w+ +(?:about|not)", out, re.M)
        assert len(asked[-1]) == n and "data/voices" in out and re.search(r"^  together +about \d+ (s|min)$", out, re.M)
    monkeypatch.setattr("kit.durations.FILE", kept)
    assert main(["demo", "--record"]) == 0 and json.loads(kept.read_text())["seconds"] == {"01": 7.0}


def test_the_first_scored_submission_is_told(trained, kit):
    since = time.time()
    assert commands.first_scored("a", since) == "", "it was there before"
    file = Path(read_ledger("submissions/ledger.csv")["file"][0])
    line = commands.first_scored("a", file.stat().st_mtime)
    assert re.fullmatch(r"submissions/a/mine-s0.csv, accuracy 0\.\d{4} on the public part", line)
    assert commands.first_scored("b", 0) == ""


def test_a_folders_day_has_no_studies_unless_asked_for(voices_folder, monkeypatch):
    asked = []
    monkeypatch.setattr(commands, "run_notebooks", lambda _, preset, paths, options: asked.append(paths))
    for more in ([], ["--only", "04"]):
        assert main(["run", "--data", str(voices_folder), *more]) == 0
    assert [[path.name[:2] for path in paths] for paths in asked] == [["01", "02", "03", "05", "10"], ["04"]]


# What is worth waiting for only where it is used, by the time that its import takes.
HEAVY = {
    "IPython", "accelerate", "audiomentations", "joblib", "kaggle", "matplotlib", "nbformat", "numpy", "pandas",
    "papermill", "pytest", "requests", "scipy", "sklearn", "soundfile", "timm", "torch", "torchaudio", "torchvision",
}  # fmt: skip
TABLES = {"numpy", "pandas", "soundfile"}
IMPORTS = {
    "--help": set(),
    "--version": set(),
    "run --help": set(),
    "push --help": set(),
    "predict --help": set(),
    "check FILE --data DATA": TABLES,
    "score FILE --data DATA": TABLES | {"scipy", "sklearn", "joblib"},  # of the metrics
}
RUN = """
import sys
from kit.__main__ import main
try:
    code = main(sys.argv[1:])
except SystemExit as error:
    code = error.code
assert not code, code
print("\\nimported:", *sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("command", IMPORTS)
def test_a_command_imports_what_it_needs(command, trained, voices_folder):
    places = {"FILE": "submissions/a/mine-s0.csv", "DATA": str(voices_folder)}
    arguments = [places.get(word, word) for word in command.split()]
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], cwd=trained, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines()[-1].split()[1:])
    assert imported & HEAVY <= IMPORTS[command]


def test_a_terminal_that_is_not_utf8_gets_a_question_mark():
    code = "import sys\nfrom kit import commands\nfrom kit.__main__ import main\n"
    code += "commands.check = lambda options: print('Δ …')\nsys.exit(main(['check', 'x', '--data', 'y']))"
    env = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "? ?\n")
