import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from kit.competition.folds import Folds, fold_notes, make_folds, rare_notes
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
        (0, "n_folds must be at least 1, got 0"),
        (11, r"n_folds must be at most the number of groups that can be held out \(10\), got 11"),
    ],
)
def test_impossible_numbers_are_refused(table, n_folds, message):
    with pytest.raises(ValueError, match=message):
        make_folds(table, n_folds)


def test_one_fold_trains_on_all_rows_and_says_so(table):
    assert make_folds(table, 1).tolist() == [-1] * 60
    note = "1 fold: all rows are trained on and none is held out, so that there is no out-of-fold score"
    assert fold_notes(table, 1) == [note]


@pytest.fixture
def recordings():
    """60 recordings of 6 species, one to three of them known to be there, some with none."""
    rng = np.random.default_rng(0)
    names = [f"s{number}" for number in range(6)]
    labels = [" ".join(rng.choice(names, rng.integers(0, 4), replace=False)) for _ in range(60)]
    return pd.DataFrame({"label": [f"{label} -s0" if "s0" not in label else label for label in labels]}), names


def test_species_are_spread_evenly_over_folds(recordings):
    table, names = recordings
    folds = make_folds(table, 3, classes=names)
    assert set(folds) == {0, 1, 2} and (np.bincount(folds) >= 15).all()
    present = known_matrix(table["label"], names) == 1
    counts = np.stack([present[folds == fold].sum(0) for fold in range(3)])
    assert (counts.max(0) - counts.min(0)).max() <= 4
    assert np.array_equal(folds, make_folds(table, 3, classes=names))
    assert not np.array_equal(folds, make_folds(table, 3, 1, classes=names))


def test_recordings_of_a_group_share_a_fold(recordings):
    table, names = recordings
    folds = make_folds(table.assign(group=np.arange(60) // 4), 3, classes=names)
    assert (pd.Series(folds).groupby(np.arange(60) // 4).nunique() == 1).all()


def test_with_boxes_a_species_in_one_recording_bears_folds():
    table, names = pd.DataFrame({"label": ["s0", "s1", "-s0", "-s1"]}), ["s0", "s1"]
    assert set(make_folds(table, 2, classes=names, hold_all=True)) == {0, 1}
    with pytest.raises(ValueError, match=r"n_folds must be at most the number of rows .* held out \(4\), got 5"):
        make_folds(table, 5, classes=names, hold_all=True)
    assert set(make_folds(table, 1, classes=names, hold_all=True)) == {-1}


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
    with pytest.raises(ValueError, match=r"number of groups that can be held out \(1\), got 2"):
        make_folds(rows_of(**{"s0": "aa", "s1": "bb", "-*": "c"}), 2, classes=["s0", "s1"])


def test_with_boxes_species_of_one_recording_are_said():
    table = pd.DataFrame({"label": ["s0 s1", "s0 -s1", "-s2", "s0"]})
    choices = {"classes": ["s0", "s1", "s2"], "hold_all": True}
    assert set(make_folds(table, 2, **choices)) == {0, 1}
    note = "class 's1': all rows are in one of 2 folds, which is scored by a net that never saw them"
    assert fold_notes(table, 2, **choices) == [note]


def test_of_several_labels_a_row_with_the_only_one_of_its_class_is_always_trained_on_and_said():
    """Row 0 has a class that others have too; none is no class of its own; "s3" has no row at all."""
    table, names = pd.DataFrame({"label": ["s0 s1", "s0", "s0", "-*", "s2", "s2", "s2 ?s1"]}), ["s0", "s1", "s2", "s3"]
    folds = make_folds(table, 2, classes=names)
    assert folds[0] == -1 and set(folds[1:]) == {0, 1} and (folds[1:] >= 0).all()
    notes = [
        "class 's1': of one row, in the training part of every fold, so that no fold's score tells of it",
        "class 's3': no training row has it, so that its predictions are guesses",
    ]
    assert fold_notes(table, 2, classes=names) == notes == rare_notes(table, classes=names)


def test_of_several_labels_a_group_is_always_trained_on_where_all_its_rows_have_a_class_of_its_own():
    """File a has the insect s2 in both windows, beside a bird; file b has s3 in one of two, and is held out."""
    rows = [
        ("a", "s0 s2"),
        ("a", "s2"),
        ("b", "s0 s3"),
        ("b", "s0"),
        ("c", "s0"),
        ("c", "s1"),
        ("d", "s1"),
        ("d", "-*"),
    ]
    table, names = pd.DataFrame(rows, columns=["group", "label"]), ["s0", "s1", "s2", "s3"]
    folds = make_folds(table, 3, classes=names)
    assert folds[:2].tolist() == [-1, -1] and len(set(folds[2:])) == 3
    assert (pd.Series(folds).groupby(table["group"]).nunique() == 1).all()
    assert fold_notes(table, 3, classes=names)[:2] == [
        "class 's2': of one group, in the training part of every fold, so that no fold's score tells of it",
        "class 's3': all rows are in one of 3 folds, which is scored by a net that never saw them",
    ]


def test_a_column_that_is_named_groups_the_rows(recordings):
    table, names = recordings
    table = table.assign(group=[str(n) for n in range(60)], site=[f"S{n % 6}" for n in range(60)])
    folds = make_folds(table, 3, classes=names, by="site")
    assert (pd.Series(folds).groupby(table["site"]).nunique() == 1).all() and set(folds) == {0, 1, 2}
    assert np.array_equal(make_folds(table, 3, classes=names, by=""), make_folds(table[["label"]], 3, classes=names))
    with pytest.raises(ValueError, match=r"folds must be by a column .* have \(label, group, site\), got 'source'"):
        make_folds(table, 3, classes=names, by="source")
    with pytest.raises(ValueError, match="by must be one of group, site, source, , got 'sit'"):
        Folds(by="sit")
    with pytest.raises(ValueError, match=r"number of values of site that can be held out \(6\), got 7"):
        make_folds(table, 7, classes=names, by="site")


def test_the_part_gives_the_choices_of_a_competition():
    """As crossval asks for a Competition, and a fold for its Store."""
    data = SimpleNamespace(task="multi", classes=("a", "b"), boxes=None)
    wanted = {"n": 4, "seed": 1, "by": "site", "classes": ("a", "b"), "hold_all": False}
    assert Folds(4, 1, by="site").options(data) == wanted
    data = SimpleNamespace(task="single", classes=("a", "b"), boxes=pd.DataFrame())
    assert Folds().options(data) == {"n": 5, "seed": 0, "by": "group", "classes": None, "hold_all": True}


def test_ten_thousand_rows_take_seconds():
    """Of 234 classes with a long tail, an eighth with a second label. scikit-learn's own search takes 8 s."""
    rng = np.random.default_rng(0)
    names, share = [f"c{number}" for number in range(234)], 1 / np.arange(1, 235) ** 1.2
    first, second = rng.choice(names, (2, 10_000), p=share / share.sum())
    labels = np.where(rng.random(10_000) < 0.125, [f"{a} {b} -*" for a, b in zip(first, second, strict=True)], first)
    started = time.process_time()
    folds = make_folds(pd.DataFrame({"label": labels}), 5, classes=names)
    assert time.process_time() - started < 4 and np.ptp(np.bincount(folds + 1)[1:]) < 50
