"""What every test gets: fixed seeds, folders that are made once for all workers, and no network."""

import multiprocessing.forkserver
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from kit.competition.competition import open_competition
from kit.demos.dawn_chorus import make_dawn_chorus
from kit.demos.demo import make_voices
from kit.demos.rainforest import make_rainforest
from kit.notebooks import numbered, run_notebooks, suits

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LATE = ("scipy.stats", "sklearn.metrics", "sklearn.model_selection", "timm", "torch._dynamo", "torchaudio.functional")
# Workers are given whole files in this order, the longest first: what is begun last is short, and both end together.
LONGEST = ("kaggle/test_runs.py", "notebooks/test_notebooks.py", "test_own_parts.py", "training/test_crossval.py")


def pytest_collection_modifyitems(items):
    def rank(item) -> int:
        path = item.path.as_posix()
        return next((number for number, name in enumerate(LONGEST) if path.endswith(name)), len(LONGEST))

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def fixed_seeds():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - what libraries draw from
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """A test that reaches for another machine fails; notebook kernels are reached on the loopback."""
    connect = socket.socket.connect

    def guarded(self, address):
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise OSError(f"tests have no network, and one asked for {address[0]}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """The folder of a name, made by the first worker of this run that asks for it, while others wait for it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        home = shared / f"once-{name}"
        with FileLock(f"{home}.lock"):
            if not (home / "done").exists():
                if home.exists():
                    pytest.fail(f"{name} could not be made; the first test that asked for it says why")
                home.mkdir()
                make(home / name)
                (home / "done").touch()
        return home / name

    return folder


@pytest.fixture(scope="session")
def forkserver():
    """Makes processes that have imported the kit, and what a fold's training imports late: each would take seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kit.training.crossval", *LATE])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", str(Path(__file__).parents[1])
        )  # a server imports from no other path of this process
        multiprocessing.forkserver.ensure_running()
    return context


@pytest.fixture(scope="session")
def voices_folder(made_once) -> Path:
    """A small demo competition: 6 speakers, 8 training and 3 test utterances each."""
    return made_once("voices", lambda folder: make_voices(folder, n_speakers=6, n_train=8, n_test=3, seed=1))


@pytest.fixture(scope="session")
def voices(voices_folder):
    return open_competition(voices_folder)


@pytest.fixture(scope="session")
def executed(voices_folder, rainforest_folder, chorus_folder, made_once) -> Path:
    """All notebooks, run one after another as a reader would; the folder they ran in."""
    small = {"rfcx": rainforest_folder, "birdclef": chorus_folder}  # their own demos are large for a test
    others = [path for path in numbered() if not any(suits(path, subject) for subject in small)]
    values = {"preset": "tiny", "seed": 0}

    def run(work: Path) -> None:
        work.mkdir()
        run_notebooks(others, {"data": str(voices_folder), **values}, work / "out", work=work)
        for subject, folder in small.items():
            about = [path for path in numbered() if suits(path, subject)]
            run_notebooks(about, {"data": str(folder), **values}, work / "out", subject=subject, work=work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")  # one fold after another; tests/kaggle/test_runs.py has workers
        return made_once("executed", run)


@pytest.fixture(scope="session")
def rainforest_folder(made_once) -> Path:
    """A small demo rainforest: 16 training and 6 test recordings of 6 s."""
    return made_once("rainforest", lambda folder: make_rainforest(folder, n_train=16, n_test=6, seconds=6.0, seed=3))


@pytest.fixture(scope="session")
def rainforest(rainforest_folder):
    return open_competition(rainforest_folder)


@pytest.fixture(scope="session")
def chorus_folder(made_once) -> Path:
    """A small demo dawn chorus: 40 clips, soundscapes of 20 s: 6 annotated, 4 not, 4 hidden."""
    return made_once("chorus", lambda folder: make_dawn_chorus(folder, 40, 4, 6, 4, seconds=20.0, seed=1))


@pytest.fixture(scope="session")
def chorus(chorus_folder):
    return open_competition(chorus_folder)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that lies beside the checkout on a developer's machine."""
    folder = Path(__file__).parents[2] / "shared/data"
    if not folder.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is absent")
    return folder
