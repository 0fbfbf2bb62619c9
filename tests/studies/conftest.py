"""A finished run on the small voices, beside its cache."""

import pytest

from kit.competition.folds import Folds
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.training.crossval import crossval
from kit.training.loop import Loop


@pytest.fixture(scope="session")
def small_run(voices, tmp_path_factory):
    work = tmp_path_factory.mktemp("small")
    net = Net(Conformer(width=8, layers=1, heads=2, ff_width=16, kernel_size=3))
    one = Experiment(name="small", folds=Folds(2), crop_frames=24, net=net, loop=Loop(epochs=1, batch_size=16))
    (run,) = crossval(one, voices, work / "runs", cache=work / "cache", n_jobs=1, threads=1, progress=False)
    return run
