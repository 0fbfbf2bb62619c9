"""A reader's idea on one fold beside a run, in one line."""

import numpy as np
import pandas as pd
import pytest

from kit.experiment import Experiment
from kit.results.bootstrap import paired
from kit.studies.own_idea import beside, try_idea
from kit.training.runs import Run


def make_run(name, right, rows):
    oof = pd.DataFrame({"id": [f"u{row}" for row in rows], "fold": 0, "label": "a"})
    oof = oof.assign(a=np.where(right, 0.9, 0.1), b=np.where(right, 0.1, 0.9))
    return Run(name, {"name": name}, {"seed": 0, "metric": "accuracy", "cluster": None}, oof)


def test_both_are_scored_on_the_rows_that_the_idea_predicted():
    run = make_run("base", [True] * 5 + [False] * 15, range(20))
    own = make_run("mine", [True, False] * 5, range(9, -1, -1))
    gap = paired(
        np.zeros(10, int), own.oof[["a", "b"]].to_numpy()[::-1], run.oof[["a", "b"]].to_numpy()[:10], "accuracy"
    )
    assert beside(own, run) == (
        f"mine 0.500, base 0.500 on the same 10 rows: {gap} (accuracy, 95 % interval of one comparison, one seed)"
    )


def test_an_idea_is_trained_on_one_fold_and_a_changed_one_needs_another_name(voices, small_run, tmp_path):
    quiet = {"cache": small_run.folder.parents[1] / "cache", "n_jobs": 1, "threads": 1, "progress": False}
    idea = Experiment.from_dict(small_run.experiment).but(name="mine", net__backbone__dropout=0.3)
    line = try_idea(idea, small_run, voices, tmp_path, **quiet)
    fold = (small_run.oof["fold"] == 0).sum()
    assert line.startswith("mine 0.") and f"on the same {fold} rows" in line
    assert not (tmp_path / "mine-s0/fold1").exists()
    rule = r"another experiment \(net__backbone__dropout 0.3 -> 0.0\); use another name, or fresh=True"
    with pytest.raises(ValueError, match=rule):
        try_idea(idea.but(net__backbone__dropout=0.0), small_run, voices, tmp_path, **quiet)
