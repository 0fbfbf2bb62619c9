"""Parts of post-processing: fitted on some rows, judged on others, kept where they help."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kit.competition.metrics import METRICS
from kit.results.bootstrap import paired
from kit.results.post import (
    Tuned,
    chosen,
    corrected,
    fit_parts,
    fitted_on_others,
    post_processed,
    post_table,
    try_parts,
)
from kit.results.post_rows import rows_of
from kit.results.post_windows import FilePeak, Smooth
from kit.results.priors import ClassPriors
from kit.training.runs import Run

CLASSES, FILES, WINDOWS = ["x", "y", "z"], 60, 6
ROC = METRICS["roc_auc"]


@dataclass(frozen=True)
class Shift:
    """Adds what it was fitted to: the share of rows that have each class."""

    times: float = 1.0

    def fit(self, rows, target, metric):
        share = self.times * (target == 1).mean(0)
        return lambda rows: rows.probability + share


@dataclass(frozen=True)
class Noise:
    """Predictions of another row."""

    def fit(self, rows, target, metric):
        return lambda rows: np.roll(rows.probability, 1, axis=0)


@pytest.fixture(scope="module")
def world():
    """A run on 60 recordings of 6 windows, where a class calls in all windows of a recording or in none, and a net that
    hears it with much noise; and 30 clips.
    """
    rng = np.random.default_rng(0)
    calls = rng.random((FILES, 3)) < 0.4
    target = np.repeat(calls, WINDOWS, axis=0)
    file = np.repeat(np.arange(FILES), WINDOWS)
    train = pd.DataFrame({"id": [f"f{n}_{s}" for n, s in zip(file, np.tile(np.arange(WINDOWS), FILES), strict=True)]})
    train = train.assign(path=[f"{n}.ogg" for n in file], start_seconds=np.tile(5.0 * np.arange(WINDOWS), FILES))
    clips = pd.DataFrame({"id": [f"c{n}" for n in range(30)], "path": [f"c{n}.ogg" for n in range(30)]})
    train = pd.concat([train.assign(end_seconds=train["start_seconds"] + 5), clips], ignore_index=True)
    target = np.vstack([target, rng.random((30, 3)) < 0.4])
    probability = 1 / (1 + np.exp(-(1.0 * (2 * target - 1) + rng.normal(0, 1.5, target.shape))))
    label = [" ".join([*(name for name, there in zip(CLASSES, row, strict=True) if there), "-*"]) for row in target]
    oof = pd.DataFrame({"id": train["id"], "fold": np.append(file % 3, np.arange(30) % 3), "label": label})
    oof = pd.concat([oof.assign(group=train["path"]), pd.DataFrame(probability, columns=CLASSES)], axis=1)
    test = pd.DataFrame(
        {"id": ["t_0", "t_5"], "path": "t.ogg", "start_seconds": [0.0, 5.0], "end_seconds": [5.0, 10.0]}
    )
    facts = {"seed": 0, "metric": "roc_auc", "cluster": "group", "task": "multi"}
    run = Run("mine-s0", {"name": "mine"}, facts, oof)
    run.__dict__["test"] = pd.DataFrame({"id": ["t_5", "t_0"], "x": [0.2, 0.6], "y": [0.5, 0.5], "z": [0.0, 1.0]})
    return run, SimpleNamespace(train=train, test=test, folder=Path("bird"))


def test_a_fold_is_changed_by_what_the_others_taught():
    """Fold 0's rows get the share of fold 1's rows, 1 of 2 and 0, and the other way round, 0 and 1."""
    train = pd.DataFrame({"id": list("abcd"), "path": "p"})
    competition = SimpleNamespace(train=train, test=train.iloc[:0], folder=Path("bird"))
    rows = rows_of(pd.DataFrame({"id": list("abcd"), "x": 0.1, "y": 0.2}), competition)
    target, fold = np.array([[0, 1], [0, 1], [1, 0], [0, 0]]), np.array([0, 0, 1, 1])
    found = fitted_on_others([Shift()], rows, target, fold, ROC)
    assert found == pytest.approx(np.array([[0.6, 0.2], [0.6, 0.2], [0.1, 1.2], [0.1, 1.2]]))
    twice = fitted_on_others([Shift(), Shift(2.0)], rows, target, fold, ROC)
    assert twice == pytest.approx(np.array([[1.6, 0.2], [1.6, 0.2], [0.1, 3.2], [0.1, 3.2]])), "one after another"
    assert fit_parts([], rows, target, ROC)(rows) is rows.probability


def test_labels_of_a_fold_do_not_matter_to_it(world):
    run, competition = world
    rows, fold, target = rows_of(run.oof, competition), run.oof["fold"].to_numpy(), run.target
    parts = [Tuned(FilePeak(), "power", (0.0, 1.0)), ClassPriors()]
    own = fitted_on_others(parts, rows, target, fold, METRICS["lwlrap"])
    other = np.where((fold == 1)[:, None], 1 - target, target)
    again = fitted_on_others(parts, rows, other, fold, METRICS["lwlrap"])
    assert np.array_equal(own[fold == 1], again[fold == 1]) and not np.array_equal(own[fold == 2], again[fold == 2])


def test_what_helps_is_kept_and_judged_upon_what_is_kept(world):
    run, competition = world
    parts = (Noise(), Smooth((1, 1, 1)), FilePeak(), Noise())
    steps = try_parts(run, parts, competition)
    assert [step.kept for step in steps] == [False, True, True, False]
    windows = rows_of(run.oof, competition).windows
    rows, target = rows_of(run.oof, competition).take(windows), run.target[windows]
    smooth = Smooth((1, 1, 1)).apply(rows)
    peak = FilePeak().apply(rows.but(smooth))
    assert steps[1].score == ROC(target, smooth) and steps[2].score == ROC(target, peak)
    assert steps[2].gain == paired(target, peak, smooth, ROC, run.clusters[windows]) and steps[2].gain.low > 0
    assert steps[0].gain.high < 0 and steps[3].gain.high < 0
    assert chosen(run, parts, competition) == parts[1:3]
    table = post_table(run, parts, competition)
    assert table["part"].tolist()[1:3] == ["Smooth(taps=(1, 1, 1))", "FilePeak"]
    assert table["kept"].tolist() == [step.kept for step in steps] and table["gain"][1] == str(steps[1].gain)
    assert list(post_table(run, (), competition).columns) == ["part", "score", "gain", "kept"]


def test_where_lower_is_better_a_gain_is_below_0(world):
    run, competition = world
    steps = try_parts(run, (Noise(), Smooth((1, 1, 1))), competition, "log_loss")
    assert [step.kept for step in steps] == [False, True] and steps[1].gain.high < 0 < steps[0].gain.low


def test_a_field_is_tuned_on_the_rows_that_are_fitted_on(world):
    """A power of 1 is best here, and stays so where 0 is the only other choice."""
    run, competition = world
    rows, target = rows_of(run.oof, competition), run.target
    tuned = Tuned(FilePeak(), "power", (0.0, 1.0))
    assert np.array_equal(tuned.fit(rows, target, ROC)(rows), FilePeak().apply(rows))
    assert np.array_equal(tuned.fit(rows, 1 - target, ROC)(rows), FilePeak(0.0).apply(rows)), "the labels decide"
    lower = METRICS["log_loss"]
    scores = [lower(target, FilePeak(power).apply(rows)) for power in (0.0, 1.0)]
    expected = FilePeak((0.0, 1.0)[int(np.argmin(scores))]).apply(rows)
    assert np.array_equal(tuned.fit(rows, target, lower)(rows), expected)
    with pytest.raises(ValueError, match="values must hold at least one, got none"):
        Tuned(FilePeak(), "power", ())
    with pytest.raises(ValueError, match=r"FilePeak: no field 'powr' \(did you mean power\?\)"):
        Tuned(FilePeak(), "powr", (1.0,))
    with pytest.raises(ValueError, match="power must be at least 0, got -1"):
        Tuned(FilePeak(), "power", (1.0, -1.0))


def test_a_corrected_run_is_honest_and_its_test_rows_are_changed(world):
    run, competition = world
    parts = (Smooth((1, 1, 1)), Shift())
    post, test = corrected(parts, competition)(run)
    assert (post.name, post.experiment["name"], post.folder) == ("mine-s0-post", "mine-post", None)
    assert post.experiment["post"] == ["Smooth(taps=(1, 1, 1))", "Shift"]
    windows = rows_of(run.oof, competition).windows
    assert np.array_equal(post.probability[~windows], run.probability[~windows]), "clips are no windows"
    rows = rows_of(run.oof, competition).take(windows)
    honest = fitted_on_others(parts, rows, run.target[windows], run.oof["fold"].to_numpy()[windows], ROC)
    assert np.array_equal(post.probability[windows], honest)
    share = (run.target[windows] == 1).mean(0)
    assert test["id"].tolist() == ["t_5", "t_0"]
    assert test[CLASSES].to_numpy() == pytest.approx(np.array([[0.4, 0.5, 0.5]] * 2) + share), "of two windows the mean"
    assert run.test["x"].tolist() == [0.2, 0.6]
    pd.testing.assert_frame_equal(post_processed(run.test, run, parts, competition), test)


def test_runs_that_can_not_be_judged_are_refused(world):
    run, competition = world
    one = Run("one-s0", {"name": "one"}, {**run.metrics, "task": "single"}, run.oof.assign(label="x"))
    with pytest.raises(ValueError, match="run one-s0: its rows must have several labels to be post-processed, got one"):
        try_parts(one, (Smooth(),), competition)
    alone = Run("alone-s0", {"name": "alone"}, run.metrics, run.oof.assign(fold=0))
    with pytest.raises(ValueError, match="run alone-s0: at least 2 folds must have rows for parts .*, got 1"):
        post_table(alone, (Smooth(),), competition)
