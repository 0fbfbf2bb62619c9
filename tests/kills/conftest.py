"""Tasks in processes that can be killed at any moment, at the price of a fork each."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("forker.py")
spec = importlib.util.spec_from_file_location("forker", SCRIPT)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


class Forker:
    """`bits`, `parts` and `check_whole` of forker.py, and its tasks."""

    bits, parts, check_whole = map(staticmethod, (module.bits, module.parts, module.check_whole))

    def __init__(self, process):
        self.process = process

    def run(self, task: dict) -> dict:
        """What an undisturbed task tells, and the seconds that it took."""
        started, told = time.perf_counter(), self._ask(task)
        assert told["status"] == 0, "its traceback is above"
        return {**told, "seconds": time.perf_counter() - started}

    def killed(self, task: dict, **moment) -> bool:
        """Kill it, die_at an operation or kill_after so many seconds; whether it had not ended by then."""
        told = self._ask({**task, **moment})
        assert told["status"] in (0, signal.SIGKILL), "its traceback is above"
        return told["status"] == signal.SIGKILL

    def _ask(self, task: dict) -> dict:
        self.process.stdin.write(json.dumps(task, default=str) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="session")
def forker():
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(SCRIPT)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Forker(process)
        process.stdin.close()
