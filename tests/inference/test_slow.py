"""Parts that turn out slower than what a clock has measured: a whole CSV stands before the limit all the same."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from kit.experiment_file import importable
from kit.inference.clock import Clock
from kit.inference.serving import FoldServing, Split
from kit.parts import Part
from kit.results.check import read_submission
from tests.inference.conftest import experiment, train

MINUTES = 0.5
POOLING = '''
"""A mean over time that waits so many seconds where the environment says so."""

import os
import time

from torch import nn


class Slow(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.out_width = width

    def forward(self, frames, mask=None):
        time.sleep(float(os.environ.get("SLOW_POOLING", 0)))
        return frames.mean(1)
'''
DECODE = """
import sys, time
from kit.data.audio import WaveReader
real = WaveReader._blocks
def slow(self, file, frames):
    time.sleep(0 if self.path.name < "t2" else 2)
    yield from real(self, file, frames)
WaveReader._blocks = slow
"""
PROCESSES = """
from kit.inference import course
from kit.inference.serving import Split
course.default_split = lambda *_: Split(2, 1)
"""


def test_what_was_served_when_time_ran_out_stands(fold, monkeypatch):
    """The alarm rings in the middle of the third batch of one clip."""
    real = FoldServing.batches

    def late(self, batches, threads):
        for number, served in enumerate(real(self, [[at] for batch in batches for at in batch], threads)):
            if number == 2:
                signal.raise_signal(signal.SIGALRM)
            yield served

    whole, _ = fold.predict(Split(1, 1))
    monkeypatch.setattr(FoldServing, "batches", late)
    with Clock(10).alarm():
        part, is_whole = fold.predict(Split(1, 1))
    served = ~np.isnan(part).any(1)
    assert not is_whole and served.sum() == 2
    np.testing.assert_allclose(part[served], whole[served], rtol=1e-5)  # other batches round otherwise


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("before", "seconds"), [(DECODE, 0), ("", 20), (PROCESSES, 20)], ids=["decoding", "a net", "a net in two processes"]
)
def test_the_command_ends_before_its_limit(sounds, tmp_path, monkeypatch, before, seconds):
    (tmp_path / "slow_pooling.py").write_text(POOLING)
    with importable(tmp_path):
        import slow_pooling

        run = train(experiment("slow", net__pooling=Part(slow_pooling.Slow)), sounds, tmp_path)
    out = tmp_path / "s.csv"
    main = f"{before}\nimport sys\nfrom kit.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())"
    options = ["--data", sounds.folder, "--out", out, "--cores", 2, "--minutes", MINUTES, "--cache", tmp_path / "new"]
    command = [sys.executable, "-c", main, "predict", run.folder, *options, "--trust"]
    process = subprocess.Popen(list(map(str, command)), env={**os.environ, "SLOW_POOLING": str(seconds)})
    while not out.exists():
        time.sleep(0.05)
        assert process.poll() is None
    started = time.time()  # a little late, for the clock began before
    process.wait()
    assert out.stat().st_mtime - started < 60 * MINUTES and time.time() - started < 60 * MINUTES + 5
    table = pd.read_csv(out)
    assert len(table) == 20
    read_submission(out, sounds)
