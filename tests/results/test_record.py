import json

import numpy as np
import pandas as pd
import pytest

from kit.results.check import SubmissionError
from kit.results.ledger import file_sha256, read_ledger
from kit.results.record import record


@pytest.fixture
def run(voices, tmp_path, monkeypatch):
    """A run folder whose out-of-fold predictions are right in all rows but the first, and a test that is all right."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs/voices-x/mine-s0"
    folder.mkdir(parents=True)
    classes = list(voices.classes)
    sure = np.eye(len(classes))[[classes.index(label) for label in voices.train["label"]]]
    sure[0] = np.roll(sure[0], 1)
    oof = pd.DataFrame({"id": voices.train["id"], "fold": 0, "label": voices.train["label"]})
    pd.concat([oof, pd.DataFrame(sure, columns=classes)], axis=1).to_parquet(folder / "oof.parquet")
    truth = voices.solution().set_index("id").loc[voices.test["id"], "label"]
    test = pd.DataFrame(np.eye(len(classes))[[classes.index(label) for label in truth]], columns=classes)
    test.insert(0, "id", voices.test["id"].to_numpy())
    test.to_parquet(folder / "test.parquet")
    (folder / "config.json").write_text(json.dumps({"name": "mine", "backbone": "timm", "timm_name": "resnet18"}))
    facts = {"name": "mine", "seed": 0, "metric": "accuracy", "folds": {"0": 1.0}, "minutes": 1, "parameters": 2}
    (folder / "metrics.json").write_text(json.dumps({**facts, "cluster": "label"}))
    return folder


def test_a_run_becomes_a_scored_submission_and_a_row(run, voices, tmp_path):
    row = record(run, voices)
    assert row["file"] == "submissions/voices-x/mine-s0.csv" and row["config"] == "runs/voices-x/mine-s0/config.json"
    ledger = read_ledger("submissions/ledger.csv")
    assert ledger["run"].tolist() == ["voices-x/mine-s0"]
    assert ledger["cv"][0] == pytest.approx(1 - 1 / len(voices.train))
    assert ledger["cv_low"][0] < ledger["cv"][0] <= ledger["cv_high"][0]
    assert ledger["public"][0] == ledger["private"][0] == 1.0
    assert ledger["backbone"][0] == "resnet18" and ledger["sha256"][0] == file_sha256(row["file"])


def test_recorded_twice_is_one_row(run, voices):
    record(run, voices)
    record(run, voices)
    assert len(read_ledger("submissions/ledger.csv")) == 1


def test_predictions_that_can_not_be_sent_leave_no_row(run, voices):
    test = pd.read_parquet(run / "test.parquet")
    test[list(voices.classes)] = np.eye(len(voices.classes))[0]
    test.to_parquet(run / "test.parquet")
    with pytest.raises(SubmissionError):
        record(run, voices)
    assert not (run.parents[2] / "submissions/ledger.csv").exists()
