"""Tables of runs on recordings with several labels: what a change gained, beside what the source published."""

import json

import numpy as np
import pandas as pd
import pytest

from kit.competition.labels import known_matrix
from kit.competition.metrics import lwlrap
from kit.studies.soundscapes import change_table, leaderboard_difference, published_table, stage_table
from kit.training.runs import load_run


def make_run(folder, competition, train, test):
    """A run folder with these probabilities (N, C) of training and test recordings, the latter as in the solution."""
    classes, solution = list(competition.classes), competition.solution()
    folder.mkdir()
    metrics = {"name": folder.name, "seed": 0, "metric": "lwlrap", "score": 0.5, "folds": {}, "minutes": 1.0}
    (folder / "metrics.json").write_text(json.dumps(metrics | {"parameters": 1, "cluster": None, "task": "multi"}))
    (folder / "experiment.json").write_text(json.dumps({"name": folder.name, "seed": 0}))
    oof = pd.DataFrame({"id": competition.train["id"], "fold": 0, "label": competition.train["label"]})
    oof[classes] = train
    oof.to_parquet(folder / "oof.parquet")
    sent = pd.DataFrame({"id": solution["id"]})
    sent[classes] = test
    sent.sample(frac=1, random_state=0).to_parquet(folder / "test.parquet")  # by id, not by place
    return load_run(folder)


@pytest.fixture(scope="module")
def runs(rainforest, tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("runs")
    there = known_matrix(rainforest.train["label"], rainforest.classes) == 1
    calls = rainforest.solution()[list(rainforest.classes)].to_numpy()
    drawn, guessed = rng.random(there.shape), rng.random(calls.shape)
    return {
        "guess": make_run(folder / "guess-s0", rainforest, drawn, guessed),
        "right": make_run(folder / "right-s0", rainforest, 0.5 * there, 0.5 * calls),
        "drawn": drawn,
        "guessed": guessed,
    }


def test_what_a_change_gained_is_the_difference_of_the_scores(runs, rainforest):
    table = change_table({"better": ([runs["right"]], [runs["guess"]])}, rainforest).set_index("change")
    target, solution = known_matrix(rainforest.train["label"], rainforest.classes), rainforest.solution()
    assert table.at["better", "out of fold"].delta == pytest.approx(1 - lwlrap(target, runs["drawn"]))
    for usage in ("Public", "Private"):
        part = (solution["usage"] == usage).to_numpy()
        score = lwlrap(solution.loc[part, list(rainforest.classes)].to_numpy(), runs["guessed"][part])
        found = table.at["better", usage.lower()]
        assert found.delta == pytest.approx(1 - score) and found.low <= found.delta <= found.high


def test_the_mean_of_several_runs_is_compared(runs, rainforest):
    whole = leaderboard_difference([runs["right"]], [runs["guess"]], rainforest)
    half = leaderboard_difference([runs["right"], runs["guess"]], [runs["guess"]] * 2, rainforest)
    assert half.delta == pytest.approx(whole.delta / 2)


def test_the_published_table_has_a_row_a_stage_and_mixup():
    table = published_table().set_index(["stage", "mixup"])
    assert len(table) == 10 and table.index.is_unique
    last = "pseudo 0.5 + focal + positive decay"
    assert table.loc[(last, "last layer")].tolist() == ["0.9589", "0.657", "0.942"]
    assert table.loc[("sampled negatives", "usual")].tolist() == ["0.8352", "not told", "0.833"]


def test_a_stage_stands_beside_its_published_row(runs, rainforest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = stage_table({"image division": {"usual": runs["right"], "mine": runs["guess"]}}, rainforest)
    assert table["CV"][0].startswith("1.000 [") and table["public"][0] == "1.000"
    assert table["RFCX CV"].tolist() == ["0.8347", ""] and table["RFCX LB"][0] == "0.792"
    assert not table.isna().any(axis=None)
