"""Runs side by side: made as run folders of known predictions."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kit.competition.metrics import METRICS, Metric, accuracy
from kit.results.bootstrap import holm, interval, paired
from kit.results.compare import compare, compare_steps, cv_table, metric_of
from kit.training.runs import Run, load_run

CLASSES = ["anna", "ben", "NA"]
N_ROWS = 90
TARGET = np.arange(N_ROWS) % 3


def make_run(folder, name="base", seed=0, skill=1.0, folds=None, width=160, **changes):
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
    net = {"part": "Net", "backbone": {"part": "Conformer", "width": width}}
    (folder / "experiment.json").write_text(json.dumps({"name": name, "seed": seed, "net": net}))
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
    assert (run.name, run.experiment["net"]["backbone"]["width"], run.seed) == ("base-s3", 160, 3)
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
    assert compare([run, better], "base").loc[1, "p"] == difference.p


def test_the_comparison_by_hand(runs):
    table = compare(runs, "base").set_index("name")
    seeds = {name: [run for run in runs if run.experiment["name"] == name] for name in table.index}
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
    base = compare(runs, "base").set_index("name").loc["base"]
    assert base["delta"] == 0 and not base["excludes_zero"] and not base["differs"]
    assert base[["low", "high", "p", "p_holm", "spread"]].isna().all()
    assert len(compare(runs[:2], "base")) == 1


def test_holm_takes_back_what_one_of_many_comparisons_would_say():
    """A p of 0.03 says "differs" alone, and not beside three others."""
    assert holm([0.03])[0] < 0.05 < holm([0.03, 0.2, 0.4, 0.6])[0]


def right_in(folder, name, n_right, **changes):
    """A run of accuracy 40 / 90 + n_right / 90: its first rows are right, and then some more than the baseline's."""
    run = make_run(folder, name, **changes)
    hits = run.oof["id"].str[5:8].astype(int).to_numpy() < 40 + n_right
    guess = np.where(hits, run.target, (run.target + 1) % 3)
    return edited(run, **{label: (guess == number).astype(float) for number, label in enumerate(CLASSES)})


def test_differs_is_said_by_the_corrected_p(tmp_path):
    """Six rows more are right: a p near 2 / 2^6, which is below 0.05 alone and not beside three others."""
    names = [("base", 0), ("more", 6), ("few", 2), ("one", 1), ("none", 0)]
    runs = [right_in(tmp_path, name, n_right) for name, n_right in names]
    alone = compare(runs[:2], "base").set_index("name")
    p = alone.loc["more", "p"]
    assert p == alone.loc["more", "p_holm"] == pytest.approx(2 / 2**6, abs=0.005)  # of 90 rows, signs drawn at random
    assert alone.loc["more", "differs"] and alone.loc["more", "verdict"] == "differs"
    table = compare(runs, "base").set_index("name")
    assert table.loc["more", "p"] == p and table.loc["more", "p_holm"] == pytest.approx(4 * p)
    assert not table["differs"].any() and table.loc["more", "excludes_zero"]
    assert table["verdict"].to_dict() == {"base": ""} | dict.fromkeys(table.index[1:], "no difference shown")


def test_where_no_p_can_be_small_the_table_says_that_no_verdict_is_possible(tmp_path):
    """Five clusters leave a p of 2 / 2^5 at best, six one of 2 / 2^6, which is enough for one comparison of two."""
    bounds = [("base", 0, 0), ("better", 50, 0), ("also", 50, 1)]
    for n_groups, least in ((5, None), (6, 2 / 2**6)):
        folder = tmp_path / str(n_groups)
        runs = [right_in(folder, name, n_right, cluster="group") for name, n_right, _ in bounds]
        group = [f"g{int(row[5:8]) % n_groups}" for row in runs[0].oof["id"]]
        runs = [edited(run, group=group) for run in runs]
        one = compare(runs[:2], "base")
        assert one.loc[1, "p"] == 2 / 2**n_groups and one.loc[1, "differs"] == (least is not None)
        expected = "differs" if least else "none possible: p_holm is 0.062 at best of 5 clusters"
        assert one["verdict"].tolist() == ["", expected]
        two = compare(runs, "base")["verdict"].tolist()
        at_best = 0.12 if least is None else 0.062
        assert two[1:] == [f"none possible: p_holm is {at_best} at best of {n_groups} clusters"] * 2


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
    table = compare(runs, "base").set_index("name")
    assert table.loc["better", "spread"] == pytest.approx(np.std(expected, ddof=1))


def test_rows_are_matched_by_id_not_by_place(runs):
    rng = np.random.default_rng(0)
    shuffled = [replace(run, oof=run.oof.iloc[rng.permutation(N_ROWS)]) for run in runs[1:]]
    turned = [replace(run, oof=run.oof[["label", "NA", "id", "ben", "anna", "fold", "group"]]) for run in shuffled]
    pd.testing.assert_frame_equal(compare([runs[0], *turned], "base"), compare(runs, "base"))


def test_another_metric_can_be_asked_for(runs):
    table = compare(runs, "base", "log_loss").set_index("name")
    assert table.loc["better", "delta"] < 0 and table.loc["better", "excludes_zero"]
    doubled = compare(runs, "base", lambda target, probability: 2 * accuracy(target, probability), n_resamples=20)
    assert doubled.loc[1, "delta"] == pytest.approx(2 * compare(runs, "base").loc[1, "delta"])


