import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from kit.competition.folds import fold_notes, make_folds, make_label_folds, rare_notes
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
    [
        (1, "n_folds must be at least 2, got 1"),
        (11, r"n_folds must be at most the number of groups that can be held out \(10\), got 11"),
    ],
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


def rows_of(**classes):
    """A table from class=groups, a letter a row."""
    pairs = [(label, group) for label, groups in classes.items() for group in groups]
    return pd.DataFrame(pairs, columns=["label", "group"])


def test_a_class_of_one_row_is_always_trained_on_and_said():
    table = rows_of(cat="123456", dog="123456", owl="1").drop(columns="group")
    folds = make_folds(table, 2)
    assert folds[12] == -1 and sorted(folds[:12]) == [0] * 6 + [1] * 6
    assert all((table["label"][folds != fold] == "owl").any() for fold in range(2))
    note = "class 'owl': of one row, in the training part of every fold, so that no fold's score tells of it"
    assert rare_notes(table) == [note] and fold_notes(table, 2) == [note]


def test_a_class_in_one_group_is_always_trained_on_and_said():
    """Each class is heard by one author alone or by three: as in recordings of birds."""
    table = rows_of(cat="aaabbbccc", dog="dddeeefff", owl="ggggggggg")
    folds = make_folds(table, 3)
    assert (folds[18:] == -1).all() and set(folds[:18]) == {0, 1, 2}
    note = "class 'owl': of one group, in the training part of every fold, so that no fold's score tells of it"
    assert rare_notes(table) == [note] and fold_notes(table, 3) == [note]


def test_a_class_in_one_group_of_others_too_is_held_out_with_them_and_said():
    table = rows_of(cat="aabbcc", dog="aabbcc", owl="aa")
    folds = make_folds(table, 3)
    assert set(folds) == {0, 1, 2} and rare_notes(table) == []
    note = "class 'owl': all rows are in one of 3 folds, which is scored by a net that never saw them"
    assert fold_notes(table, 3) == [note]


@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_fewer_rows_than_folds_is_spread(seed):
    table = rows_of(cat="123456789", dog="123456789", owl="123").drop(columns="group")
    folds = make_folds(table, 5, seed)
    assert set(folds) == {0, 1, 2, 3, 4} and len(set(folds[18:])) == 3
    note = "class 'owl': held out in some of 5 folds only, for there are too few rows or groups"
    assert fold_notes(table, 5, seed) == [note]


@pytest.mark.parametrize("seed", range(10))
def test_no_fold_is_empty_and_no_class_of_two_groups_in_one(seed):
    """One group has most rows, and two classes are in two groups each: scikit-learn's splitter leaves folds empty."""
    rng = np.random.default_rng(seed)
    table = rows_of(cat="a" * 80 + "bcdef", dog="a" * 60 + "bcd", owl="e" * 9 + "f", elk="b" + "c" * 5)
    table = table.iloc[rng.permutation(len(table))]
    folds = make_folds(table, 5, seed)
    assert set(folds) == {0, 1, 2, 3, 4}
    frame = pd.DataFrame({"fold": folds, "group": table["group"].to_numpy(), "label": table["label"].to_numpy()})
    assert (frame.groupby("group")["fold"].nunique() == 1).all()
    assert (frame.groupby("label")["fold"].nunique() > 1).all()


def test_common_folds_are_the_splitters_own():
    """Nothing is mended where nothing is wrong."""
    table = pd.DataFrame({"label": np.tile(list("abc"), 40), "group": np.arange(120) // 4})
    folds = make_folds(table, 5, 3)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=3)
    for fold, (_, held_out) in enumerate(splitter.split(table, table["label"], table["group"])):
        assert set(np.flatnonzero(folds == fold)) == set(held_out)


def test_where_nothing_can_be_held_out_it_is_said():
    with pytest.raises(ValueError, match=r"number of groups that can be held out \(0\), got 2"):
        make_folds(rows_of(cat="aa", dog="bb"), 2)
    with pytest.raises(ValueError, match=r"number of rows that can be held out \(2\), got 3"):
        make_folds(rows_of(cat="12", dog="3").drop(columns="group"), 3)
    with pytest.raises(ValueError, match=r"number of groups \(2\), got 3"):
        make_label_folds(rows_of(s0="aab", s1="bb"), ["s0", "s1"], 3)


def test_species_of_one_recording_are_said():
    table = pd.DataFrame({"label": ["s0 s1", "s0 -s1", "-s2", "s0"]})
    folds = make_label_folds(table, ["s0", "s1", "s2"], 2)
    assert set(folds) == {0, 1}
    note = "class 's1': all rows are in one of 2 folds, which is scored by a net that never saw them"
    assert fold_notes(table, 2, classes=["s0", "s1", "s2"]) == [note]
