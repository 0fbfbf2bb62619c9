"""The real kaggle client, sent to a stub on this machine, as an account that exists nowhere."""

import importlib.util
import os
from pathlib import Path

import pytest

from kit.__main__ import main

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
