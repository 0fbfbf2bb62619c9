"""A training that takes three kernels: each stops at the end of its minutes, and has the former's output attached."""

import shutil

import nbformat
import torch

from kit.competition.competition import open_competition
from kit.kaggle.kernel import NOTEBOOK, Kernel, write_kernel
from kit.presets import preset
from kit.training.crossval import crossval

SLUG, FOLDER = "voices-challenge", "runs/voices-challenge-tiny"
PARAMETERS = 'data = ""\nminutes = 1e-6'
CELLS = [
    "from kit import crossval, open_competition, preset, record",
    "competition = open_competition(data)\nmine = preset('tiny').but(name='mine', loop__minutes=minutes)",
    f"(run,) = crossval(mine, competition, '{FOLDER}', folds=[0], n_jobs=1, threads=1, progress=False)",
    "print(record(run, competition)['file'])",
]


def pushed(tmp_path, kernels):
    """The cells that a kernel runs which has the output of others attached."""
    tagged = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    cells = [tagged, *map(nbformat.v4.new_code_cell, CELLS)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    write_kernel(tmp_path / "a.ipynb", Kernel("ann", "train it", SLUG, kernels=kernels), {}, tmp_path / "pushed")
    notebook = nbformat.read(tmp_path / "pushed" / NOTEBOOK, as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def weights(run):
    saved = torch.load(run / "fold0/best.pt", weights_only=True)
    return saved["epoch"], saved["score"], saved["model"]


def test_three_kernels_give_the_bits_of_one(kernels, voices_folder, tmp_path, monkeypatch):
    root = tmp_path / "input"
    shutil.copytree(voices_folder, root / "competitions" / SLUG)
    for number in range(3):  # of three epochs
        cells = pushed(tmp_path, [] if number == 0 else ["ann/train-it"])
        code, out = kernels(cells, root, work := tmp_path / f"kernel{number}")
        assert code == 0, out
        assert ("unfinished as its minutes were over, fold 0 after" in out) == (number < 2), out
        assert ("runs of ann/train-it: " in out) == (number > 0) and (work / "submission.csv").exists()
        shutil.rmtree(root / "notebooks", ignore_errors=True)
        shutil.copytree(work, root / "notebooks/ann/train-it")
    monkeypatch.chdir(tmp_path)
    (whole,) = crossval(preset("tiny").but(name="mine"), open_competition(root / "competitions" / SLUG), "whole",
                        folds=[0], n_jobs=1, threads=1, progress=False)  # fmt: skip
    (epoch, score, here), (epoch_there, score_there, there) = map(weights, (whole.folder, work / FOLDER / "mine-s0"))
    assert (epoch, score) == (epoch_there, score_there) and here.keys() == there.keys()
    assert all(torch.equal(here[name], there[name]) for name in here)
    for name in ("oof.parquet", "test.parquet", "fold0/log.csv"):
        assert (work / FOLDER / "mine-s0" / name).read_bytes() == (whole.folder / name).read_bytes(), name
