"""A competitor's own parts, from the cells of a notebook and from a file: trained, killed, resumed, reloaded, pushed.

Every way must give the same bits.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest

from kit.demos.demo import make_voices
from kit.kaggle.kernel import NOTEBOOK, Kernel, write_kernel
from tests.kaggle.test_runs import OFFLINE

ROOT = Path(__file__).parents[1]
SLUG = "voices-challenge"
PARTS = '''import torch
from torch import nn
from torch.nn import functional

EPS = 1e-6


class LastShare(nn.Module):
    """z (B, D): the mean of the last `share` of an utterance's valid frames."""

    def __init__(self, width, share=0.5):
        super().__init__()
        self.share, self.out_width = share, width

    def forward(self, frames, mask=None):
        valid = torch.ones_like(frames[..., 0]) if mask is None else mask.to(frames.dtype)
        length = valid.sum(1, keepdim=True)
        late = valid * (valid.cumsum(1) > (1 - self.share) * length)
        return (frames * late[..., None]).sum(1) / (late.sum(1, keepdim=True) + EPS)


class TwoLayers(nn.Sequential):
    def __init__(self, width, n_classes, hidden=8):
        super().__init__(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, n_classes))


def smooth_loss(logits, batch, smoothing=0.1):
    return functional.cross_entropy(logits, batch.target, label_smoothing=smoothing)


def rank_hits(target, probability):
    return float((probability.argsort(1)[:, -3:] == target[:, None]).any(1).mean())


def louder(mel, mask, generator):
    return mel + torch.rand(len(mel), 1, 1, generator=generator)


def momentum(groups, lr=0.01):
    return torch.optim.SGD(groups, lr=lr, momentum=0.9)


def speakers(listing):
    """The demo's own layout, read by hand."""
    if "metadata.json" not in listing:
        return None
    import pandas as pd

    table = listing.read_json("metadata.json")
    known = sorted(table["speakers"])
    train = [(item["feature_path"], name, item["mel_len"]) for name in known for item in table["speakers"][name]]
    train = pd.DataFrame(train, columns=["path", "label", "frames"])
    test = pd.DataFrame(listing.read_json("testdata.json")["utterances"])
    test = test.rename(columns={"feature_path": "path", "mel_len": "frames"})
    train, test = (part.assign(id=part["path"], where=part["path"]) for part in (train, test))
    return {
        "features": "mel", "n_mels": table["n_mels"], "train": train, "test": test, "classes": tuple(known),
        "id_column": "Id", "label_columns": ("Category",), "cluster": "label",
    }
