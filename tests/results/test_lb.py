"""Cross-validation beside the leaderboard, by hand and by simulation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kit.results.bootstrap import Interval, paired
from kit.results.compare import difference
from kit.results.lb import (
    FELL,
    cv_rose_lb_fell,
    fold_table,
    lb_table,
    rank_shake,
    ranks_told,
    shake_table,
    spearman,
    to_html,
)
from kit.training.runs import Run


def make_run(name, skill, seed=0, n_rows=60):
    """A run of two classes in memory, as a blend is."""
    rng = np.random.default_rng([seed, int(10 * skill)])
    target = np.arange(n_rows) % 2
    p = 1 / (1 + np.exp(-(rng.normal(size=n_rows) + skill) * (2 * target - 1)))
    oof = pd.DataFrame({"id": [f"u{row}" for row in range(n_rows)], "fold": np.arange(n_rows) % 3})
    oof = oof.assign(label=np.where(target, "b", "a"), a=1 - p, b=p)
    return Run(f"{name}-s{seed}", {"name": name}, {"seed": seed, "metric": "accuracy", "cluster": None}, oof)


@pytest.fixture
def rows():
    table = {"run": ["d/base", "d/up", "d/fell", "d/unsent"], "name": ["base", "up", "fell", "unsent"]}
    table |= {
        "metric": "accuracy",
        "higher_is_better": "True",
        "mix": "none",
        "backbone": "conformer",
        "cv": [0.6, 0.8, 0.7, 0.9],
        "cv_low": 0.5,
        "cv_high": 0.95,
    }
    table |= {"precision": 0.5, "public": [0.55, 0.75, 0.5, np.nan], "private": np.nan}
    return pd.DataFrame(table)


def test_the_table_has_paired_intervals_where_predictions_are_at_hand(rows, tmp_path):
    base, up = make_run("base", 0.2), make_run("up", 1.5)
    found = lb_table(rows, 100, runs=tmp_path, known={"d/base": base, "d/up": up})
    expected = paired(base.target, up.probability, base.probability, "accuracy")
    assert found["Δ CV"].tolist() == ["+0.0000", str(expected), "+0.1000", "+0.3000"]
    assert found["note"].tolist() == ["", "", FELL, ""]
    assert found["public rank"].tolist()[:3] == [2, 1, 3]


def test_another_baseline_is_a_name(rows, tmp_path):
    found = lb_table(rows, baseline="up", runs=tmp_path)
    assert found["Δ CV"].tolist() == ["-0.2000", "+0.0000", "-0.1000", "+0.1000"]
    assert cv_rose_lb_fell(rows, "fell").tolist() == [False] * 4
    assert cv_rose_lb_fell(rows.assign(public=[0.9, 0.8, 0.7, 0.6])).tolist() == [False, True, True, True]
    assert cv_rose_lb_fell(rows.assign(public=[0.6, 0.6, 0.5, 0.7])).tolist() == [False, False, True, False]
    assert lb_table(rows.iloc[:0])["note"].tolist() == []


def test_where_lower_is_better_a_cv_rises_by_falling(rows, tmp_path):
    lower = rows.assign(
        metric="log_loss", higher_is_better="False", cv=[0.6, 0.5, 0.4, 0.7], public=[0.6, 0.5, 0.7, 0.8]
    )
    assert cv_rose_lb_fell(lower).tolist() == [False, False, True, False]
    base, up = make_run("base", 0.2), make_run("up", 1.5)
    found = lb_table(lower, 100, runs=tmp_path, known={"d/base": base, "d/up": up})
    assert found["Δ CV"][1] == str(paired(base.target, up.probability, base.probability, "log_loss"))
    assert found["CV rank"].tolist() == [3, 2, 1, 4] and found["note"][2] == FELL


def test_a_metric_that_is_not_the_kits_has_no_paired_interval(rows, tmp_path):
    known = {"d/base": make_run("base", 0.2), "d/up": make_run("up", 1.5)}
    found = lb_table(rows.assign(metric="rank_hits"), runs=tmp_path, known=known)
    assert found["Δ CV"].tolist() == ["+0.0000", "+0.2000", "+0.1000", "+0.3000"]


def test_a_difference_is_by_id_and_turns_with_its_sides():
    base, up = make_run("base", 0.2), make_run("up", 1.5)
    turned = replace(up, oof=up.oof.sample(frac=1, random_state=0)[["b", "id", "a", "label", "fold"]])
    assert difference(turned, base) == difference(up, base)
    assert difference(base, up).delta == -difference(up, base).delta
    assert difference(up, base, "log_loss").delta < 0
    with pytest.raises(ValueError, match="runs base-s0 and up-s0 must have the same label for 'u0', got two"):
        difference(replace(up, oof=up.oof.assign(label="a", a=up.oof["a"]).assign(label="b")), base)


def test_spearman_by_hand():
    found = spearman([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])
    assert found.value == pytest.approx(0.9)
    reach = 1.959964 * np.sqrt((1 + 0.9**2 / 2) / 2)
    assert (found.low, found.high) == (
        pytest.approx(np.tanh(np.arctanh(0.9) - reach)),
        pytest.approx(np.tanh(np.arctanh(0.9) + reach)),
    )
    assert vars(spearman([1, 2, 3], [2, 3, 1])) == {"value": -0.5, "low": -1, "high": 1}
    with pytest.raises(ValueError, match="must have at least 3 runs, got 2"):
        spearman([1, 2], [1, 2])


def test_all_ranked_alike_is_no_certainty():
    few, many = spearman(np.arange(5), np.arange(5)), spearman(np.arange(30), np.arange(30))
    assert few.value == pytest.approx(1) == few.high and few.low < 0.3 < 0.9 < many.low < 1
    back = spearman(np.arange(5), -np.arange(5))
    assert (back.value, back.low, back.high) == pytest.approx((-1, -1, -few.low))


@pytest.mark.parametrize(("n_runs", "rho"), [(8, 0.0), (8, 0.7), (20, 0.9)])
def test_spearmans_interval_covers_in_95_percent(n_runs, rho):
    """Of normal pairs, whose rank correlation is 6/π asin(ρ/2) (Kruskal 1958)."""
    rng, truth = np.random.default_rng(0), 6 / np.pi * np.arcsin(rho / 2)
    covered = 0
    for _ in range(400):
        x = rng.normal(size=n_runs)
        found = spearman(x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n_runs))
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 400 <= 0.99


def test_html_says_what_markdown_says():
    html = to_html(pd.DataFrame({"name": ["<b>"], "Δ CV": [0.5], "public": [np.nan]}))
    assert "&lt;b&gt;" in html and "<td>+0.5000</td>" in html and "<td></td>" in html and "nan" not in html.lower()


def test_the_reference_is_scipys():
    x, y = np.random.default_rng(1).normal(size=(2, 12))
    assert spearman(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic)


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (
            -0.17,
            1.0,
            "So few runs can't tell whether CV ranks as the leaderboard does: Spearman 0.90 [-0.17, 1.00] over 5",
        ),
        (
            0.1,
            1.0,
            "CV ranks runs as the leaderboard does more often than by chance: Spearman 0.90 [0.10, 1.00] over 5",
        ),
        (-1.0, -0.1, "CV ranks runs against the leaderboard: Spearman 0.90 [-1.00, -0.10] over 5"),
    ],
)
def test_a_rank_correlation_says_no_more_than_its_interval(low, high, told):
    assert ranks_told(Interval(0.9, low, high), 5) == f"{told} runs"


def test_a_fold_is_set_beside_the_public_score_of_each_run():
    folds, public = {"a": [0.1, 0.3], "b": [0.2, 0.2], "c": [0.3, 0.1], "d": [9, 9]}, {"a": 0.2, "b": 0.3, "c": 0.7}
    found = fold_table(folds, {**public, "d": np.nan})  # a run without a public score does not count
    assert found["mean score"].tolist() == pytest.approx([0.2, 0.2])
    assert found["Δ public − fold"].tolist() == pytest.approx([0.2, 0.2])
    assert found["Spearman with public [95 %]"].tolist() == ["1.00 [-1.00, 1.00]", "-1.00 [-1.00, 1.00]"]


def test_a_shake_up_by_hand(rows):
    rows = rows.assign(private=[0.6, 0.5, 0.55, 0.4])
    found = shake_table(rows, 100, 300)
    assert found["name"].tolist() == ["base", "up", "fell"]  # the last has no public score
    assert found["Δ"].tolist() == pytest.approx([0.05, -0.25, 0.05])
    pooled = (0.55 * 100 + 0.6 * 300) / 400
    expected = 1.96 * np.sqrt(pooled * (1 - pooled) * (1 / 100 + 1 / 300))
    assert found["chance"][0] == pytest.approx(expected)
    assert found["public rank"].tolist() == [2, 1, 3] and found["private rank"].tolist() == [1, 3, 2]
    assert rank_shake(found) == pytest.approx((1 + 2 + 1) / 3 / 3)
    lower = shake_table(rows.assign(metric="log_loss", higher_is_better="False"), 100, 300)
    assert lower["public rank"].tolist() == [2, 3, 1] and lower["chance"].isna().all()


def test_so_much_two_parts_differ_by_chance():
    """95 % of differences of two shares of 100 and 300 rows, of 4,000 draws."""
    rng, p = np.random.default_rng(0), 0.7
    drawn = rng.binomial(300, p, 4000) / 300 - rng.binomial(100, p, 4000) / 100
    rows = pd.DataFrame(
        {"name": ["a"], "public": [p], "private": [p], "metric": "accuracy", "higher_is_better": "True"}
    )
    assert (np.abs(drawn) <= shake_table(rows, 100, 300)["chance"][0]).mean() == pytest.approx(0.95, abs=0.012)
