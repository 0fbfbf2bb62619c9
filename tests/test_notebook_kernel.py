"""Which Python runs the notebooks, where Jupyter would take another than ours."""

import json
import sys

import nbformat
import pytest

from kit.notebooks import NotebookError, kernel_told, run_notebooks


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a kernel of this program where Jupyter looks first; its folder."""

    def install(*argv):
        folder = tmp_path / "jupyter/kernels/python3"
        folder.mkdir(parents=True)
        spec = {"argv": [*argv, "-f", "{connection_file}"], "display_name": "Python 3", "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        return folder

    return install


@pytest.fixture
def notebook(tmp_path):
    path = tmp_path / "09_mine.ipynb"
    cell = nbformat.v4.new_code_cell("data, preset, seed = '', 'tiny', 0", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def test_this_environments_kernel_is_not_worth_a_word(capsys):
    assert kernel_told().startswith("the notebooks' kernel 'python3', ") and capsys.readouterr().out == ""


def test_a_kernel_whose_python_is_gone_is_named(installed, notebook, tmp_path):
    folder = installed("/opt/old/env/bin/python", "-m", "ipykernel_launcher")
    message = f"the notebooks' kernel 'python3', {folder}, whose Python is /opt/old/env/bin/python, can't be started"
    with pytest.raises(NotebookError, match=message):
        run_notebooks([notebook], {}, tmp_path / "out", work=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_kernel_that_ends_at_once_is_named_with_its_python(installed, notebook, tmp_path, capsys):
    program = tmp_path / "elsewhere/python"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nraise SystemExit('No module named ipykernel')\n")
    program.chmod(0o755)
    folder = installed(str(program), "-m", "ipykernel_launcher")
    with pytest.raises(NotebookError, match=f"09_mine.ipynb: .*{folder}, whose Python is {program}, ended before it"):
        run_notebooks([notebook], {}, tmp_path / "out", work=tmp_path)
    out = capsys.readouterr().out
    assert f"whose Python is {program}, is another than {sys.executable}" in out and "09_mine  failed" in out
