import numpy as np
import pandas as pd
import pytest

from kit.data.folds import make_folds


@pytest.fixture
def table():
    labels = np.repeat(["a", "b", "c"], 20)
    return pd.DataFrame({"label": labels, "group": np.tile(np.arange(10), 6).astype(str)})


def test_folds_are_complete_disjoint_and_stratified(table):
    folds = make_folds(table.drop(columns="group"), 5)
    assert sorted(set(folds)) == [0, 1, 2, 3, 4]
    counts = pd.crosstab(folds, table["label"]).to_numpy()
    assert (counts == 4).all()


def test_a_group_is_in_one_fold(table):
    folds = make_folds(table, 5)
    assert set(folds) == {0, 1, 2, 3, 4}
    assert (pd.Series(folds).groupby(table["group"].to_numpy()).nunique() == 1).all()


def test_same_seed_same_folds(table):
    assert np.array_equal(make_folds(table, 3, 1), make_folds(table, 3, 1))
    assert not np.array_equal(make_folds(table, 3, 1), make_folds(table, 3, 2))


@pytest.mark.parametrize(
    ("n_folds", "message"),
    [(1, "n_folds must be at least 2, got 1"), (21, r"rarest class \(a: 20\), got 21"), (11, r"groups \(10\), got 11")],
)
def test_impossible_numbers_are_refused(table, n_folds, message):
    with pytest.raises(ValueError, match=message):
        make_folds(table, n_folds)
