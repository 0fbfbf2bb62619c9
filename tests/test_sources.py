"""The code of one's own parts: collected, kept, checked and loaded again, beside a session that has moved on."""

import hashlib
import importlib
import json
import linecache
import os
import subprocess
import sys
import types
from pathlib import Path

import pluggy
import pytest
import torch

from kit import sources
from kit.experiment import Experiment
from kit.parts import Part
from kit.sources import collect, finder, hashes, listed, write_sources

MINE = """
import math

from sibling import FACTOR, Base

class Pool(Base):
    def __init__(self, width, share=0.5):
        super().__init__()
        self.share, self.out_width = share, width

    def forward(self, frames, mask=None):
        return frames.mean(1) * self.share * FACTOR

def late(frames, mask=None, share=1.0):
    import later
    return frames.mean(1) * later.VALUE * share
"""
SIBLING = "from torch import nn\n\nFACTOR = {factor}\n\n\nclass Base(nn.Module):\n    pass\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A reader's folder with mine.py, and what it imports, first on the path; nothing of it stays loaded."""
    before, path = set(sys.modules), list(sys.path)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/mine.py").write_text(MINE)
    (tmp_path / "work/sibling.py").write_text(SIBLING.format(factor=3))
    (tmp_path / "work/later.py").write_text("VALUE = 5\n")
    monkeypatch.syspath_prepend(tmp_path / "work")
    yield tmp_path / "work"
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("mine", "sibling", "later", "pack", "notebook", "session"):
            del sys.modules[name]
    importlib.invalidate_caches()


def package(folder, init=True):
    """pack.deep.inner:pool, which needs pack.value."""
    (folder / "pack/deep").mkdir(parents=True)
    for name in ("pack", "pack/deep") if init else ():
        (folder / name / "__init__.py").write_text("")
    (folder / "pack/deep/inner.py").write_text(
        "from ..value import VALUE\n\ndef pool(frames, mask=None):\n    return frames.mean(1) * VALUE\n"
    )
    (folder / "pack/value.py").write_text("VALUE = 4.0\n")


def experiment_of(*targets, **arguments):
    pooling, *augment = (Part(target) for target in targets)
    return Experiment(augment=tuple(augment)).but(net__pooling=Part(pooling.target, **arguments))


def kept(experiment, folder):
    """Written as a run writes it: experiment.json and sources/."""
    files = collect(experiment)
    folder.mkdir(exist_ok=True)
    (folder / "experiment.json").write_text(json.dumps(experiment.to_dict()))
    write_sources(files, folder / "sources")
    return files


def rebuilt(folder):
    return Experiment.load(folder / "experiment.json", finder(folder / "sources"))


FRESH = """
import sys, json, torch
from pathlib import Path
from kit.experiment import Experiment
from kit.sources import finder
run = Path(sys.argv[1])
experiment = Experiment.load(run / "experiment.json", finder(run / "sources"))
files, values = [], []
for part in (experiment.net.pooling, *experiment.augment):
    made = part.make(4) if isinstance(part.target, type) else part.make()
    values.append(made(torch.ones(1, 2, 4), None).tolist()[0])
    files.append(sys.modules[part.target.__module__].__file__)
print(json.dumps([values, files]))
"""


def in_a_fresh_process(run):
    """What the run's pooling and augmentations give of ones (1, 2, 4), where there are its folder and the kit only."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(run)], env=env, cwd=run, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    values, files = json.loads(done.stdout)
    assert all(Path(file).is_relative_to(run / "sources") for file in files)
    return values


def test_a_file_travels_with_what_it_imports(folder, tmp_path):
    import mine

    files = kept(experiment_of(mine.Pool, share=0.25), tmp_path / "run")
    assert sorted(files) == ["later.py", "mine.py", "sibling.py"]
    assert files["mine.py"] == (folder / "mine.py").read_bytes()
    assert listed(tmp_path / "run/sources") == hashes(files)
    assert hashes(files)["sibling.py"] == hashlib.sha256((folder / "sibling.py").read_bytes()).hexdigest()
    pooling = rebuilt(tmp_path / "run").net.pooling
    assert pooling.arguments == {"share": 0.25} and pooling.target is not mine.Pool
    assert pooling.make(4)(torch.ones(1, 2, 4)).tolist() == [[0.75] * 4]


def test_modules_of_the_session_stay_what_they_were(folder, tmp_path):
    """The session's file has changed since: the run's is what the run loads, the session's what its names stand for."""
    import mine

    session = {name: sys.modules[name] for name in ("mine", "sibling")}
    kept(experiment_of(mine.Pool, share=1.0), tmp_path / "run")
    (folder / "sibling.py").write_text(SIBLING.format(factor=7))
    pooling = rebuilt(tmp_path / "run").net.pooling
    assert pooling.make(1)(torch.ones(1, 2, 1)).item() == 3
    assert {name: sys.modules[name] for name in session} == session
    assert rebuilt(tmp_path / "run").net.pooling.target is pooling.target  # loaded once


