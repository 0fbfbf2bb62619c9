"""Starting from another experiment's fold: what matches, what is told, what is refused."""

import json

import pytest
import torch

from kit.models.heads import Linear
from kit.models.weights import start_net
from kit.training.crossval import crossval
from kit.training.nets import build_net
from kit.training.pseudo import LeakError
from kit.training.start import StartFrom


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def run(voices, tiny, work):
    """A finished run of both folds; kept where it is there."""
    return train(tiny.but(name="first", loop__epochs=1), voices, work, work)


def train(experiment, voices, out, cache, **options):
    return crossval(experiment, voices, out, cache=cache, n_jobs=1, threads=1, progress=False, **options)[0]


def weights(path):
    return torch.load(path, weights_only=True)["model"]


def test_each_fold_starts_from_its_own_fold_and_says_so(voices, tiny, run, work):
    """At a rate of nearly 0 the net stays what it started from."""
    second = tiny.but(name="second", loop__epochs=1, optimizer__lr=1e-12, start_from=StartFrom(str(run.folder)))
    found = train(second, voices, work, work)
    for fold in (0, 1):
        began, ended = (weights(one.folder / f"fold{fold}/best.pt") for one in (run, found))
        weights_of_layers = [name for name in began if "running" not in name and "tracked" not in name]
        assert all(torch.allclose(began[name], ended[name], atol=1e-6) for name in weights_of_layers)
        (told,) = json.loads((found.folder / f"fold{fold}/env.json").read_text())["trained_by"]
        assert f"36 of 36 tensors from {run.folder}/fold{fold}/best.pt (sha256 " in told["weights"][0]["line"]
    zero, one = (weights(found.folder / f"fold{fold}/best.pt")["head.weight"] for fold in (0, 1))
    assert not torch.allclose(zero, one, atol=1e-3)


def test_one_file_starts_all_folds_and_another_head_is_left_as_it_was(tiny, run, store):
    experiment = tiny.but(net__head=Linear(), start_from=StartFrom(str(run.folder / "fold0/best.pt")))
    assert experiment.start_from.file(0) == experiment.start_from.file(1) == run.folder / "fold0/best.pt"
    net = build_net(experiment, 9, store.n_mels)
    started = start_net(net, experiment.start_from.file(0))
    assert started.reshaped == ("head.weight (6, 16) for (9, 16)",) and started.missing == ("head.bias",)


def test_a_fold_that_is_not_there_and_other_folds_are_refused(voices, tiny, run, work):
    with pytest.raises(ValueError, match=r"start_from: .*/fold5/best.pt: no such file; train that fold of the run fi"):
        StartFrom(str(run.folder)).file(5)
    other = tiny.but(name="other", folds__seed=1, start_from=StartFrom(str(run.folder)))
    with pytest.raises(LeakError, match=r"start_from: .*fold0/best.pt was trained on \d+ rows that fold 0 holds out"):
        train(other, voices, work, work)
    one = tiny.but(name="one", start_from=StartFrom(str(run.folder / "fold0/best.pt")))
    with pytest.raises(LeakError, match=r"fold0/best.pt was trained on \d+ rows that fold 1 holds out"):
        train(one, voices, work, work)
    assert not (work / "other-s0/fold0").exists() and not (work / "one-s0").exists()


def test_a_training_that_goes_on_keeps_its_own_weights(voices, tiny, run, work):
    """last.pt comes before start_from: a finished fold that is put together again is not started anew."""
    second = tiny.but(name="again", loop__epochs=1, start_from=StartFrom(str(run.folder)))
    found = train(second, voices, work, work)
    before = weights(found.folder / "fold0/best.pt")
    (found.folder / "fold0/metrics.json").unlink()
    train(second, voices, work, work)
    after = weights(found.folder / "fold0/best.pt")
    assert all(torch.equal(before[name], after[name]) for name in before)
