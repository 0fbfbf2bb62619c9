"""Every notebook runs on tiny settings, in order, in one folder; and the committed ones are as they should be."""

import ast
import os
import re

import nbformat
import pandas as pd
import pytest

from kit import notebooks, preset
from kit.notebooks import NotebookError, normalise, numbered, run_notebooks
from kit.results.check import check_submission
from kit.results.ledger import read_ledger

ALL = numbered()
LADDER = ("simple", "conformer", "attention", "margin", "longer", "masks", "spread")
KNOWN = {
    "IPython", "audiomentations", "importlib", "joblib", "kit", "matplotlib", "numpy", "os", "pandas", "pathlib",
    "scipy", "sklearn", "soundfile", "sys", "timm", "torch", "torchaudio", "dataclasses",
}  # fmt: skip


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_notebooks_run_and_leave_submissions_that_are_accepted(executed, voices, rainforest, chorus):
    ledger = read_ledger(executed / "submissions/ledger.csv")
    assert {*LADDER, "blend"} <= set(ledger["name"])
    assert ledger["cv"].notna().all()
    scored = ledger["competition"] != chorus.folder.name  # whose test is empty until its second run
    assert ledger[scored][["public", "private"]].notna().all(axis=None)
    known = {competition.folder.name: competition for competition in (voices, rainforest, chorus)}
    assert set(ledger["competition"]) == set(known)
    for file, name in zip(ledger["file"], ledger["competition"], strict=True):
        check_submission(executed / file, known[name])
    runs = executed / f"runs/{voices.folder.name}-tiny"
    assert {f"{name}-s0" for name in LADDER} <= {path.name for path in runs.glob("*-s0")}
    assert len(pd.read_csv(runs / "simple-s0/fold0/log.csv")) == preset("tiny").loop.epochs


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_an_executed_notebook_shows_no_warning(executed, path):
    for cell in code_cells(executed / "out" / path.name):
        for output in cell.outputs:
            text = output.get("text", "") if output.get("name") == "stderr" else ""
            assert "Warning" not in text, text


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_committed_notebook_is_in_form(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook == normalise(notebook), "run it with --in-place, or write it with kit.notebooks.write_normalised"
    assert path.stat().st_size < 1_000_000
    assert notebook.cells[0].source.startswith(f"# {path.name[:2]} · ") and notebook.cells[0].source.splitlines()[
        0
    ].endswith("?")
    assert notebook.cells[-1].cell_type == "markdown" and "What we learned" in notebook.cells[-1].source
    parameters = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == 1
    names = [node.targets[0].id for node in ast.parse(parameters[0].source).body]
    assert names == ["data", "preset", "seed"]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_committed_notebook_is_executed_without_error(path):
    for number, cell in enumerate(code_cells(path), start=1):
        assert cell.execution_count == number
        assert all(output.output_type != "error" for output in cell.outputs)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_notebook_is_code_that_a_reader_can_follow(path):
    lines = sum(len(cell.source.splitlines()) for cell in code_cells(path))
    assert 20 <= lines <= 110
    sources = [cell.source for cell in code_cells(path)]
    assert not any("sys.path" in source or "__main__" in source for source in sources), "a path hack"
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    of_kit = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "kit"]
    assert len(of_kit) <= 6
    for cell in code_cells(path):
        tree = ast.parse(cell.source)  # no shell, no magic
        assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert module.split(".")[0] in KNOWN
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.match(r"(/[\w.-]+){2}|[A-Z]:\\|~/", node.value), f"an absolute path: {node.value}"


def make_notebook(folder, source):
    path = folder / "11_broken.ipynb"
    cells = [nbformat.v4.new_code_cell("data, preset, seed = '', 'tiny', 0", metadata={"tags": ["parameters"]}),
             nbformat.v4.new_code_cell(source)]  # fmt: skip
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_failing_notebook_is_named_with_its_cell(tmp_path, capsys):
    path = make_notebook(tmp_path, "raise ValueError('no such luck')")
    with pytest.raises(NotebookError, match=r"11_broken.ipynb, cell 2: ValueError: no such luck\n.*how far it came"):
        run_notebooks([path], {}, tmp_path / "out", work=tmp_path)
    assert "[1/1] 11_broken  failed" in capsys.readouterr().out


def test_in_place_writes_the_normalised_notebook_over_the_original(tmp_path):
    path = make_notebook(tmp_path, "import sys\nprint(data, file=sys.stderr)\nprint(data)")
    run_notebooks([path], {"data": "here"}, tmp_path / "out", work=tmp_path, in_place=True)
    notebook = nbformat.read(path, as_version=4)
    assert notebook == normalise(notebook)
    assert [output["text"] for output in notebook.cells[1].outputs] == ["here\n"]
    assert notebook.cells[0].source.startswith("data, preset, seed = ''"), "the parameters stay as they were"


def test_a_notebook_about_something_else_gets_no_folder(tmp_path):
    path = make_notebook(tmp_path, "print(repr(data))").rename(tmp_path / "08_images.ipynb")
    for subject, shown in {"hw4": "''", "images": "'here'"}.items():
        run_notebooks([path], {"data": "here"}, tmp_path / "out", work=tmp_path, subject=subject)
        done = nbformat.read(tmp_path / "out/08_images.ipynb", as_version=4)
        assert done.cells[-1].outputs[0]["text"] == f"{shown}\n"
    assert [notebooks.suits(path, subject) for subject in ("hw4", "table", "images")] == [False, False, True]
    assert [notebooks.suits(ALL[0], subject) for subject in ("hw4", "table", "images")] == [True, True, False]


def test_an_unknown_number_lists_the_known():
    with pytest.raises(ValueError, match="only must be among 01, 02"):
        numbered(["77"])
    assert os.path.isdir(notebooks.FOLDER)
