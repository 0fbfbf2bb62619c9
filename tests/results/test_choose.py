import numpy as np
import pandas as pd
import pytest

from kit.results.choose import choose_two, regret_table


@pytest.fixture
def rows():
    table = {"name": ["low", "best", "lucky"], "cv": [0.6, 0.8, 0.78], "cv_low": [0.5, 0.75, 0.7]}
    table |= {"cv_high": [0.7, 0.85, 0.8], "public": [0.6, 0.7, 0.75], "private": np.nan, "file": ["l", "b", "k"]}
    return pd.DataFrame(table).assign(sha256=["0", "1", "2"], metric="accuracy", higher_is_better="True")


def test_one_by_cv_and_one_by_the_leaderboard_and_why(rows):
    found = choose_two(rows, public_rows=200)
    assert found["name"].tolist() == ["best", "lucky"] and found["by"].tolist() == ["CV", "public score"]
    assert found["why"].iloc[0] == "the best CV, 0.800 [0.750, 0.850]; its interval holds lucky too"
    # 1.96 · sqrt(0.75 · 0.25 / 200 + 0.7 · 0.3 / 200) = 0.0874
    assert found["why"].iloc[1] == (
        "the best public score of the rest, 0.750, +0.050 from the first's: within the 0.087 that 200 rows can "
        "differ by chance"
    )
    assert "beyond the 0.012" in choose_two(rows, public_rows=10_000)["why"].iloc[1]
    assert choose_two(rows)["why"].iloc[1].endswith("+0.050 from the first's")


def test_the_best_of_both_is_picked_once(rows):
    found = choose_two(rows.assign(public=[0.6, 0.9, 0.75]))
    assert found["name"].tolist() == ["best", "lucky"]
    assert "-0.150 from the first's" in found["why"].iloc[1]


def test_the_same_file_twice_is_no_second_pick(rows):
    found = choose_two(rows.assign(sha256=["0", "1", "1"]))
    assert found["name"].tolist() == ["best", "low"]


def test_without_scores_it_is_the_next_by_cv(rows):
    found = choose_two(rows.assign(public=np.nan))
    assert found["name"].tolist() == ["best", "lucky"]
    assert found["why"].iloc[1] == "the next by CV; no other has a public score"
    assert len(choose_two(rows.iloc[[1]])) == 1
    assert "the first has none yet" in choose_two(rows.assign(public=[0.6, np.nan, 0.7]))["why"].iloc[1]
    with pytest.raises(ValueError, match="rows must hold a submission with a CV, got none"):
        choose_two(rows.assign(cv=np.nan))


def test_where_lower_is_better_the_lowest_are_chosen(rows):
    found = choose_two(rows.assign(metric="log_loss", higher_is_better="False"), public_rows=200)
    assert found["name"].tolist() == ["low", "best"]
    assert found["why"].tolist() == [
        "the best CV, 0.600 [0.500, 0.700]; no other lies in its interval",
        "the best public score of the rest, 0.700, +0.100 from the first's",
    ]
    near = rows.assign(metric="log_loss", higher_is_better="False", cv_high=[0.79, 0.85, 0.8])
    assert choose_two(near)["why"].iloc[0].endswith("its interval holds lucky too")


def test_submissions_of_two_metrics_are_not_ranked_together(rows):
    with pytest.raises(ValueError, match="rows to be ranked must be of one metric, got accuracy, lwlrap"):
        choose_two(rows.assign(metric=["accuracy", "lwlrap", "lwlrap"]))


def test_regret_is_what_the_best_private_score_has_more(rows):
    rows = rows.assign(private=[0.9, 0.6, 0.7])
    found = regret_table(rows, choose_two(rows))
    assert found["choice"].tolist() == ["the two above", "two best by cv", "two best by public", "two at random"]
    assert found["picks"].tolist() == ["best, lucky", "best, lucky", "lucky, best", "mean of 3 pairs"]
    assert found["private"].tolist() == pytest.approx([0.7, 0.7, 0.7, (0.9 + 0.9 + 0.7) / 3])
    assert found["regret"].tolist() == pytest.approx([0.2, 0.2, 0.2, 0.2 / 3])


def test_where_lower_is_better_regret_is_positive_too(rows):
    rows = rows.assign(private=[0.9, 0.6, 0.7], metric="log_loss", higher_is_better="False")
    found = regret_table(rows, choose_two(rows)).set_index("choice")
    assert found.loc["the two above", ["picks", "private", "regret"]].tolist() == ["low, best", 0.6, 0.0]
    assert found.loc["two at random", "regret"] == pytest.approx(0.1 / 3)


def test_a_pick_without_a_private_score_has_no_regret(rows):
    with pytest.raises(ValueError, match="rows must hold the private score of each pick, got none for b"):
        regret_table(rows.assign(private=[0.9, np.nan, 0.7]), choose_two(rows))


def test_one_submission_alone_is_the_best_there_was(rows):
    one = rows.iloc[[0]].assign(private=0.5)
    assert regret_table(one, choose_two(one))["regret"].tolist() == [0, 0, 0, 0]
