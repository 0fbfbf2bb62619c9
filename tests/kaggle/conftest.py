"""The real kaggle client, sent to a stub on this machine, as an account that exists nowhere."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.__main__ import main

# A process that has imported libraries, but not the kit, and forks for each kernel; no other machine can be reached.
KERNELS = """
import json, os, socket, sys, traceback
import accelerate, nbformat, numpy, pandas, pyarrow.parquet, scipy.stats, sklearn.metrics, sklearn.model_selection
import soundfile, torch, torch._dynamo, torchaudio.functional
from torch.utils.data import DataLoader

def refused(self, address):
    raise OSError(f"sockets are blocked, and one asked for {address}")

for line in sys.stdin:
    task = json.loads(line)
    pid = os.fork()
    if pid == 0:
        log = os.open(task["log"], os.O_CREAT | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(task["env"])
        os.chdir(task["folder"])
        socket.socket.connect = socket.socket.connect_ex = refused
        try:
            scope = {"__name__": "__main__"}
            for cell in task["cells"]:
                exec(compile(cell, "cell", "exec"), scope)
            code = 0
        except BaseException:
            sys.stdout.flush()
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


spec = importlib.util.spec_from_file_location("kaggle_stub", Path(__file__).with_name("stub.py"))
stub_module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stub_module)


@pytest.fixture
def stub():
    with stub_module.Stub() as server:
        yield server


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """An environment where nobody is signed in, in an empty folder."""
    for name in list(os.environ):
        if name.startswith("KAGGLE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    (home / ".kaggle").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(home / ".kaggle"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def account(nobody, stub, monkeypatch):
    """Signed in at the stub by a key; the folder to work in."""
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, stub.url)
    monkeypatch.setenv("KAGGLE_USERNAME", stub_module.USER)
    monkeypatch.setenv("KAGGLE_KEY", "0123456789abcdef" * 2)
    return nobody


@pytest.fixture
def kit(capsys):
    """Run a command of the kit; its exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """Run a pushed notebook's cells in a folder, with what is mounted below a root; exit code, and what was said."""
    home = tmp_path_factory.mktemp("home")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1", "TMPDIR": str(home)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", KERNELS], env=env, cwd=home, **pipes) as process:

        def run(cells, root, folder):
            folder.mkdir()
            log = folder.with_name(f"{folder.name}.log")
            env = {"KIT_INPUT": str(root), "KAGGLE_KERNEL_RUN_TYPE": "Batch"}
            task = {"cells": cells, "env": env, "folder": str(folder), "log": str(log)}
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline()), log.read_text()

        yield run
        process.stdin.close()
