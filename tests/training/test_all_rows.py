"""folds of 1: one net on all rows, none held out."""

import json

import pandas as pd
import pytest

from kit.competition.folds import Folds
from kit.results.ledger import read_ledger
from kit.results.record import record
from kit.training.crossval import crossval


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("all")


def test_folds_of_1_keep_the_last_epoch(tiny):
    with pytest.raises(ValueError, match='keep must be "last" with folds of 1, .* got "best"'):
        tiny.but(folds=Folds(1))
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        Folds(0)


def test_all_rows_are_trained_on_and_the_test_part_is_predicted(voices, tiny, work):
    experiment = tiny.but(folds=Folds(1), loop__keep="last", loop__epochs=1)
    (run,) = crossval(experiment, voices, work / "runs", cache=work, n_jobs=1, threads=1, progress=False)
    log = pd.read_csv(run.folder / "fold0/log.csv")
    assert log["step"].tolist() == [len(voices.train) // 8] and log["valid_score"].isna().all()
    assert run.oof.empty and run.score is None and run.test["id"].tolist() == voices.test["id"].tolist()
    assert json.loads((run.folder / "metrics.json").read_text(), parse_constant=pytest.fail)["folds"] == {"0": None}
    with pytest.raises(ValueError, match=r"run tiny-s0: has no out-of-fold rows to score, for it trained on all"):
        run.target  # noqa: B018
    row = record(run, voices, work / "submissions")
    assert 0 <= row["public"] <= 1
    ledger = read_ledger(work / "submissions/ledger.csv")
    assert ledger["cv"].isna().all() and ledger["precision"].isna().all() and ledger["public"].notna().all()
