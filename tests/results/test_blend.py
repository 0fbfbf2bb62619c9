"""Mixed probability tables, by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from kit.competition.metrics import log_loss
from kit.results.blend import (
    average,
    blend_runs,
    blend_table,
    class_rank_mean,
    fit_weights,
    fitted_weights,
    geometric_mean,
    nested,
    rank_mean,
    weighted,
)
from kit.results.compare import difference
from kit.training.runs import Run

FIRST = pd.DataFrame({"id": ["a", "b"], "x": [0.9, 0.2], "self": [0.1, 0.3], "z": [0.0, 0.5]})
SECOND = pd.DataFrame({"z": [0.3, 0.6], "self": [0.4, 0.2], "x": [0.3, 0.2], "id": ["b", "a"]})


def test_the_average_by_hand_matches_ids_and_classes():
    expected = FIRST.assign(x=[0.55, 0.25], z=[0.3, 0.4])
    expected["self"] = [0.15, 0.35]
    pd.testing.assert_frame_equal(average([FIRST, SECOND]), expected)


def test_rank_mean_by_hand():
    # ranks of x, self, z in row a: 3 2 1 and, of equals by their mean, 1.5 1.5 3; in row b: 1 2 3 and 1.5 3 1.5
    ranks = {"x": [4.5 / 6, 2.5 / 6], "self": [3.5 / 6, 5 / 6], "z": [4 / 6, 4.5 / 6]}
    several = [table.set_index("id").mul(1.5).reset_index() for table in (FIRST, SECOND)]  # rows that sum to 1.5
    for name, expected in ranks.items():
        assert rank_mean(several)[name].tolist() == pytest.approx(expected)
        # each row of ranks sums to 2: with one label a row they are made to sum to 1
        assert rank_mean([FIRST, SECOND])[name].tolist() == pytest.approx([rank / 2 for rank in expected])


def test_class_ranks_by_hand():
    """Rows a and b are ranked 2 1 in class x of the first and 1 2 of the second, 1 2 and 1 2 in self, 1 2 and 2 1 in z:
    over 2 rows and 2 tables. Rows that sum to 1.5 are not scaled.
    """
    several = [table.set_index("id").mul(1.5).reset_index() for table in (FIRST, SECOND)]
    found = class_rank_mean(several)
    assert found["x"].tolist() == pytest.approx([3 / 4] * 2)
    assert found["self"].tolist() == pytest.approx([2 / 4, 4 / 4]) and found["z"].tolist() == pytest.approx([3 / 4] * 2)
    assert class_rank_mean(several, [3, 1])["z"].tolist() == pytest.approx([(3 + 2) / 8, (6 + 1) / 8])
    for wrong in ([1.0], [1, -1], [0, 0]):
        with pytest.raises(ValueError, match="weights must be 2 numbers of at least 0, not all 0, got"):
            class_rank_mean(several, wrong)


def test_one_table_alone_is_itself_and_stays_as_it_was():
    kept = FIRST.copy()
    pd.testing.assert_frame_equal(average([FIRST]), FIRST)
    average([FIRST, SECOND])
    pd.testing.assert_frame_equal(FIRST, kept)


def test_out_of_fold_tables_keep_their_labels_and_folds():
    first = FIRST.assign(fold=[0, 1], label=["x", "z"])
    found = average([first, SECOND.assign(fold=[1, 0], label=["z", "x"])])
    assert found["fold"].tolist() == [0, 1] and found["label"].tolist() == ["x", "z"]


def test_rank_mean_does_not_see_a_models_temperature():
    values = FIRST.set_index("id") ** 3
    sharp = values.div(values.sum(axis=1), axis=0).reset_index()
    pd.testing.assert_frame_equal(rank_mean([FIRST]), rank_mean([sharp]))


def test_a_blend_of_ranks_is_not_taken_for_certainty_by_a_log_loss():
    """Unscaled, the likeliest class of every row would have probability 1."""
    runs = [make_run("best", 1.6), make_run("another", 1.6)]
    losses = {name: log_loss(run.target, run.probability) for name, run in blend_runs(runs).items()}
    assert losses["rank mean"] > losses["mean"]
    table = blend_table(runs, blend_runs(runs), "log_loss").set_index("name")
    assert table.loc["mean", "Δ CV"].startswith("-") and table.loc["mean", "told"]
    assert not table.loc["rank mean", "told"], "it is worse"


def test_tables_of_other_rows_or_classes_are_refused():
    with pytest.raises(ValueError, match="frames must hold at least one table, got none"):
        average([])
    with pytest.raises(ValueError, match="frames 0 and 1 must have the same ids, got 1 in one only, such as 'b'"):
        average([FIRST, FIRST.iloc[:1]])
    with pytest.raises(ValueError, match="frames 0 and 2 must have the same classes, got 1 in one only, such as 'z'"):
        rank_mean([FIRST, SECOND, FIRST.drop(columns="z")])
    with pytest.raises(ValueError, match="frames 0 and 0 must hold each id once, got 'a' twice"):
        average([FIRST.iloc[[0, 1, 0]]])


def test_the_geometric_mean_by_hand():
    first = pd.DataFrame({"id": ["a"], "x": [0.8], "y": [0.2]})
    second = pd.DataFrame({"id": ["a"], "x": [0.2], "y": [0.8]})
    third = pd.DataFrame({"id": ["a"], "x": [0.9], "y": [0.1]})
    assert geometric_mean([first, second])["x"].tolist() == pytest.approx([0.5])
    # sqrt(0.72) / (sqrt(0.72) + sqrt(0.02)) = 0.8485 / 0.9899
    assert geometric_mean([first, third])["x"].tolist() == pytest.approx([0.857143], abs=1e-6)
    many = [table.assign(y=0.8) for table in (first, third)]  # several labels: rows that sum to more than 1 stay so
    assert geometric_mean(many)["y"].tolist() == pytest.approx([0.8])
    assert geometric_mean([first.assign(x=0.0, y=1.0), first])["x"].tolist() == pytest.approx([0], abs=1e-6)


def test_weights_by_hand():
    found = weighted([FIRST, SECOND], [0.75, 0.25])
    assert found["x"].tolist() == pytest.approx([0.725, 0.225])
    pd.testing.assert_frame_equal(weighted([FIRST, SECOND], [0.5, 0.5]), average([FIRST, SECOND]))
    for wrong in ([1.0], [0.5, 0.6], [1.5, -0.5]):
        with pytest.raises(ValueError, match="weights must be 2 shares that sum to 1, got"):
            weighted([FIRST, SECOND], wrong)


def predictions(rng, target, skill):
    logits = rng.normal(size=(len(target), 3))
    logits[np.arange(len(target)), target] += skill
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_fitted_weights_are_where_the_loss_is_least():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, 500)
    models = np.stack([predictions(rng, target, skill) for skill in (1.0, 1.5)])

    def loss(share):
        return log_loss(target, share * models[0] + (1 - share) * models[1])

    best = minimize_scalar(loss, bounds=(0, 1), method="bounded").x
    assert fit_weights(target, models)[0] == pytest.approx(best, abs=2e-3) and 0.1 < best < 0.5
    target = np.eye(3, dtype=int)[target]
    best = minimize_scalar(loss, bounds=(0, 1), method="bounded").x
    assert fit_weights(target, models)[0] == pytest.approx(best, abs=2e-3)


def test_unknown_pairs_have_no_say():
    """Of two models one is right on all known pairs; a pair that is unknown, and mostly there, is not absent."""
    rng = np.random.default_rng(0)
    truth = (rng.random((400, 20)) < 0.3).astype(int)
    models = np.stack([np.where(truth == 1, 0.9, 0.1), np.full(truth.shape, 0.05)])
    target = np.where((truth == 1) & (rng.random(truth.shape) < 0.8), -1, truth)
    known = target >= 0
    pairs = np.stack([model[known] for model in models])[:, :, None]  # each as a row of one class
    assert fit_weights(target, models) == pytest.approx(fit_weights(target[known][:, None], pairs))
    assert fit_weights(target, models)[0] > 0.95
    with pytest.raises(ValueError, match="target must have at least one known pair for weights to be fitted, got none"):
        fit_weights(np.full((2, 3), -1), models[:, :2, :3])


def test_a_model_of_noise_gets_nothing_and_equals_share():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, 2000)
    good, noise = predictions(rng, target, 2.0), predictions(rng, target, 0.0)
    assert fit_weights(target, np.stack([good, noise]))[1] < 0.02
    assert fit_weights(target, np.stack([good, good])).tolist() == pytest.approx([0.5, 0.5])


def make_run(name, skill, n_rows=240, seed=0):
    rng = np.random.default_rng([seed, len(name)])
    target = np.arange(n_rows) % 3
    oof = pd.DataFrame({"id": [f"u{row}" for row in range(n_rows)], "fold": np.arange(n_rows) // 3 % 4})
    oof["label"] = np.array(["x", "y", "z"])[target]
    oof[["x", "y", "z"]] = predictions(rng, target, skill)
    return Run(f"{name}-s0", {"name": name}, {"seed": 0, "metric": "accuracy", "cluster": None}, oof)


def test_a_folds_weights_never_see_the_fold():
    runs = [make_run("one", 1.0), make_run("another", 1.5)]
    table = nested(runs)
    for fold in range(4):
        rows = (runs[0].oof["fold"] == fold).to_numpy()
        share = fit_weights(runs[0].target[~rows], np.stack([run.probability[~rows] for run in runs]))
        expected = share[0] * runs[0].probability[rows] + share[1] * runs[1].probability[rows]
        np.testing.assert_allclose(table.loc[rows, ["x", "y", "z"]], expected)
    changed = runs[0].oof.copy()
    changed.loc[changed["fold"] == 2, "label"] = "x"
    labels = [Run(run.name, run.experiment, run.metrics, run.oof.assign(label=changed["label"])) for run in runs]
    rows = runs[0].oof["fold"] == 2
    pd.testing.assert_frame_equal(nested(labels)[rows].drop(columns="label"), table[rows].drop(columns="label"))
    with pytest.raises(ValueError, match="must have at least 2 folds for weights to be fitted, got 1"):
        nested([Run(run.name, run.experiment, run.metrics, run.oof.assign(fold=0)) for run in runs])
    with pytest.raises(ValueError, match="must have the same folds"):
        nested([runs[0], Run("b", {}, runs[1].metrics, runs[1].oof.assign(fold=0))])


def test_blends_are_runs_with_a_gain_and_its_interval():
    runs = [make_run("best", 1.6), make_run("good", 1.5), make_run("other", 1.4)]
    blends = blend_runs(runs)
    assert list(blends) == ["mean", "rank mean", "class rank mean", "geometric mean", "fitted weights"]
    table = blend_table(runs, blends).set_index("name")
    assert table.loc["best", "Δ CV"] == ""
    assert table.loc["mean", "Δ CV"] == str(difference(blends["mean"], runs[0])) and table.loc["mean", "told"]
    assert fitted_weights(runs).sum() == pytest.approx(1)
    shuffled = [runs[0], *(replace(run, oof=run.oof.sample(frac=1, random_state=0)) for run in runs[1:])]
    assert fitted_weights(shuffled) == pytest.approx(fitted_weights(runs))
    pd.testing.assert_frame_equal(blend_table(shuffled, blend_runs(shuffled)), table.reset_index())
