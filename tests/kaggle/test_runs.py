"""Every notebook as Kaggle runs it: the pushed text in an empty folder, no repository, no network, data to read only.

`make test-kaggle` runs this file with the versions of Kaggle's image.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from kit.kaggle.kernel import NOTEBOOK, Kernel, write_kernel
from kit.notebooks import numbered, suits
from kit.results.ledger import file_sha256, read_ledger

ROOT = Path(__file__).parents[2]
SLUG = "voices-challenge"
RAINFOREST = "datasets/ann/small-rainforest"
# A sitecustomize.py: its process and that one's children reach no other machine; a notebook's kernel needs loopback.
OFFLINE = """
import socket

def guarded(real):
    def call(self, *arguments):
        address = arguments[-1]
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise OSError(f"sockets are blocked, and one asked for {address[0]}")
        return real(self, *arguments)
    return call

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
"""
# All but one train one fold after another: that workers find the bundle's kit, and no other, one notebook shows.
RUN = """
import os, sys
import papermill

for path in sys.argv[1:]:
    os.environ["LOKY_MAX_CPU_COUNT"] = "2" if path.startswith("02") else "1"
    papermill.execute_notebook(path, path, kernel_name="python3", language="python", progress_bar=False,
                               extra_arguments=["--IPKernelApp.log_level=CRITICAL"])
"""


def fingerprint(folder):
    """Of every file its path, time and content."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def kaggle_input(voices_folder, rainforest_folder, tmp_path_factory):
    """What Kaggle mounts at /kaggle/input, which can't be written to: a competition, and someone's dataset."""
    root = tmp_path_factory.mktemp("input")
    for folder, place in ((voices_folder, f"competitions/{SLUG}"), (rainforest_folder, RAINFOREST)):
        shutil.copytree(folder, root / place)
    mounted = list(root.rglob("*"))
    for path in mounted:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield root
    for path in mounted:
        path.chmod(0o755)


@pytest.fixture(scope="module")
def texts(kaggle_input, tmp_path_factory):
    """All notebooks of the kit as they are pushed; one about something that is not mounted takes its own demo."""
    folder, found = tmp_path_factory.mktemp("pushed"), {}
    for path in numbered():
        data = {} if suits(path, "hw4") else {"data": str(kaggle_input / RAINFOREST) if suits(path, "rfcx") else ""}
        values = {"preset": "tiny", **data}
        write_kernel(path, Kernel("ann", f"kit {path.stem}", SLUG), values, folder / path.stem)
        found[path.name] = nbformat.read(folder / path.stem / NOTEBOOK, as_version=4)
    return found


@pytest.fixture(scope="module")
def pushed(texts, kaggle_input, tmp_path_factory, request):
    """Run them one after another in one fresh folder, while the same runs at home; the folder."""
    work = tmp_path_factory.mktemp("working")
    guard = tmp_path_factory.mktemp("guard")
    (guard / "sitecustomize.py").write_text(OFFLINE)
    env = {"PATH": os.environ["PATH"], "HOME": str(guard), "PYTHONPATH": str(guard)}
    env |= {"KIT_INPUT": str(kaggle_input), "KAGGLE_KERNEL_RUN_TYPE": "Batch", "OMP_NUM_THREADS": "1"}
    for name, notebook in texts.items():
        nbformat.write(notebook, work / name)
    before = fingerprint(kaggle_input)
    said = work.with_name("stderr.txt")
    with said.open("w") as stderr:
        running = subprocess.Popen([sys.executable, "-c", RUN, *texts], cwd=work, env=env, stdout=stderr, stderr=stderr)
    try:
        request.getfixturevalue("executed")
    finally:
        code = running.wait()
    assert code == 0, said.read_text()[-4000:]
    assert fingerprint(kaggle_input) == before, "a kernel can only read its input"
    return work


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


@pytest.mark.parametrize("path", numbered(), ids=lambda path: path.stem)
def test_a_pushed_notebook_runs_from_its_bundle(pushed, path):
    out = printed(pushed / path.name)
    assert "kit: the bundle's, sha256 " in out and "runs Kaggle (Batch) on " in out
    assert str(ROOT) not in (pushed / path.name).read_text().replace(sys.prefix, "")


def files_of(work, competition):
    rows = read_ledger(work / "submissions/ledger.csv").query("competition == @competition")
    return rows.set_index("name")["file"]


def best_row(ledger):
    """The one that a kernel hands in: of the first row's metric, the highest CV, of equal ones the first."""
    rows = read_ledger(ledger).dropna(subset=["cv"])
    return rows.loc[rows["cv"].where(rows["metric"] == rows["metric"].iloc[0]).idxmax()]


def test_what_it_leaves_is_what_a_run_at_home_leaves(pushed, executed, voices_folder, rainforest_folder):
    """Byte for byte, in the same versions: every CSV that both made of the same data."""
    for folder, mounted in ((voices_folder, SLUG), (rainforest_folder, Path(RAINFOREST).name)):
        at_home, there = files_of(executed, folder.name), files_of(pushed, mounted)
        assert list(there.index) == list(at_home.index) != []
        for name in at_home.index:
            assert (pushed / there[name]).read_bytes() == (executed / at_home[name]).read_bytes(), name
    best = best_row(pushed / "submissions/ledger.csv")["file"]
    assert (pushed / "submission.csv").read_bytes() == (pushed / best).read_bytes()


def test_the_guard_blocks_what_it_says(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(OFFLINE)
    ask = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    found = subprocess.run(
        [sys.executable, "-c", ask], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert "sockets are blocked, and one asked for 192.0.2.1" in found.stderr


def test_from_the_stub_to_the_same_submission(texts, pushed, account, stub, kit, executed):
    """Push notebook 02; the text that arrived is the one that was run; fetch and submit what it made."""
    path = numbered(["02"])[0]
    code, _, error = kit("push", path, "--competition", SLUG, "-p", "preset=tiny")
    assert code == 0, error
    (ref,) = stub.kernels
    assert json.loads(stub.kernels[ref]["text"]) == json.loads(nbformat.writes(texts[path.name], split_lines=False))
    at_home = read_ledger(executed / "submissions/ledger.csv").set_index("name").loc["simple", "file"]
    files = [path for path in pushed.rglob("*") if path.is_file() and path.suffix in (".csv", ".json")]
    stub.outputs = {file.relative_to(pushed).as_posix(): file.read_bytes() for file in files}
    assert kit("status", ref)[1] == f"{ref}: complete\n"
    assert kit("output", ref)[0] == 0
    rows = read_ledger("submissions/ledger.csv").set_index("name")
    assert rows.loc["simple", "sha256"] == file_sha256(executed / at_home)
    assert rows.loc["simple", "kernel"] == f"{ref}/1"
    assert kit("submit", "--kernel", f"{ref}/1", "--competition", SLUG)[0] == 0
    sent = best_row("submissions/ledger.csv")
    assert (sent["public"], sent["status"], sent["ref"]) == (0.71234, "complete", "5000")
    assert sent["sha256"] == file_sha256(pushed / "submission.csv")