def test_two_runs_of_other_sources_are_two_modules(folder, tmp_path):
    import mine

    kept(experiment_of(mine.Pool, share=1.0), tmp_path / "one")
    (folder / "sibling.py").write_text(SIBLING.format(factor=7))
    kept(experiment_of(mine.Pool, share=1.0), tmp_path / "two")
    found = [rebuilt(tmp_path / name).net.pooling.make(1)(torch.ones(1, 2, 1)).item() for name in ("one", "two")]
    assert found == [3, 7]


def test_a_rebuilt_experiment_collects_the_sources_that_it_came_from(folder, tmp_path):
    import mine

    files = kept(experiment_of(mine.Pool), tmp_path / "run")
    (folder / "mine.py").write_text("raise RuntimeError('the session has moved on')\n")
    (folder / "sibling.py").unlink()
    assert collect(rebuilt(tmp_path / "run")) == files


@pytest.mark.parametrize("init", [True, False], ids=["with __init__.py", "without"])
def test_a_package_of_ones_own_travels_whole(folder, tmp_path, init):
    package(folder, init)
    from pack.deep.inner import pool

    files = kept(experiment_of(pool), tmp_path / "run")
    inits = ["pack/__init__.py", "pack/deep/__init__.py"] if init else []
    assert sorted(files) == [*inits, "pack/deep/inner.py", "pack/value.py"]
    assert rebuilt(tmp_path / "run").net.pooling.make()(torch.ones(1, 2, 1)).item() == 4
    (folder / "mine.py").write_text(
        "def late(frames, mask=None):\n    from pack.value import VALUE\n    return VALUE\n"
    )
    import mine

    assert sorted(collect(experiment_of(mine.late))) == ["mine.py", *sorted(files)]


def test_an_installed_package_of_a_few_files_travels_and_a_large_one_is_named_only(tmp_path, monkeypatch):
    files = collect(experiment_of(pluggy.PluginManager))
    assert "pluggy/_manager.py" in files and all(name.startswith("pluggy/") for name in files)
    monkeypatch.setattr(sources, "MOST_BYTES", 100)
    assert collect(experiment_of(pluggy.PluginManager)) == {}
    kept(experiment_of(torch.nn.Identity), tmp_path / "run")
    assert listed(tmp_path / "run/sources") == {}
    assert rebuilt(tmp_path / "run").net.pooling.target is torch.nn.Identity


def test_parts_of_the_kit_and_of_python_need_no_sources():
    assert collect(Experiment()) == {}
    assert collect(experiment_of(json.dumps)) == {}


CELL = """
import torch
import sibling
from sibling import Base

SCALE = 2.0

def helper(x):
    return x * SCALE * sibling.FACTOR

class Cell(Base):
    def __init__(self, width, share=0.5):
        super().__init__()
        self.share, self.out_width = share, width

    def forward(self, frames, mask=None):
        return helper(frames.mean(1)) * self.share
"""


@pytest.fixture
def cell(folder, monkeypatch):
    """What a notebook's cell defines."""
    main = types.ModuleType("__main__")
    main.In = ["", CELL]
    monkeypatch.setitem(sys.modules, "__main__", main)
    linecache.cache["<a cell>"] = (len(CELL), None, CELL.splitlines(keepends=True), "<a cell>")
    exec(compile(CELL, "<a cell>", "exec"), vars(main))  # noqa: S102
    yield main.Cell
    del linecache.cache["<a cell>"]


