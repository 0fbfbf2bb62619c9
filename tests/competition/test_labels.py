import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.competition.labels import UNKNOWN, known_matrix, known_text, label_targets, present_names

CLASSES = ("s0", "s1", "s2")


def test_what_is_known_goes_to_text_and_back():
    text = known_text(["s2", "s2"], ["s0", "s2"])
    assert text == "s2 -s0"
    assert known_matrix([text, "", "s0 s1 -s2"], CLASSES).tolist() == [[0, UNKNOWN, 1], [UNKNOWN] * 3, [1, 1, 0]]


def test_the_rest_may_be_absent_and_a_class_unknown_among_them():
    text = known_text(["s2"], unknown=["s0", "s2"], rest_absent=True)
    assert text == "s2 ?s0 -*"
    assert known_matrix([text, "-*", "-* s1"], CLASSES).tolist() == [[UNKNOWN, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_label_columns_become_numbers_of_either_task():
    assert label_targets(["s1", "s0", "zoe"], CLASSES, "single").tolist() == [1, 0, -1]
    assert label_targets(["s1"], CLASSES, "multi").tolist() == [[UNKNOWN, 1, UNKNOWN]]
    assert known_matrix([], CLASSES).shape == (0, 3) and known_matrix(["s1"], CLASSES).dtype == np.int8
    assert label_targets([], CLASSES, "single").dtype == np.int64


ODD_NAMES = ("-minus", "?what", "*", "two words", "50%", "%20", "tab\tand\u00a0blank", "-*", "naïve", "1161364")


def test_names_that_look_like_marks_or_hold_blanks_are_read_back():
    text = known_text(ODD_NAMES[:2], ODD_NAMES[2:4], ODD_NAMES[4:])
    assert known_matrix([text], ODD_NAMES).tolist() == [[1, 1, 0, 0, *[UNKNOWN] * 6]]
    assert present_names(text) == list(ODD_NAMES[:2])
    assert known_text(ODD_NAMES) == (
        "%2Dminus %3Fwhat %2A two%20words 50%25 %2520 tab%09and%C2%A0blank %2D* naïve 1161364"
    )


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.data())
def test_any_names_are_read_back(names, data):
    says = data.draw(st.lists(st.sampled_from([1, 0, UNKNOWN]), min_size=len(names), max_size=len(names)))
    rest = data.draw(st.booleans())
    present, absent, unknown = ([n for n, s in zip(names, says, strict=True) if s == say] for say in (1, 0, UNKNOWN))
    assert known_matrix([known_text(present, absent, unknown, rest)], names).tolist() == [says]


def test_an_unknown_name_is_told_with_its_row():
    rule = "label must list names of classes, with - before the absent and . before the unknown, got '-s7' in row 1"
    with pytest.raises(ValueError, match=rule):
        known_matrix(["s1", "s0 -s7"], CLASSES)
