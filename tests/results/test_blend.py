"""Mixed probability tables, by hand."""

import pandas as pd
import pytest

from kit.results.blend import average, rank_mean

FIRST = pd.DataFrame({"id": ["a", "b"], "x": [0.9, 0.2], "self": [0.1, 0.3], "z": [0.0, 0.5]})
SECOND = pd.DataFrame({"z": [0.3, 0.6], "self": [0.4, 0.2], "x": [0.3, 0.2], "id": ["b", "a"]})


def test_the_average_by_hand_matches_ids_and_classes():
    expected = FIRST.assign(x=[0.55, 0.25], z=[0.3, 0.4])
    expected["self"] = [0.15, 0.35]
    pd.testing.assert_frame_equal(average([FIRST, SECOND]), expected)


def test_rank_mean_by_hand():
    # ranks of x, self, z in row a: 3 2 1 and, of equals by their mean, 1.5 1.5 3; in row b: 1 2 3 and 1.5 3 1.5
    found = rank_mean([FIRST, SECOND])
    assert found["x"].tolist() == pytest.approx([4.5 / 6, 2.5 / 6])
    assert found["self"].tolist() == pytest.approx([3.5 / 6, 5 / 6])
    assert found["z"].tolist() == pytest.approx([4 / 6, 4.5 / 6])


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
    sharp = FIRST.assign(**(FIRST[["x", "z"]] ** 3))
    sharp["self"] = FIRST["self"] ** 3
    pd.testing.assert_frame_equal(rank_mean([FIRST]), rank_mean([sharp]))


def test_tables_of_other_rows_or_classes_are_refused():
    with pytest.raises(ValueError, match="frames must hold at least one table, got none"):
        average([])
    with pytest.raises(ValueError, match="frames 0 and 1 must have the same ids, got 1 in one only, such as 'b'"):
        average([FIRST, FIRST.iloc[:1]])
    with pytest.raises(ValueError, match="frames 0 and 2 must have the same classes, got 1 in one only, such as 'z'"):
        rank_mean([FIRST, SECOND, FIRST.drop(columns="z")])
    with pytest.raises(ValueError, match="frames 0 and 0 must hold each id once, got 'a' twice"):
        average([FIRST.iloc[[0, 1, 0]]])
