"""Runs side by side: made as run folders of known predictions."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kit.competition.metrics import accuracy
from kit.results.bootstrap import holm, interval, paired
from kit.results.compare import Run, compare_runs, cv_table, load_run

CLASSES = ["anna", "ben", "NA"]
N_ROWS = 90
TARGET = np.arange(N_ROWS) % 3


def make_run(folder, name="base", seed=0, skill=1.0, folds=None, **changes):
    """A run folder with its oof shuffled, as folds one after another leave it."""
    rng = np.random.default_rng([seed, int(100 * skill), len(name)])
    folds = np.arange(N_ROWS) % 5 if folds is None else folds
    logits = rng.normal(size=(N_ROWS, 3))
    logits[np.arange(N_ROWS), TARGET] += skill
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    oof = pd.DataFrame({"id": [f"uttr-{row:03d}.pt" for row in range(N_ROWS)], "fold": folds})
    oof["label"] = [CLASSES[c] for c in TARGET]
    oof["group"] = [f"g{row // 6}" for row in range(N_ROWS)]
    oof[CLASSES] = probability.astype(np.float32)
    oof = oof.sort_values("fold", kind="stable").reset_index(drop=True)
    scores = {str(fold): accuracy(TARGET[folds == fold], probability[folds == fold]) for fold in np.unique(folds)}
    metrics = {
        "name": name,
        "seed": seed,
        "metric": "accuracy",
        "score": accuracy(TARGET, probability),
        "folds": scores,
    }
    metrics |= {"minutes": 2.0 + seed, "parameters": 1234, "cluster": None} | changes
    folder = folder / f"{name}-s{seed}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"name": name, "seed": seed, "width": 160}))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    oof.to_parquet(folder / "oof.parquet")
    return load_run(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("runs")
    return [
        make_run(tmp_path, "base", 0),
        make_run(tmp_path, "base", 1),
        make_run(tmp_path, "better", 0, skill=2.5),
        make_run(tmp_path, "better", 1, skill=2.5),
        make_run(tmp_path, "same", 0, skill=1.0),
    ]


def edited(run, **columns):
    return replace(run, oof=run.oof.assign(**columns))


def test_a_run_is_read_as_it_was_written(tmp_path):
    run = make_run(tmp_path, "base", 3)
    assert (run.name, run.config["width"], run.metrics["seed"]) == ("base-s3", 160, 3)
    assert run.classes == CLASSES
    assert (run.target == [CLASSES.index(label) for label in run.oof["label"]]).all()
    assert run.probability.shape == (N_ROWS, 3) and run.probability.dtype == np.float64
    assert accuracy(run.target, run.probability) == pytest.approx(run.metrics["score"])


def test_clusters_are_what_metrics_json_names(tmp_path):
    assert make_run(tmp_path, "none").clusters is None
    assert set(make_run(tmp_path, "label", cluster="label").clusters) == set(CLASSES)
    assert len(set(make_run(tmp_path, "group", cluster="group").clusters)) == 15
    run = make_run(tmp_path, "without", cluster="group")
    with pytest.raises(ValueError, match="run without-s0: oof must have the column of its clusters, got no 'group'"):
        _ = replace(run, oof=run.oof.drop(columns="group")).clusters


def test_the_cv_table_by_hand(runs):
    table = cv_table(runs).set_index("name")
    base = runs[:2]
    folds = [score for run in base for score in run.metrics["folds"].values()]
    assert list(table.index) == ["base", "better", "same"]
    assert list(table["seeds"]) == [2, 2, 1]
    assert table.loc["base", "mean"] == pytest.approx(np.mean(folds))
    assert table.loc["base", "sd"] == pytest.approx(np.std(folds, ddof=1))
    assert table.loc["base", "oof"] == pytest.approx(np.mean([run.metrics["score"] for run in base]))
    assert (table["low"] < table["oof"]).all() and (table["oof"] < table["high"]).all()
    assert table.loc["base", "minutes"] == 2.5 and table.loc["same", "minutes"] == 2
    assert list(table["parameters"]) == [1234] * 3


def test_one_fold_has_no_sd(tmp_path):
    table = cv_table([make_run(tmp_path, folds=np.zeros(N_ROWS, int))])
    assert np.isnan(table.loc[0, "sd"]) and table.loc[0, "mean"] == table.loc[0, "oof"]


def test_the_interval_is_over_the_runs_clusters(tmp_path):
    run = make_run(tmp_path, cluster="group", metric="log_loss")
    found = cv_table([run]).loc[0, ["oof", "low", "high"]].tolist()
    assert found == list(vars(interval(run.target, run.probability, "log_loss", run.oof["group"])).values())
    assert found != list(vars(interval(run.target, run.probability, "log_loss")).values())
    better = make_run(tmp_path, "better", skill=1.5, cluster="group", metric="log_loss")
    difference = paired(run.target, better.probability, run.probability, "log_loss", run.oof["group"])
    assert compare_runs([run, better], "base").loc[1, "p"] == difference.p


def test_the_comparison_by_hand(runs):
    table = compare_runs(runs, "base").set_index("name")
    seeds = {name: [run for run in runs if run.config["name"] == name] for name in table.index}
    scores = {name: np.mean([run.metrics["score"] for run in group]) for name, group in seeds.items()}
    assert table["score"].to_dict() == pytest.approx(scores)
    assert table.loc["better", "delta"] == pytest.approx(scores["better"] - scores["base"])
    arrays = {name: np.stack([run.probability for run in group]) for name, group in seeds.items()}
    expected = paired(runs[0].target, arrays["better"], arrays["base"], "accuracy")
    assert table.loc["better", ["delta", "low", "high", "p"]].tolist() == list(vars(expected).values())
    assert table.loc["better", "excludes_zero"] and table.loc["better", "differs"]
    assert not table.loc["same", "excludes_zero"] and not table.loc["same", "differs"]
    assert table.loc[["better", "same"], "p_holm"].tolist() == list(holm(table.loc[["better", "same"], "p"]))


def test_the_baseline_is_not_compared_with_itself(runs):
    base = compare_runs(runs, "base").set_index("name").loc["base"]
    assert base["delta"] == 0 and not base["excludes_zero"] and not base["differs"]
    assert base[["low", "high", "p", "p_holm", "spread"]].isna().all()
    assert len(compare_runs(runs[:2], "base")) == 1


def test_holm_takes_back_what_one_of_many_comparisons_would_say():
    """A p of 0.03 says "differs" alone, and not beside three others."""
    assert holm([0.03])[0] < 0.05 < holm([0.03, 0.2, 0.4, 0.6])[0]


def test_spread_is_over_folds_and_seeds(runs):
    def fold_score(run, fold):
        rows = (run.oof["fold"] == fold).to_numpy()
        return accuracy(run.target[rows], run.probability[rows])

    base, better = runs[:2], runs[2:4]
    expected = [
        fold_score(run, fold) - np.mean([fold_score(other, fold) for other in base])
        for run in better
        for fold in range(5)
    ]
    table = compare_runs(runs, "base").set_index("name")
    assert table.loc["better", "spread"] == pytest.approx(np.std(expected, ddof=1))


def test_rows_are_matched_by_id_not_by_place(runs):
    rng = np.random.default_rng(0)
    shuffled = [replace(run, oof=run.oof.iloc[rng.permutation(N_ROWS)]) for run in runs[1:]]
    turned = [replace(run, oof=run.oof[["label", "NA", "id", "ben", "anna", "fold", "group"]]) for run in shuffled]
    pd.testing.assert_frame_equal(compare_runs([runs[0], *turned], "base"), compare_runs(runs, "base"))


def test_another_metric_can_be_asked_for(runs):
    table = compare_runs(runs, "base", "log_loss").set_index("name")
    assert table.loc["better", "delta"] < 0 and table.loc["better", "excludes_zero"]
    doubled = compare_runs(runs, "base", lambda target, probability: 2 * accuracy(target, probability), n_resamples=20)
    assert doubled.loc[1, "delta"] == pytest.approx(2 * compare_runs(runs, "base").loc[1, "delta"])


def test_seeds_may_have_folds_of_their_own_but_runs_of_a_seed_may_not(tmp_path):
    other = (np.arange(N_ROWS) + 1) % 5
    base = make_run(tmp_path, "base", 0)
    assert len(compare_runs([base, make_run(tmp_path, "late", 1, folds=other)], "base")) == 2
    with pytest.raises(
        ValueError, match=r"runs base-s0 and moved-s0 must have the same fold for 'uttr-000.pt', got two"
    ):
        compare_runs([base, make_run(tmp_path, "moved", 0, folds=other)], "base")


def test_runs_that_cannot_be_compared_are_refused(runs, tmp_path):
    base, again, better = runs[:3]
    for wrong, message in (
        ([], "runs must hold at least one run, got none"),
        ([base, again, base], "runs of 'base' must each have their own seed, got 0 twice"),
        ([base, replace(again, config={**again.config, "width": 80})], "must differ in seed only, got other width"),
        (
            [base, replace(better, oof=better.oof.iloc[:-2])],
            r"runs base-s0 and better-s0 must have the same ids, got 2 in",
        ),
        (
            [base, replace(better, oof=better.oof.iloc[[*range(N_ROWS), 4]])],
            r"must hold each id once, got 'uttr-020.pt' tw",
        ),
        ([base, edited(better, carl=0.1)], "must have the same classes, got 1 in one only, such as 'carl'"),
        ([base, edited(better, label="anna")], "runs base-s0 and better-s0 must have the same label for 'uttr-005.pt'"),
        ([edited(base, label="zoe")], "run base-s0: label must be one of the classes, got 'zoe' for 'uttr-000.pt'"),
    ):
        with pytest.raises(ValueError, match=message):
            compare_runs(wrong, "base")
    with pytest.raises(ValueError, match="baseline must be one of base, better, same, got 'best'"):
        compare_runs(runs, "best")
    with pytest.raises(ValueError, match="metric must be a function or one of accuracy, log_loss"):
        compare_runs(runs, "base", "auc")


def test_an_unfinished_or_foreign_folder_is_named(tmp_path):
    make_run(tmp_path, "base")
    folder = tmp_path / "base-s0"
    (folder / "metrics.json").write_text('{"name": "base"}')
    with pytest.raises(ValueError, match=r"metrics.json: must hold seed, .*, got no seed, metric"):
        load_run(folder)
    (folder / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"metrics\.json"):
        load_run(folder)


def test_a_run_of_a_dictionary_is_a_run_too():
    """What a blend is: no folder, but the same table."""
    oof = pd.DataFrame({"id": ["a", "b"], "fold": 0, "label": ["x", "y"], "x": [0.9, 0.2], "y": [0.1, 0.8]})
    run = Run("blend", {"name": "blend"}, {"cluster": None}, oof)
    assert accuracy(run.target, run.probability) == 1 and run.clusters is None