def test_seeds_may_have_folds_of_their_own_but_runs_of_a_seed_may_not(tmp_path):
    other = (np.arange(N_ROWS) + 1) % 5
    base = make_run(tmp_path, "base", 0)
    assert len(compare([base, make_run(tmp_path, "late", 1, folds=other)], "base")) == 2
    with pytest.raises(
        ValueError, match=r"runs base-s0 and moved-s0 must have the same fold for 'uttr-000.pt', got two"
    ):
        compare([base, make_run(tmp_path, "moved", 0, folds=other)], "base")


def test_runs_that_cannot_be_compared_are_refused(runs, tmp_path):
    base, again, better = runs[:3]
    for wrong, message in (
        ([], "runs must hold at least one run, got none"),
        ([base, again, base], "runs of 'base' must each have their own seed, got 0 twice"),
        (
            [base, replace(again, experiment={**again.experiment, "crop_frames": 80})],
            "runs of 'base' must differ in seed only, got crop_frames 128 -> 80",
        ),
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
            compare(wrong, "base")
    with pytest.raises(ValueError, match="baseline must be one of base, better, same, got 'best'"):
        compare(runs, "best")
    with pytest.raises(ValueError, match="metric must be a function or one of accuracy, log_loss"):
        compare(runs, "base", "auc")


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


def test_what_changed_from_the_baseline_is_told(tmp_path):
    runs = [make_run(tmp_path, "base"), make_run(tmp_path, "base", 1), make_run(tmp_path, "wide", width=320)]
    assert compare(runs, "base")["changed"].tolist() == ["", "net__backbone__width 160 -> 320"]


def test_run_folders_will_do(tmp_path):
    runs = [make_run(tmp_path, "base"), make_run(tmp_path, "better", skill=2.5)]
    folders = [runs[0].folder, str(runs[1].folder)]
    pd.testing.assert_frame_equal(compare(folders, "base"), compare(runs, "base"))
    pd.testing.assert_frame_equal(cv_table(folders), cv_table(runs))


def first_two(target, probability):
    """Share of rows whose true class is among the two likeliest."""
    return float((probability.argsort(1)[:, -2:] == target[:, None]).any(1).mean())


def test_a_metric_of_ones_own_comes_with_the_run_or_is_asked_for(tmp_path):
    own = {"part": "kit.competition.metrics:Metric", "function": {"part": "mine:first_two"}}
    run = make_run(tmp_path, metric="first_two")
    run = replace(run, experiment={**run.experiment, "metric": own})
    with pytest.raises(
        ValueError, match=r"run base-s0: metric first_two is a function of one's own; give it as metric"
    ):
        compare([run], "base")
    live = replace(run, scorer=Metric(first_two))
    expected = first_two(run.target, run.probability)
    assert compare([live], "base")["score"].tolist() == [expected]
    assert compare([run], "base", Metric(first_two))["score"].tolist() == [expected]
    assert cv_table([run], first_two)["oof"].tolist() == [expected]
    named = replace(run, metrics={**run.metrics, "metric": "accuracy"})  # a function of the same name is another's
    with pytest.raises(ValueError, match="metric accuracy is a function of one's own"):
        metric_of(named)
    kits = {"part": "kit.competition.metrics:Metric", "function": {"part": "kit.competition.scores:accuracy"}}
    assert metric_of(replace(named, experiment={**run.experiment, "metric": kits})) is METRICS["accuracy"]


def test_where_lower_is_better_the_tables_say_so(tmp_path):
    runs = [make_run(tmp_path, "base", metric="log_loss"), make_run(tmp_path, "better", skill=2.5, metric="log_loss")]
    table = compare(runs, "base").set_index("name")
    assert table.loc["better", "delta"] < 0 and table.loc["better", "differs"]
    assert table.loc["better", "score"] == pytest.approx(METRICS["log_loss"](runs[1].target, runs[1].probability))
    assert cv_table(runs)["metric"].tolist() == ["log_loss (lower is better)"] * 2


def test_folds_by_another_metric_are_scored_anew(tmp_path):
    run = make_run(tmp_path)
    folds = [(run.oof["fold"] == fold).to_numpy() for fold in range(5)]
    scores = [METRICS["log_loss"](run.target[rows], run.probability[rows]) for rows in folds]
    table = cv_table([run], "log_loss")
    assert table.loc[0, "mean"] == pytest.approx(np.mean(scores)) and table.loc[0, "sd"] == pytest.approx(
        np.std(scores, ddof=1)
    )


def test_each_step_is_against_the_one_before_and_corrected_for_all(tmp_path):
    runs = [make_run(tmp_path, name, skill=skill) for name, skill in (("a", 1.0), ("b", 2.5), ("c", 2.5))]
    steps = compare_steps(runs)
    assert steps["name"].tolist() == ["a", "b", "c"] and math.isnan(steps.loc[0, "p"])
    for row, pair in ((1, runs[:2]), (2, runs[1:])):
        alone = compare(pair, pair[0].experiment["name"]).iloc[1]
        assert steps.loc[row, ["delta", "low", "high", "p"]].tolist() == alone[["delta", "low", "high", "p"]].tolist()
    assert steps["p_holm"].tolist()[1:] == pytest.approx(holm(steps["p"].to_numpy()[1:]))
    assert steps["differs"].tolist() == [False, True, False]
    assert steps["verdict"].tolist() == ["", "differs", "no difference shown"]
    with pytest.raises(ValueError, match="^runs must hold at least 2 experiments, got 1$"):
        compare_steps(runs[:1])
