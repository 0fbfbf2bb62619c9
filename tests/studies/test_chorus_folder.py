"""A folder of five rows, counted by hand."""

from types import SimpleNamespace

import pandas as pd
import pytest

from kit.data.features import LogMel
from kit.studies.chorus_folder import call_table, examples, folder_table, site_table

NAN = float("nan")
ONE, TWO = "train_soundscapes/A_S1_20250101_060000.ogg", "train_soundscapes/A_S2_20250101_210000.ogg"


def competition_of(**fields):
    columns = ["id", "path", "label", "source", "site", "start_seconds", "end_seconds"]
    rows = [
        ("c1", "c1.ogg", "x -*", "clip", "ana", NAN, NAN),
        ("c2", "c2.ogg", "x ?y -*", "clip", "ana", NAN, NAN),
        ("c3", "c3.ogg", "y -*", "clip", "ben", NAN, NAN),
        ("w1", ONE, "x y -*", "soundscape", "site S1", 0.0, 5.0),
        ("w2", ONE, "x -*", "soundscape", "site S1", 5.0, 10.0),
    ]
    others = [("u1", ONE, "site S1", 10.0, 15.0), ("u2", TWO, "site S2", 0.0, 5.0)]
    table = pd.DataFrame(others, columns=["id", "path", "site", "start_seconds", "end_seconds"])
    test = pd.DataFrame([("t1", "t.ogg", 0.0, 5.0, "no file")], columns=["id", "path", *columns[-2:], "fault"])
    train = pd.DataFrame(rows, columns=columns)
    facts = {"train": train, "unlabelled": table, "test": test, "classes": ("x", "y", "z")}
    return SimpleNamespace(**{**facts, **fields})


@pytest.fixture
def store():
    index = pd.DataFrame({"id": ["c1", "c2", "c3", "w1", "w2", "t1", "u1", "u2"]})
    return SimpleNamespace(index=index.assign(frames=[100, 200, 60, 49, 49, 0, 49, 49]), mel=LogMel(hop_seconds=0.1))


def test_a_folder_is_counted_by_part(store):
    table = folder_table(competition_of(), store).set_index("part")
    assert table["rows"].tolist() == [3, 2, 2, 0]
    assert table["recordings"].tolist() == [3, 1, 2, 0], "a test row without audio is none"
    assert table["authors or sites"].tolist() == [2, 1, 2, 0]
    assert table["classes"].tolist() == [2, 2, 0, 0]
    assert table["hours"].tolist() == pytest.approx([36 / 3600, 10 / 3600, 10 / 3600, 0])


def test_a_folder_without_soundscapes_is_counted_too(store):
    full = competition_of()
    clips = competition_of(train=full.train[:3], unlabelled=None)
    assert folder_table(clips, store)["rows"].tolist() == [3, 0, 0, 0]
    assert site_table(clips).empty
    assert examples(clips) == ["c1", "c2"], "two clips of the commonest class"


def test_calls_are_counted_where_a_class_is_known_to_be():
    table = call_table(competition_of())
    assert table.index.tolist() == ["x", "y", "z"]
    assert table["clips"].tolist() == [2, 1, 0] and table["windows"].tolist() == [2, 1, 0]


def test_sites_and_hours_are_told_by_names():
    table = site_table(competition_of())
    assert table.to_numpy().tolist() == [["S1", 1, 0, "6"], ["S2", 0, 1, "21"]]


def test_a_class_is_shown_that_calls_alone_in_both():
    assert examples(competition_of()) == ["c1", "w2"]
