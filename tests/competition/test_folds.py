import numpy as np
import pandas as pd
import pytest

from kit.competition.folds import make_folds, make_label_folds
from kit.competition.labels import known_matrix


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


@pytest.fixture
def recordings():
    """60 recordings of 6 species, one to three of them known to be there, some with none."""
    rng = np.random.default_rng(0)
    names = [f"s{number}" for number in range(6)]
    labels = [" ".join(rng.choice(names, rng.integers(0, 4), replace=False)) for _ in range(60)]
    return pd.DataFrame({"label": [f"{label} -s0" if "s0" not in label else label for label in labels]}), names


def test_species_are_spread_evenly_over_folds(recordings):
    table, names = recordings
    folds = make_label_folds(table, names, 3)
    assert set(folds) == {0, 1, 2} and (np.bincount(folds) >= 15).all()
    present = known_matrix(table["label"], names) == 1
    counts = np.stack([present[folds == fold].sum(0) for fold in range(3)])
    assert (counts.max(0) - counts.min(0)).max() <= 4
    assert np.array_equal(folds, make_label_folds(table, names, 3))
    assert not np.array_equal(folds, make_label_folds(table, names, 3, seed=1))


def test_recordings_of_a_group_share_a_fold(recordings):
    table, names = recordings
    folds = make_label_folds(table.assign(group=np.arange(60) // 4), names, 3)
    assert (pd.Series(folds).groupby(np.arange(60) // 4).nunique() == 1).all()


def test_a_species_in_one_recording_bears_folds(recordings):
    table = pd.DataFrame({"label": ["s0", "s1", "-s0", "-s1"]})
    assert set(make_label_folds(table, ["s0", "s1"], 2)) == {0, 1}
    with pytest.raises(ValueError, match=r"n_folds must be at most the number of recordings \(4\), got 5"):
        make_label_folds(table, ["s0", "s1"], 5)
    with pytest.raises(ValueError, match="n_folds must be at least 2, got 1"):
        make_label_folds(table, ["s0", "s1"], 1)
