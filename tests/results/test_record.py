import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kit.competition.labels import known_matrix
from kit.competition.metrics import METRICS
from kit.results.check import SubmissionError, check_submission
from kit.results.ledger import file_sha256, read_ledger
from kit.results.post import corrected
from kit.results.priors import ClassPriors, apply_scale, cross_fitted, fit_scale
from kit.results.record import backbone_told, mix_told, record
from kit.training.runs import load_run


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
    net = {"part": "Net", "backbone": {"part": "Timm", "name": "resnet18"}}
    (folder / "experiment.json").write_text(json.dumps({"name": "mine", "net": net, "mix": None}))
    facts = {"name": "mine", "seed": 0, "metric": "accuracy", "folds": {"0": 1.0}, "minutes": 1, "parameters": 2}
    (folder / "metrics.json").write_text(json.dumps({**facts, "cluster": "label"}))
    return folder


def test_a_run_becomes_a_scored_submission_and_a_row(run, voices, tmp_path):
    row = record(run, voices)
    assert (
        row["file"] == "submissions/voices-x/mine-s0.csv"
        and row["experiment"] == "runs/voices-x/mine-s0/experiment.json"
    )
    ledger = read_ledger("submissions/ledger.csv")
    assert ledger["run"].tolist() == ["voices-x/mine-s0"]
    assert ledger["cv"][0] == pytest.approx(1 - 1 / len(voices.train))
    assert ledger["cv_low"][0] < ledger["cv"][0] <= ledger["cv_high"][0]
    assert ledger["public"][0] == ledger["private"][0] == 1.0
    assert ledger["metric"][0] == "accuracy" and ledger["higher_is_better"][0] == "True"
    assert (ledger["mix"][0], ledger["backbone"][0]) == ("none", "resnet18")
    assert ledger["sha256"][0] == file_sha256(row["file"])


def test_recorded_twice_is_one_row(run, voices):
    record(run, voices)
    record(run, voices)
    assert len(read_ledger("submissions/ledger.csv")) == 1


def test_a_run_of_crossval_is_recorded_as_its_folder_is(run, voices):
    by_folder = record(run, voices)
    assert record(load_run(run), voices) == by_folder
    with pytest.raises(ValueError, match="run mine-s0: must have a folder to be recorded"):
        record(replace(load_run(run), folder=None), voices)


def test_the_ledger_has_the_competitions_metric_and_its_direction(run, voices):
    row = record(run, replace(voices, metric="log_loss"))
    assert (row["metric"], row["higher_is_better"]) == ("log_loss", False)
    assert row["cv"] == pytest.approx(-np.log(1e-15) / len(voices.train)), "one row is wrong and sure"
    assert row["public"] == 0 and read_ledger("submissions/ledger.csv")["higher_is_better"].tolist() == ["False"]


@pytest.mark.parametrize(
    ("mix", "views", "told"),
    [
        (None, None, "none"),
        ({"part": "Mixup", "place": "manifold", "alpha": 2.0}, None, "manifold"),
        ({"part": "Mixup", "place": "input"}, {"part": "LPCViews"}, "input + LPCViews"),
        (None, {"part": "LPCViews"}, "LPCViews"),
        ({"part": "mine:CutMix", "share": 0.5}, None, "CutMix"),
    ],
)
def test_what_is_mixed_is_told_in_short(mix, views, told):
    assert mix_told({"mix": mix, "views": views}) == told


def test_the_backbone_is_told_in_short():
    assert backbone_told({"net": {"part": "Net", "backbone": {"part": "Conformer", "width": 80}}}) == "Conformer"
    assert backbone_told({"net": {"part": "Net", "backbone": {"part": "mine:Frames"}}}) == "Frames"
    assert backbone_told({"net": {"part": "mine:Whole"}}) == "Whole"
    assert backbone_told({"name": "blend"}) == ""


def test_a_dead_models_predictions_are_recorded_with_a_warning(run, voices):
    test = pd.read_parquet(run / "test.parquet")
    test[list(voices.classes)] = np.eye(len(voices.classes))[0]
    test.to_parquet(run / "test.parquet")
    with pytest.warns(UserWarning, match=r"mine-s0.csv, column Category: says '.*' in every row, and would be refused"):
        row = record(run, voices)
    with pytest.raises(SubmissionError, match="column Category: must not say the same in every row"):
        check_submission(row["file"], voices)
    assert len(read_ledger("submissions/ledger.csv")) == 1


def test_corrected_priors_reach_the_csv(rainforest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, classes, rng = tmp_path / "runs/x/mine-s0", list(rainforest.classes), np.random.default_rng(0)
    folder.mkdir(parents=True)
    known = known_matrix(rainforest.train["label"], classes)
    probability = 1 / (1 + np.exp(-(3.0 * (known == 1) + rng.normal(size=known.shape))))
    probability[:, 0] = 1 - (1 - probability[:, 0]) / 8  # too sure of one class
    oof = pd.DataFrame({"id": rainforest.train["id"], "fold": np.arange(len(known)) % 2})
    oof = oof.assign(label=rainforest.train["label"])
    pd.concat([oof, pd.DataFrame(probability, columns=classes)], axis=1).to_parquet(folder / "oof.parquet")
    test = pd.DataFrame(rng.random((len(rainforest.test), len(classes))), columns=classes)
    test.assign(id=rainforest.test["id"]).to_parquet(folder / "test.parquet")
    (folder / "experiment.json").write_text(json.dumps({"name": "mine"}))
    facts = {"seed": 0, "metric": "lwlrap", "folds": {}, "minutes": 1, "parameters": 2, "cluster": None}
    (folder / "metrics.json").write_text(json.dumps({**facts, "task": "multi"}))
    correct = corrected((ClassPriors(),), rainforest)
    plain, row = record(folder, rainforest), record(folder, rainforest, correct=correct)
    assert (row["run"], row["name"]) == ("x/mine-s0-post", "mine-post")
    assert plain["file"] != row["file"] and plain["experiment"] == row["experiment"]
    scale = fit_scale(known, probability)
    sent = pd.read_csv(row["file"]).set_index(rainforest.id_column).loc[rainforest.test["id"]]
    np.testing.assert_allclose(sent.to_numpy(), apply_scale(test.to_numpy(), scale), rtol=1e-7)
    honest = cross_fitted(known, probability, oof["fold"].to_numpy())
    assert row["cv"] == pytest.approx(METRICS["lwlrap"](known, honest))
    with pytest.raises(ValueError, match="run one-s0: its rows must have several labels to be post-processed"):
        single = replace(load_run(folder), name="one-s0", metrics={**facts, "task": "single"})
        correct(replace(single, oof=single.oof.assign(label=classes[0])))
