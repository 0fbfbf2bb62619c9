"""What a kernel takes of former ones' output: each fold whole, from the one that got furthest, or one line why not."""

import json

import pytest

from kit.kaggle import former_runs
from kit.kaggle.former_runs import bring_runs

RUN = "runs/birds/a-s0"
FINISHED = {"best.pt": "new", "last.pt": "new", "metrics.json": "{}", "test.parquet": "new"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_INPUT", str(tmp_path / "input"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "input"


def leave(root, kernel, files, fold=0, **beside):
    """A kernel's output with a run of one fold."""
    run = root / "notebooks/ben" / kernel / RUN
    for name, content in {**{f"fold{fold}/{name}": text for name, text in files.items()}, **beside}.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(content)


def stopped(epochs, text):
    return {"best.pt": text, "last.pt": text, "so_far.json": json.dumps({"epochs": epochs})}


def brought(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mount", ["notebooks/ben/Train-It", "train-it"])
def test_the_runs_of_a_former_kernel_are_gone_on_with(root, tmp_path, monkeypatch, capsys, mount):
    for name in ("oof.parquet", "fold0/last.pt", "fold0/log.csv"):
        path = root / mount / "runs/birds-full/a-s0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("theirs")
        path.chmod(0o444)
    (root / mount / "submission.csv").write_text("x")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/birds-full/a-s0").mkdir(parents=True)
    (tmp_path / "runs/birds-full/a-s0/oof.parquet").write_text("mine")
    bring_runs("ben/train-it")
    bring_runs("ben/train-it")
    assert capsys.readouterr().out == "runs of ben/train-it: 2 files\nruns of ben/train-it: nothing new in its output\n"
    run = tmp_path / "runs/birds-full/a-s0"
    assert (run / "oof.parquet").read_text() == "mine" and not (tmp_path / "submission.csv").exists()
    assert (run / "fold0/last.pt").read_text() == "theirs"
    (run / "fold0/last.pt").write_text("can be written")


@pytest.mark.parametrize("kernels", [("ben/one", "ben/two"), ("ben/two", "ben/one")])
def test_a_fold_comes_whole_from_the_kernel_that_finished_it(root, tmp_path, kernels):
    leave(root, "one", stopped(2, "old"))
    leave(root, "two", FINISHED)
    bring_runs(*kernels)
    assert brought(tmp_path / "work" / RUN / "fold0") == FINISHED


def test_of_unfinished_folds_the_one_of_most_epochs_is_taken(root, tmp_path):
    log = "epoch,loss\n1,1\n2,1\n3,1\n4,1\n"  # a kernel that was killed after its fourth
    leave(root, "one", stopped(3, "three"))
    leave(root, "two", {**stopped(2, "four"), "log.csv": log})
    bring_runs("ben/one", "ben/two")
    assert brought(tmp_path / "work" / RUN / "fold0") == {**stopped(2, "four"), "log.csv": log}


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        (stopped(2, "a"), stopped(2, "b"), "two that stopped it after 2 epochs"),
        (FINISHED, {**FINISHED, "best.pt": "other"}, "two that finished it"),
    ],
)
def test_two_kernels_that_are_equally_far_are_refused_unless_they_are_the_same(root, tmp_path, one, two, told):
    leave(root, "one", one)
    leave(root, "two", two)
    with pytest.raises(
        ValueError, match=rf"^{RUN}/fold0: must come from one kernel, got {told}, .*/one and .*/two; at"
    ):
        bring_runs("ben/one", "ben/two")
    assert not (tmp_path / "work/runs").exists()
    leave(root, "two", one)
    bring_runs("ben/one", "ben/two")
    assert brought(tmp_path / "work" / RUN / "fold0") == one


def test_a_fold_that_is_here_stays_whole(root, tmp_path, capsys):
    leave(root, "one", FINISHED)
    leave(root, "one", FINISHED, fold=1)
    (tmp_path / "work" / RUN / "fold0").mkdir(parents=True)
    (tmp_path / "work" / RUN / "fold0/best.pt").write_text("mine")
    bring_runs("ben/one")
    assert brought(tmp_path / "work" / RUN / "fold0") == {"best.pt": "mine"}
    assert brought(tmp_path / "work" / RUN / "fold1") == FINISHED
    assert capsys.readouterr().out == "runs of ben/one: 4 files\n"


def test_folds_of_two_kernels_make_one_run_with_the_other_files_of_one(root, tmp_path):
    leave(root, "one", FINISHED, fold=0, **{"oof.parquet": "one", "metrics.json": "one"})
    leave(root, "two", FINISHED, fold=1, **{"oof.parquet": "two"})
    leave(root, "two", FINISHED, fold=2)
    bring_runs("ben/one", "ben/two")
    found = brought(tmp_path / "work" / RUN)
    assert {name: text for name, text in found.items() if "/" not in name} == {"oof.parquet": "two"}
    assert len(found) == 3 * len(FINISHED) + 1


def test_folds_of_two_experiments_are_refused(root, tmp_path):
    leave(root, "one", FINISHED, fold=0, **{"experiment.json": '{"name": "a", "seed": 0}'})
    leave(root, "two", FINISHED, fold=1, **{"experiment.json": '{"name": "a", "seed": 1}'})
    with pytest.raises(
        ValueError, match=r"two/.*experiment.json: must ask for the same as .*one/.* for folds of both, g"
    ):
        bring_runs("ben/one", "ben/two")
    assert not (tmp_path / "work/runs").exists()


def test_a_copy_that_breaks_off_leaves_no_part_of_a_fold(root, tmp_path, monkeypatch):
    leave(root, "one", FINISHED)

    def full(source, target):
        if target.name == "metrics.json":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(former_runs.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        bring_runs("ben/one")
    assert list((tmp_path / "work" / RUN).iterdir()) == []
