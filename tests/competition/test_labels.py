import numpy as np
import pytest

from kit.competition.labels import UNKNOWN, known_matrix, known_text, label_targets

CLASSES = ("s0", "s1", "s2")


def test_what_is_known_goes_to_text_and_back():
    text = known_text(["s2", "s2"], ["s0", "s2"])
    assert text == "s2 -s0"
    assert known_matrix([text, "", "s0 s1 -s2"], CLASSES).tolist() == [[0, UNKNOWN, 1], [UNKNOWN] * 3, [1, 1, 0]]


def test_label_columns_become_numbers_of_either_task():
    assert label_targets(["s1", "s0", "zoe"], CLASSES, "single").tolist() == [1, 0, -1]
    assert label_targets(["s1"], CLASSES, "multi").tolist() == [[UNKNOWN, 1, UNKNOWN]]
    assert known_matrix([], CLASSES).shape == (0, 3) and known_matrix(["s1"], CLASSES).dtype == np.int8


def test_an_unknown_name_is_told_with_its_row():
    with pytest.raises(
        ValueError, match="label must list names of classes, with - before the absent, got '-s7' in row 1"
    ):
        known_matrix(["s1", "s0 -s7"], CLASSES)