'''
USE = """
experiment = preset("tiny").but(
    name="mine", net__pooling=Part({p}LastShare, share=0.25), net__head=Part({p}TwoLayers), loss=Part({p}smooth_loss),
    metric=Metric({p}rank_hits), augment=({p}louder,), optimizer=Part({p}momentum, lr=0.05),
    loop__epochs=4, loop__epoch_steps=3,
)
competition = open_competition(data, layout={p}speakers)
run, = crossval([experiment], competition, "runs", n_jobs=JOBS, threads=1, progress=False)
print(run.metrics["metric"], run.score)
"""
FRESH = """
import sys
import numpy, torch, pandas
from kit import load_model
from kit.data.store import open_store
from kit.training.fit import prepare_accelerator
from kit.training.identity import load_experiment
from kit.training.predict import predict
from pathlib import Path

torch.set_num_threads(1)
run, = Path("runs").glob("mine-s0")
store = open_store(next(Path("cache").glob("*/store.json")).parent)
for fold in (0, 1):
    model, saved = load_model(run / f"fold{fold}/best.pt", trust=True)
    experiment = load_experiment(run, trust=True)
    found = predict(model, store, store.rows("test"), experiment, prepare_accelerator("fp32"))
    kept = pandas.read_parquet(run / f"fold{fold}/test.parquet")[list(store.classes)].to_numpy()
    assert numpy.array_equal(found, kept), abs(found - kept).max()
try:
    load_model(run / "fold0/best.pt")
except ValueError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_voices(tmp_path_factory.mktemp("data") / SLUG, n_speakers=6, n_train=8, n_test=4)


def notebook(folder, in_cells=True, jobs=1):
    """Its folds one after another; in workers, whose imports take longer than the training, where `jobs` is 2."""
    cells = nbformat.v4.new_code_cell
    parameters = cells(f'data = "{folder}"')
    parameters.metadata["tags"] = ["parameters"]
    imports = "from kit import Metric, Part, crossval, open_competition, preset\n"
    imports += "" if in_cells else "import mine\n"
    use = USE.format(p="" if in_cells else "mine.").replace("JOBS", str(jobs))
    written = [cells(PARTS)] if in_cells else [cells("%%writefile mine.py\n" + PARTS)]
    return nbformat.v4.new_notebook(cells=[parameters, *written, cells(imports + use)])


def start(work, book, env=None, name="mine.ipynb"):
    work.mkdir(exist_ok=True)
    nbformat.write(book, work / name)
    code = (
        "import sys, papermill; papermill.execute_notebook(sys.argv[1], sys.argv[1], kernel_name='python3',"
        " language='python', progress_bar=False, extra_arguments=['--IPKernelApp.log_level=CRITICAL'])"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    with (work / "said.txt").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-c", code, name], cwd=work, env=env, stdout=said, stderr=said, start_new_session=True
        )


def finish(process, work):
    assert process.wait(timeout=600) == 0, (work / "said.txt").read_text()[-3000:]
    return bits(work)


def bits(work):
    """The sha256 of all predictions of a run."""
    digest = hashlib.sha256()
    for path in sorted((work / "runs/mine-s0").rglob("*.parquet")):
        table = pd.read_parquet(path)
        digest.update(path.name.encode() + table.to_csv(index=False).encode())
    return digest.hexdigest()


@pytest.fixture(scope="module", params=[True, False], ids=["cells", "file"])
def trained(request, folder, tmp_path_factory):
    """A folder in which the notebook ran from top to bottom, in two workers, and whether its parts stand in cells."""
    work = tmp_path_factory.mktemp("whole")
    finish(start(work, notebook(folder, in_cells=request.param, jobs=2)), work)
    return work, request.param


def test_a_killed_notebook_goes_on_to_the_same_bits(trained, folder, tmp_path):
    whole, in_cells = trained
    work, book = tmp_path / "killed", notebook(folder, in_cells=in_cells)
    process = start(work, book)
    until = time.monotonic() + 300
    while not list(work.glob("runs/mine-s0/fold*/last.pt")):
        assert process.poll() is None and time.monotonic() < until, (work / "said.txt").read_text()[-3000:]
        time.sleep(0.01)
    for one in [process, *psutil.Process(process.pid).children(recursive=True)]:
        os.kill(one.pid, signal.SIGKILL)  # the kernel is in a session of its own
    process.wait()
    assert not (work / "runs/mine-s0/metrics.json").exists(), "it ended before it could be killed"
    assert finish(start(work, book), work) == bits(whole)


def test_a_fresh_process_reloads_it_and_asks_for_trust_first(trained):
    work, in_cells = trained
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", FRESH], cwd=work, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    file = "notebook.py" if in_cells else "mine.py"
    assert f"sources: holds code of its own ({file}); read it, then trust=True loads it" in ran.stdout
    source = (work / f"runs/mine-s0/sources/{file}").read_text()
    assert "class LastShare" in source and "def rank_hits" in source
    assert "speakers" not in source or not in_cells, "a layout is used where the folder is opened, by no worker"


def test_its_bundle_runs_without_network_to_the_same_bits(trained, folder, tmp_path):
    whole, in_cells = trained
    nbformat.write(notebook(folder, in_cells=in_cells), tmp_path / "my_parts.ipynb")
    write_kernel(tmp_path / "my_parts.ipynb", Kernel("ann", "my own parts", SLUG), {}, tmp_path / "pushed")
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(OFFLINE)
    work = tmp_path / "working"
    env = {"PYTHONPATH": str(guard), "HOME": str(guard), "KIT_INPUT": str(folder.parent)}
    env |= {"KAGGLE_KERNEL_RUN_TYPE": "Batch"}
    book = nbformat.read(tmp_path / "pushed" / NOTEBOOK, as_version=4)
    assert finish(start(work, book, env), work) == bits(whole)


def test_an_edited_part_makes_the_finished_folds_stale(trained, folder, tmp_path):
    work, in_cells = trained
    book = notebook(folder, in_cells=in_cells)
    book.cells[1].source = book.cells[1].source.replace("EPS = 1e-6", "EPS = 1e-5")
    process = start(work, book, name="edited.ipynb")
    before = bits(work)
    assert process.wait(timeout=600) != 0
    file = "notebook.py" if in_cells else "mine.py"
    assert f"fold0: was trained with another {file}; use another name, or fresh=True" in (work / "said.txt").read_text()
    assert bits(work) == before