def test_a_cell_travels_as_a_module_of_its_own(cell, tmp_path):
    experiment = experiment_of(cell, share=0.25)
    assert experiment.to_dict()["net"]["pooling"] == {"part": "notebook:Cell", "share": 0.25}
    files = kept(experiment, tmp_path / "run")
    assert sorted(files) == ["notebook.py", "sibling.py"]
    assert "SCALE = 2.0" in files["notebook.py"].decode() and "def helper" in files["notebook.py"].decode()
    again = rebuilt(tmp_path / "run")
    assert again.net.pooling.make(4)(torch.ones(1, 2, 4)).tolist() == [[1.5] * 4]
    assert collect(again) == files  # so a worker, too, can say what it trained with


def test_a_fresh_process_has_all_of_it(cell, folder, tmp_path):
    """A cell's class, a file's function that imports when it runs, and a package's function."""
    import mine

    package(folder)
    from pack.deep.inner import pool

    kept(experiment_of(cell, mine.late, pool, share=0.25), tmp_path / "run")
    assert in_a_fresh_process(tmp_path / "run") == [[1.5] * 4, [5.0] * 4, [4.0] * 4]


def test_a_file_that_is_not_the_one_that_was_listed_is_refused(folder, tmp_path):
    import mine

    kept(experiment_of(mine.Pool), tmp_path / "run")
    where = tmp_path / "run/sources"
    (where / "sibling.py").write_text(SIBLING.format(factor=4))
    with pytest.raises(ValueError, match=r"sibling.py: is not the file that sources.json lists; its sha256 differs$"):
        finder(where)
    (where / "sibling.py").unlink()
    with pytest.raises(ValueError, match=r"sources: must hold sibling.py, which sources.json lists$"):
        finder(where)
    (where / "sources.json").write_text(json.dumps({"../../outside.py": "0" * 64}))
    (tmp_path / "outside.py").write_text("")
    with pytest.raises(ValueError, match=r"must hold \.\./\.\./outside.py, which sources.json lists$"):
        finder(where)


def test_a_file_that_is_not_listed_is_refused_and_an_old_one_goes(folder, tmp_path):
    import mine

    kept(experiment_of(mine.Pool), tmp_path / "run")
    stray = tmp_path / "run/sources/helper.py"
    stray.write_text("raise SystemExit")
    with pytest.raises(ValueError, match="sources: must hold what sources.json lists alone, got helper.py"):
        rebuilt(tmp_path / "run")
    kept(experiment_of(mine.Pool), tmp_path / "run")
    assert not stray.exists() and rebuilt(tmp_path / "run")


def test_a_folder_of_outputs_beside_the_file_is_not_taken_for_it(folder, tmp_path):
    (folder / "mine/plots").mkdir(parents=True)
    import mine

    assert "mine.py" in collect(experiment_of(mine.Pool))


def test_code_that_fails_is_named_with_its_own_error(folder, tmp_path):
    import mine

    kept(experiment_of(mine.Pool), tmp_path / "run")
    where = tmp_path / "run/sources"
    write_sources({"mine.py": b"raise RuntimeError('no luck')\n"}, where)
    with pytest.raises(ValueError, match=r"part mine:Pool can't be loaded from .*sources: RuntimeError\('no luck'\)"):
        rebuilt(tmp_path / "run")
    write_sources({"mine.py": b"Other = 1\n"}, where)
    with pytest.raises(ValueError, match=r"part mine:Pool can't be loaded from .*has no attribute 'Pool'"):
        rebuilt(tmp_path / "run")
    assert sys.modules["mine"] is mine


def test_a_part_without_a_source_is_named(folder):
    module = types.ModuleType("mine_of_none")
    exec("def pool(frames, mask=None):\n    return frames.mean(1)\n", vars(module))  # noqa: S102
    sys.modules["mine_of_none"] = module
    try:
        with pytest.raises(ValueError, match="part pool: module mine_of_none has no Python source that can travel"):
            collect(experiment_of(module.pool))
    finally:
        del sys.modules["mine_of_none"]
