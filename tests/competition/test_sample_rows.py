import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError, Listing, Problems
from kit.competition.sample import read_sample
from kit.competition.sample_rows import read_sample_rows
from tests.competition.table_folders import write_noise, write_table

NAN = float("nan")


@pytest.fixture
def rows_of(tmp_path):
    """A function of the rows of test.csv that gives the test rows, of three recordings in clips/, and the problems."""
    for name in "abc":
        write_noise(tmp_path / f"clips/{name}.wav", 0.1)

    def read(header, *rows, ids=None):
        ids = ids or [row[header.index("id")] for row in rows]
        write_table(tmp_path / "sample_submission.csv", ("id", "label"), *((name, "x") for name in ids))
        write_table(tmp_path / "test.csv", header, *rows)
        listing = Listing(tmp_path)
        problems = Problems(tmp_path)
        return read_sample_rows(listing, read_sample(listing), problems, ())[0], problems.found

    return read


def test_the_column_that_names_files_is_found_whatever_it_is_called(rows_of):
    rows, problems = rows_of(("id", "site", "clip"), ("3", "a1", "c.wav"), ("1", "a1", "a.wav"))
    assert not problems and rows["path"].tolist() == ["clips/c.wav", "clips/a.wav"]
    assert rows["where"].tolist() == ["test.csv: line 2", "test.csv: line 3"] and "start_seconds" not in rows


def test_rows_stand_in_the_order_of_the_sample(rows_of):
    rows, _ = rows_of(("id", "file"), ("1", "a"), ("2", "b"), ids=["2", "1"])
    assert rows["id"].tolist() == ["2", "1"] and rows["path"].tolist() == ["clips/b.wav", "clips/a.wav"]


@pytest.mark.parametrize("column", ["seconds", "end_seconds"])
def test_stretches_are_as_long_as_the_least_step(rows_of, column):
    ends = [("a5", "a", 5), ("a15", "a", 15), ("b10", "b", 10), ("b20", "b", 20), ("c", "c", "")]
    rows, problems = rows_of(("id", "audio_id", column), *ends)
    assert not problems
    np.testing.assert_array_equal(
        rows[["start_seconds", "end_seconds"]], [[0, 5], [10, 15], [5, 10], [15, 20], [NAN, NAN]]
    )


def test_whole_recordings_alone_have_no_length(rows_of):
    rows, problems = rows_of(("id", "audio_id", "seconds"), ("a", "a", ""), ("b", "b", ""))
    assert not problems and rows[["start_seconds", "end_seconds"]].isna().all(axis=None)


def test_a_recording_may_not_stand_twice(rows_of):
    _, problems = rows_of(("id", "audio_id", "seconds"), ("a", "a", ""), ("b", "a", ""))
    assert problems == ["test.csv: line 3 (b): the same stretch as line 2, 'a', spelt 'b'"]


def test_a_table_without_the_ids_is_of_something_else(rows_of):
    rows, problems = rows_of(("number", "file"), ("1", "b.wav"), ids=["a.wav"])
    assert not problems and rows["path"].tolist() == ["clips/a.wav"]


def test_a_table_of_ids_alone_says_that_they_are_files(rows_of):
    rows, problems = rows_of(("id",), ("a",), ("b",))
    assert not problems and rows["path"].tolist() == ["clips/a.wav", "clips/b.wav"]


def test_a_test_without_any_audio_is_told_and_one_of_other_names_is_refused(tmp_path):
    for name in "ab":
        write_noise(tmp_path / f"train/{name}.wav", 0.1)
    write_table(tmp_path / "train.csv", ("file", "label"), ("a.wav", "x"), ("b.wav", "y"))
    write_table(tmp_path / "sample_submission.csv", ("file", "label"), ("t.wav", "x"), ("u.wav", "x"))
    competition = open_competition(tmp_path)
    assert competition.test["fault"].tolist() == [f"no such file on disk: looked for test/{name}.wav" for name in "tu"]
    assert any(note.startswith("there is no audio of the test, so that all 2 rows") for note in competition.notes)
    write_noise(tmp_path / "eval/v.wav", 0.1)
    with pytest.raises(CompetitionError, match="no test file can be used, such as t.wav: no such file on disk"):
        open_competition(tmp_path)
