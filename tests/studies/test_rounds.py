"""Rounds of soft pseudo labels: what is trained, what is said, and where they stop."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kit.competition.folds import Folds
from kit.competition.metrics import METRICS
from kit.data.features import LogMel
from kit.experiment import Experiment
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.results.bootstrap import paired
from kit.studies import rounds
from kit.studies.rounds import Round, round_table, run_rounds
from kit.training.identity import trained_by
from kit.training.loop import Loop
from kit.training.losses import BCE
from kit.training.runs import Run
from kit.training.schedules import WarmupCosine
from kit.training.soft_labels import SoftLabels

N = 120
TARGET = np.random.default_rng(0).random((N, 2)) < 0.4
BASE = Experiment(name="base", loss=BCE())
STUDENT = BASE.but(name="student", pseudo=SoftLabels("", share=0.25))


def run_of(name, skill, seed=0):
    rng = np.random.default_rng([seed, 7])
    probability = 1 / (1 + np.exp(-(skill * (2 * TARGET - 1) + rng.normal(size=TARGET.shape))))
    label = [" ".join([*(c for c, there in zip("xy", row, strict=True) if there), "-*"]) for row in TARGET]
    oof = pd.DataFrame({"id": [f"r{n}" for n in range(N)], "fold": np.arange(N) % 2, "label": label})
    oof[["x", "y"]] = probability
    facts = {"seed": seed, "metric": "roc_auc", "cluster": None, "task": "multi"}
    return Run(f"{name}-s{seed}", {"name": name}, facts, oof, Path(f"runs/{name}-s{seed}"))


@pytest.fixture
def world(monkeypatch):
    """Trainings whose skill is read from a list, round by round; calls are kept."""
    calls = SimpleNamespace(trained=[], labelled=[], said=[], skills=[0.3, 1.0, 2.0, 1.9, 3.0])

    def crossval(experiment, competition, out, *, seeds=(0,), **how):
        calls.trained.append(experiment)
        skill = calls.skills[len(calls.trained) - 1]
        return [run_of(experiment.name, skill, seed) for seed in seeds]

    def make_soft_labels(runs, store, out, **rule):
        calls.labelled.append((runs, store, out, rule))
        return Path(f"labels{len(calls.labelled)}.parquet")

    monkeypatch.setattr(rounds, "crossval", crossval)
    monkeypatch.setattr(rounds, "make_soft_labels", make_soft_labels)
    monkeypatch.setattr(rounds, "pack", lambda competition, *how, **more: "store")
    return calls


COMPETITION = SimpleNamespace(metric="roc_auc")


def test_each_round_is_labelled_by_the_last_until_one_gains_nothing(world):
    done = run_rounds(BASE, STUDENT, COMPETITION, "runs", power=(1.0, 1.5, 2.0), most=3, floor=0.2, least=0.3,
                         seeds=(0, 1), say=world.said.append)  # fmt: skip
    assert [one.number for one in done] == [0, 1, 2, 3] and [one.helps for one in done] == [True, True, True, False]
    assert [one.name for one in world.trained] == ["base", "student-round1", "student-round2", "student-round3"]
    assert world.trained[0].pseudo is None
    assert world.trained[2].pseudo == SoftLabels("labels2.parquet", share=0.25)
    runs, store, out, rule = world.labelled[1]
    assert runs == [Path("runs/student-round1-s0"), Path("runs/student-round1-s1")]
    assert (store, out, rule) == ("store", Path("runs/soft"), {"power": 1.5, "floor": 0.2, "least": 0.3})
    gain = paired(TARGET.astype(int), *(np.stack([run_of("a", skill, seed).probability for seed in (0, 1)])
                                        for skill in (1.0, 0.3)), METRICS["roc_auc"])  # fmt: skip
    assert done[1].gain == gain and gain.low > 0
    assert (
        world.said[1] == f"round 1: roc_auc {rounds.mean_score(done[1].runs, METRICS['roc_auc'])}, {gain} over round 0"
    )
    assert world.said[-1] == "round 3 shows no gain: round 2 is the last that does" and len(world.said) == 5
    table = round_table(done)
    assert table["helps"].tolist() == [True, True, True, False] and table["gain"][0] == ""
    assert table["name"][3] == "student-round3" and table["gain"][1] == str(gain)


def test_a_rounds_score_is_found_once(world, monkeypatch):
    called = []
    monkeypatch.setattr(rounds, "mean_score", lambda runs, metric: called.append(runs) or 0.5)
    done = run_rounds(BASE, STUDENT, COMPETITION, most=1, say=world.said.append)
    assert round_table(done)["roc_auc"].tolist() == ["0.5", "0.5"] and [str(one) for one in done] == world.said
    assert called == [one.runs for one in done]


def test_rounds_end_at_the_most(world):
    done = run_rounds(BASE, BASE.but(name="student"), COMPETITION, most=1, say=world.said.append)
    assert [one.helps for one in done] == [True, True] and world.trained[1].pseudo == SoftLabels("labels1.parquet")
    assert len(world.said) == 2


def test_gains_are_told_on_the_rows_that_are_judged(world):
    judged = [f"r{n}" for n in range(60)]
    done = run_rounds(BASE, STUDENT, COMPETITION, most=1, judged=judged, say=world.said.append)
    assert all(set(run.oof["id"]) == set(judged) for one in done for run in one.runs)
    rows = slice(0, 60)
    ours, theirs = (run_of("a", skill).probability[None, rows] for skill in (1.0, 0.3))
    assert done[1].gain == paired(TARGET[rows].astype(int), ours, theirs, METRICS["roc_auc"])
    with pytest.raises(ValueError, match="judged must name out-of-fold rows, got none of them in 1"):
        run_rounds(BASE, STUDENT, COMPETITION, judged=["other"], say=world.said.append)


def test_rows_in_another_order_are_the_same_rows():
    before, after = run_of("a", 0.5), run_of("b", 1.5)
    shuffled = replace(after, oof=after.oof.sample(frac=1, random_state=0))
    metric = METRICS["roc_auc"]
    assert rounds.mean_difference([shuffled], [before], metric) == rounds.mean_difference([after], [before], metric)


def test_where_lower_is_better_a_gain_is_below_0():
    metric = METRICS["log_loss"]
    gain = rounds.mean_difference([run_of("b", 1.5)], [run_of("a", 0.3)], metric)
    assert (
        gain.high < 0
        and Round(1, [], metric, None, gain).helps
        and not Round(1, [], METRICS["lwlrap"], None, gain).helps
    )


def test_bad_rounds_are_refused(world):
    with pytest.raises(ValueError, match=r"most must be in 1 to the number of powers \(2\), got 3"):
        run_rounds(BASE, STUDENT, COMPETITION, most=3, power=(1.0, 2.0))
    with pytest.raises(ValueError, match="student must have the teacher's features, whose store is labelled"):
        run_rounds(BASE, STUDENT.but(features=LogMel(n_mels=16)), COMPETITION)
    assert not world.trained


def test_a_round_on_recordings(rainforest, tmp_path):
    """The test recordings of the demo rainforest as unlabelled ones, whole labels in the place of boxes."""
    others = rainforest.test.assign(id="u" + rainforest.test["id"])
    competition = replace(rainforest, boxes=None, unlabelled=others, metric="lwlrap")
    mel = LogMel(32000, 16, 0.04, 0.04, 300.0, 14000.0)
    base = Experiment(
        name="base", folds=Folds(2), features=mel, crop_frames=32, loss=BCE(), schedule=WarmupCosine(1),
        net=Net(Conformer(width=8, layers=1, heads=2, ff_width=16, kernel_size=5)), loop=Loop(epochs=1, batch_size=4),
    )  # fmt: skip
    done = run_rounds(
        base, base.but(name="student"), competition, tmp_path / "runs", most=1, floor=0.0, say=lambda line: None,
        cache=tmp_path / "cache", n_jobs=1, threads=1, progress=False,
    )  # fmt: skip
    assert done[1].labels.exists() and done[1].gain is not None
    teacher, student = (trained_by(one.runs[0].folder / "fold0")[-1]["data"] for one in done)
    assert student.startswith(f"{teacher}+"), "only the student's store has the unlabelled rows"
    labelled = pd.read_parquet(done[1].labels)
    assert set(labelled["id"]) == set(others["id"]) and labelled["fold"].nunique() == 2
    assert done[1].runs[0].experiment["pseudo"]["file"] == str(done[1].labels)
