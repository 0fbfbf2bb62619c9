import pandas as pd
import pytest

from kit.competition.groups import group_column, group_notes

TAKEN = ("file", "label")


def table(**columns):
    return pd.DataFrame({"file": ["a", "b", "c", "d"], "label": ["x", "y", "x", "y"], **columns})


def test_the_first_known_column_groups_and_is_said():
    columns = ["file", "site", "label", "session"]
    assert group_column(columns, TAKEN) == "session"
    assert group_column(columns, ("file", "session")) == "site"
    assert group_column(["file", "label"], TAKEN) is None
    found = group_notes(table(speaker=list("aabb")), "train.csv", "speaker", TAKEN)
    assert found == ["folds: rows of train.csv with the same speaker stay together (2 of them)"]


@pytest.mark.parametrize("name", ["speaker_id", "Speaker", "recordist", "patient", "SubjectID", "Speakers", "user id"])
def test_an_unused_column_that_looks_like_a_group_is_told(name):
    notes = group_notes(table(**{name: list("aabb")}), "train.csv", None, TAKEN)
    assert notes[0].startswith("folds: rows are taken one by one, for train.csv has no column group, speaker, ")
    assert notes[1:] == [
        f"train.csv: column {name!r} is not used, though its 2 values repeat over 4 rows as those of a group do: "
        "name it group to keep its rows in one fold"
    ]


@pytest.mark.parametrize(
    ("name", "values"), [("speaker_id", "abcd"), ("speaker_id", "aaaa"), ("quality", "aabb"), ("seconds", "1122")]
)
def test_other_columns_are_not_told(name, values):
    assert len(group_notes(table(**{name: list(values)}), "train.csv", None, TAKEN)) == 1


def test_a_second_group_beside_the_used_one_is_told():
    notes = group_notes(table(speaker=list("aabb"), session=list("1112")), "train.csv", "speaker", TAKEN)
    assert len(notes) == 2 and "column 'session' is not used" in notes[1] and "name it speaker to keep" in notes[1]
