import pytest

from kit.competition.listing import CompetitionError, Listing, Problems
from kit.competition.sample import read_sample
from kit.competition.train_table import file_column, read_train_table
from tests.competition.table_folders import write_noise, write_table


@pytest.fixture
def read(tmp_path):
    """A function of the sample's header and train.csv's rows, of three clips; it gives rows, notes and problems."""
    for name in "abc":
        write_noise(tmp_path / f"sounds/{name}.wav", 0.05)

    def rows_of(sample, *table):
        write_table(tmp_path / "sample_submission.csv", sample, ("t", *(["0"] * (len(sample) - 1))))
        write_table(tmp_path / "train.csv", *table)
        listing, problems = Listing(tmp_path), Problems(tmp_path)
        rows, notes = read_train_table(listing, "train.csv", read_sample(listing), None, problems)
        return rows, notes, problems.found

    return rows_of


def test_the_columns_that_the_sample_names_come_first(read):
    rows, notes, problems = read(("file", "word"), ("file", "label", "word"), ("a", "x", "1"), ("b", "y", "2"))
    assert rows[["id", "path"]].to_numpy().tolist() == [["a", "sounds/a.wav"], ["b", "sounds/b.wav"]]
    assert rows["labels"].tolist() == [("1",), ("2",)] and rows["beside"].tolist() == [(), ()] and not problems
    assert [note for note in notes if "labels" in note] == []  # nothing that had to be told apart


def test_an_id_that_is_no_file_stays_the_id(read):
    rows, *_ = read(("id", "label"), ("id", "filename", "label"), ("7", "b.wav", "x"), ("8", "c.wav", "y"))
    assert rows[["id", "path"]].to_numpy().tolist() == [["7", "sounds/b.wav"], ["8", "sounds/c.wav"]]


@pytest.mark.parametrize("column", ["labels", "primary_label", "class", "species", "tags"])
def test_a_column_of_labels_by_its_name(read, column):
    rows, notes, _ = read(("file", "animal"), ("file", "n", column), ("a", "1", "x"), ("b", "1", "y"))
    assert rows["labels"].tolist() == [("x",), ("y",)]
    assert f"train.csv: labels are read from column {column!r}, as one label a row" in notes


def test_a_column_of_labels_by_its_classes(read):
    sample, header = ("file", "great tit", "owl"), ("file", "label", "heard")
    rows, notes, _ = read(sample, header, ("a", "5", "owl;great tit"), ("b", "7", "owl"))
    assert rows["labels"].tolist() == [("owl", "great tit"), ("owl",)]
    assert "train.csv: labels are read from column 'heard', as lists joined by semicolons" in notes


def test_labels_beside_are_kept_apart(read):
    header = ("file", "label", "secondary_labels")
    rows, *_ = read(("file", "x", "y"), header, ("a", "x", "['y', 'z']"), ("b", "y", "[]"))
    assert rows["labels"].tolist() == [("x",), ("y",)] and rows["beside"].tolist() == [("y", "z"), ()]
    rows, *_ = read(("file", "x", "y"), (*header, "primary_label"), ("a", "x", "['Yak']", "Xen"), ("b", "y", "", "Yak"))
    assert rows["beside"].tolist() == [("y",), ()]  # by the name that another row has for its own


@pytest.mark.parametrize(
    ("sample", "table", "message"),
    [
        (
            ("file", "a1"),
            [("name", "b1"), ("a", "x")],
            "train.csv: has no column 'a1', which sample_submission.csv names, ",
        ),
        (
            ("file", "a1"),
            [("n", "label"), ("z", "x")],
            "train.csv: has no column 'file', which sample_submission.csv names",
        ),
        (
            ("file", "u", "v", "w"),
            [("file", "u", "v"), ("a", "0", "1")],
            "has no column 'w', a class of sample_submission",
        ),
        (
            ("file", "u", "v"),
            [("file", "n"), ("a", "1")],
            "has no column of labels: none holds classes of sample_submi",
        ),
        (("file", "u", "v"), [("file",), ("a",)], "train.csv: has no column of labels: none holds classes"),
    ],
)
def test_a_column_that_is_missing_is_named(read, sample, table, message):
    with pytest.raises(CompetitionError, match=message):
        read(sample, *table)


def test_the_column_of_files_is_the_named_one_or_most_files(tmp_path):
    write_noise(tmp_path / "x/1.wav", 0.01)
    write_noise(tmp_path / "x/2.wav", 0.01)
    listing = Listing(tmp_path)
    write_table(tmp_path / "t.csv", ("id", "number", "clip"), ("1.wav", "1", "1"), ("9.wav", "9", "2"))
    from kit.competition.csv_file import read_csv

    table = read_csv(tmp_path / "t.csv")
    assert file_column(listing, table, "id", "train") == "id"  # though one of its files is missing
    assert file_column(listing, table, "gone", "train") == "clip"
    assert file_column(listing, table[["number"]], "gone", "train") is None
    assert file_column(listing, table[["number"]], "number", "train") == "number"
