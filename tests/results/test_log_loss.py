"""A metric where lower is better, from training to the choice of what to send."""

from dataclasses import replace

import pandas as pd
import pytest

from kit.competition.metrics import log_loss
from kit.kaggle.place import hand_in
from kit.presets import preset
from kit.results.advice import advise
from kit.results.choose import choose_two
from kit.results.compare import compare, cv_table
from kit.results.lb import lb_table
from kit.results.ledger import read_ledger
from kit.results.record import record
from kit.training.crossval import crossval


@pytest.fixture(scope="module")
def by_loss(voices):
    return replace(voices, metric="log_loss")


@pytest.fixture(scope="module")
def runs(by_loss, tmp_path_factory):
    """One that learns, and one whose rate is too high to."""
    work = tmp_path_factory.mktemp("log_loss")
    learns = preset("tiny").but(name="learns", folds__n=2)
    wild = learns.but(name="wild", optimizer__lr=1.0, loop__clip_norm=0.0)
    options = {"cache": work / "cache", "n_jobs": 1, "threads": 1, "progress": False}
    return crossval([wild, learns], by_loss, work / "runs/x", **options)


def test_training_keeps_the_epoch_of_the_lowest_loss(runs):
    for run in runs:
        assert (run.metrics["metric"], run.metrics["higher_is_better"]) == ("log_loss", False)
        assert run.score == pytest.approx(log_loss(run.target, run.probability), rel=1e-5)
        for fold in range(2):
            log = pd.read_csv(run.folder / f"fold{fold}/log.csv")
            assert run.metrics["folds"][str(fold)] == pytest.approx(log["valid_score"].min(), rel=1e-3)


@pytest.mark.filterwarnings("ignore:.*in every row, and would be refused")  # of the wild one
def test_the_lower_loss_is_the_better_run_everywhere(runs, by_loss, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wild, learns = runs
    assert learns.score < wild.score
    table = compare(runs, "wild").set_index("name")
    assert (
        table.loc["learns", "delta"] == pytest.approx(learns.score - wild.score) and "lr" in table["changed"]["learns"]
    )
    assert advise(runs, "wild")["Δ CV"][0] < 0
    assert cv_table(runs)["metric"].tolist() == ["log_loss (lower is better)"] * 2
    for run in runs:
        record(run, by_loss)
    ledger = read_ledger("submissions/ledger.csv")
    assert lb_table(ledger, 9, runs=tmp_path)["CV rank"].tolist() == [2, 1]
    assert choose_two(ledger)["name"].tolist()[0] == "learns"
    hand_in()
    assert "learns-s0.csv, CV" in capsys.readouterr().out
