"""The study of starting weights changes one thing at a time."""

from kit.experiment import changes
from kit.studies.pretrained import experiments


def test_one_thing_changes_from_run_to_run():
    random, first, second = experiments("weights.pth", 400, ("mean_std", "min_max"))
    told = changes(random.to_dict(), first.to_dict())
    assert told == {"name": ("random", "mean_std"), "net__backbone__weights": ("", "weights.pth")}
    assert set(changes(first.to_dict(), second.to_dict())) == {"name", "net__backbone__normalize"}
    assert first.loop.epochs * first.loop.epoch_steps == 400 and first.folds.n == 3
