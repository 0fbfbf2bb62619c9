"""Malformed and odd CSVs in a plain table's folder and in RFCX's: read as they stand, or named with file and line."""

import re
import shutil

import pytest
import soundfile

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError

HEAD = b"recording_id,species_id,songtype_id,t_min,f_min,t_max,f_max\n"
BOX = b"aa,0,1,0.01,90,0.05,180\n"
TABLE_FAULTS = {
    # the file, its content, then what the message must say
    "empty": ("train.csv", b"", "train.csv: must have a header and at least one row"),
    "blank lines": ("train.csv", b"\n\r\n\n", "train.csv: must have a header and at least one row"),
    "no header": ("train.csv", b"a.wav,yes\nb.wav,no\n", "train.csv: has no column 'file', which sample_submission.cs"),
    "a column in another case": ("train.csv", b"file,Label\na.wav,yes\nb.wav,no\n", "train.csv: has no column 'label'"),
    "a column twice": ("train.csv", b"\nfile,label,label\na.wav,yes,no\n", "train.csv: line 2: a column is named twic"),
    "semicolons": ("train.csv", b"file;label\na.wav;yes\nb.wav;no\n", "train.csv: line 1: must have commas between"),
    "a field too many": ("train.csv", b"file,label\na.wav,yes\nb.wav,no,1\n", "line 3: must have 2 fields, got 3"),
    "a field too few": ("train.csv", b"file,label\na.wav\nb.wav,no\n", "train.csv: line 2: must have 2 fields, got 1"),
    "ragged after blank lines": ("train.csv", b"file,label\n\n\na.wav\n", "train.csv: line 4: must have 2 fields, got"),
    "a quote that never closes": (
        "train.csv", b'file,label\na.wav,yes\nb.wav,"no\n', "train.csv: line 3: not a UTF-8 CSV (unexpected end of dat",
    ),
    "text after a quote": ("train.csv", b'file,label\n"a.wav"x,yes\n', "train.csv: line 2: not a UTF-8 CSV ("),
    "a field of 200,000 letters": ("train.csv", b"file,label\na.wav," + b"y" * 200_000, "line 2: not a UTF-8 CSV (fie"),
    "a NUL byte": ("train.csv", b"file,label\na.wav,yes\nb.wav,no\0\n", "train.csv: line 3: not a UTF-8 CSV (a NUL by"),
    "Latin-1": ("train.csv", "file,label\na.wav,sí\n".encode("latin-1"), "train.csv: line 2: not a UTF-8 CSV (invalid"),
    "UTF-16": ("train.csv", "file,label\na.wav,yes\n".encode("utf-16"), "train.csv: line 1: not a UTF-8 CSV (invalid"),
    "UTF-16 without its mark": ("train.csv", "file,label\n".encode("utf-16-le"), "line 1: not a UTF-8 CSV (a NUL byte"),
    "a file twice": ("train.csv", b"file,label\na.wav,yes\n\na.wav,no\n", "line 4 (a.wav): the same file as line 2"),
    "a file twice, spelt otherwise": (
        "train.csv", b"file,label\na.wav,yes\n./a.wav,no\n", "line 3 (./a.wav): the same file as line 2",
    ),
    "a file twice, once without suffix": (
        "train.csv", b"file,label\na,yes\na.wav,no\n", "train.csv: line 3 (a.wav): the same file as line 2",
    ),
    "a file that is not there": (
        "train.csv", b"file,label\r\n\r\nz.wav,yes\r\nb.wav,no\r\n", "line 3 (z.wav): no such file on disk: looked for",
    ),
    "a path that leaves": ("train.csv", b"file,label\n../../x.wav,yes\nb.wav,no\n", "line 2 (../../x.wav): the path l"),
    "an absolute path": ("train.csv", b"file,label\n/etc/hostname,yes\nb.wav,no\n", "line 2 (/etc/hostname): the path"),
    "an empty file name": ("train.csv", b"file,label\n,yes\nb.wav,no\n", "train.csv: line 2 (): the path must be a n"),
    "an empty label": ("train.csv", b"file,label\na.wav,yes\n\nb.wav, \n", "train.csv: line 4 (b.wav): label is empty"),
    "an empty group": ("train.csv", b"file,label,site\na.wav,yes,\nb.wav,no,1\n", "line 2 (a.wav): site is empty"),
    "one class": ("train.csv", b"file,label\na.wav,yes\nb.wav,yes\n", "train.csv: label: must have at least two class"),
    "a class named as a column": ("train.csv", b"file,label\na.wav,fold\nb.wav,no\n", "train.csv: line 2: no class ma"),
    "a label with a bare CR": ("train.csv", b'file,label\na.wav,"y\rs"\nb.wav,no\n', "train.csv: line 2: a class's na"),
    "no rows in the sample": ("sample_submission.csv", b"file,label\n", "sample_submission.csv: must have a header an"),
    "one column in the sample": ("sample_submission.csv", b"file\nc.wav\n", "sample_submission.csv: must have two col"),
    "a training file in the sample": (
        "sample_submission.csv", b"file,label\ntest/../train/a.wav,no\n", "(test/../train/a.wav): the path leaves",
    ),
    "a training file in the sample, spelt otherwise": (
        "sample_submission.csv", b"file,label\n./train/a.wav,no\n", "train/a.wav is also a training file",
    ),
}  # fmt: skip
RFCX_FAULTS = {
    "empty": ("train_fp.csv", b"", "train_fp.csv: must have a header and at least one row"),
    "no header": ("train_tp.csv", BOX * 2, "train_tp.csv: line 1: must be recording_id,species_id,songtype_id"),
    "columns in another order": ("train_tp.csv", b"species_id,recording_id\n0,aa\n", "train_tp.csv: line 1: must be r"),
    "a byte that is no UTF-8": ("train_tp.csv", HEAD + b"\xffaa,0\n", "train_tp.csv: line 2: not a UTF-8 CSV (invalid"),
    "a NUL byte": ("train_tp.csv", HEAD + BOX.replace(b"aa", b"a\0"), "train_tp.csv: line 2: not a UTF-8 CSV (a NUL"),
    "ragged": ("train_tp.csv", HEAD + BOX + b"aa,0,1\n", "train_tp.csv: line 3: must have 7 fields, got 3"),
    "a quote that never closes": ("train_tp.csv", HEAD + b'"' + BOX, "train_tp.csv: line 2: not a UTF-8 CSV (unexpect"),
    "a time without end": ("train_tp.csv", HEAD + b"\n" + BOX.replace(b"0.05", b"inf"), "line 3 (aa): t_max must be a"),
    "a time of 400 digits": ("train_tp.csv", HEAD + BOX.replace(b"0.05", b"9" * 400), "line 2 (aa): t_max must be a n"),
    "a time of 30 digits": ("train_tp.csv", HEAD + BOX.replace(b"0.05", b"9" * 30), "line 2 (aa): the box must lie in"),
    "a time in text": ("train_tp.csv", HEAD + BOX.replace(b"0.05", b"0,05"), "line 2: must have 7 fields, got 8"),
    "a box before 0": ("train_tp.csv", HEAD + BOX.replace(b"0.01", b"-.1"), "line 2 (aa): the box must lie in 0 to 0."),
    "a species that is none": ("train_tp.csv", HEAD + BOX.replace(b",0,", b",2,"), "line 2 (aa): species_id must be 0"),
    "a species with a space": ("train_tp.csv", HEAD + BOX.replace(b",0,", b", 0,"), "species_id must be 0 to 1, got '"),
    "a recording that leaves": ("train_tp.csv", HEAD + BOX.replace(b"aa", b"../../aa"), "the path leaves the competit"),
    "a recording of the test": ("train_tp.csv", HEAD + BOX.replace(b"aa", b"../test/tt"), "the path leaves the compet"),
    "a recording spelt otherwise": ("train_tp.csv", HEAD + BOX + BOX.replace(b"aa", b"./aa"), "line 3 (./aa): the sam"),
    "a recording without a name": ("train_tp.csv", HEAD + BOX.replace(b"aa", b""), "line 2 (): the path must be a"),
    "no sample": ("sample_submission.csv", None, "sample_submission.csv: no such file on disk"),
    "an empty sample": ("sample_submission.csv", b"\xef\xbb\xbf", "sample_submission.csv: must have a header and at l"),
    "one species": ("sample_submission.csv", b"recording_id,s0\ntt,0\n", "line 1: must be recording_id,s0,s1"),
    "a recording twice in the sample": (
        "sample_submission.csv", b"recording_id,s0,s1\ntt,0,0\n\ntt,0,0\n", "line 4 (tt): a recording that has a line",
    ),
    "a recording twice in the sample, spelt otherwise": (
        "sample_submission.csv", b"recording_id,s0,s1\ntt,0,0\n./tt,0,0\n", "line 3 (./tt): a recording that has a lin",
    ),
}  # fmt: skip


def place(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)


def assert_named(folder, file, message):
    with pytest.raises(CompetitionError, match=re.escape(message)) as caught:
        open_competition(folder)
    assert str(folder) in str(caught.value) and file.split("_")[0].removesuffix(".csv") in str(caught.value)


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_a_fault_in_a_table_is_named(table, fault):
    file, content, message = TABLE_FAULTS[fault]
    place(table, file, content)
    assert_named(table, file, message)


@pytest.mark.parametrize("fault", RFCX_FAULTS)
def test_a_fault_in_rfcx_is_named(rfcx, fault):
    file, content, message = RFCX_FAULTS[fault]
    place(rfcx, file, content)
    assert_named(rfcx, file, message)


def a_link_out(path):
    path.rename(path.parents[1] / "outside.csv")
    path.symlink_to("../outside.csv")


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (a_link_out, "sample_submission.csv: the link leaves the competition's folder"),
        (a_folder, "sample_submission.csv: must be a file that can be read (Is a directory)"),
    ],
)
@pytest.mark.parametrize("layout", ["table", "rfcx"])
def test_a_sample_that_is_no_file_of_the_folder_is_named(request, layout, spoil, message):
    folder = request.getfixturevalue(layout)
    spoil(folder / "sample_submission.csv")
    assert_named(folder, "sample_submission.csv", message)


ODD_TABLES = {
    # train.csv, then what the ids, the labels and the groups must be
    "a byte order mark": (b"\xef\xbb\xbffile,label\na.wav,yes\nb.wav,no\n", ["yes", "no"], None),
    "CRLF": (b"file,label\r\na.wav,yes\r\nb.wav,no\r\n", ["yes", "no"], None),
    "CR alone": (b"file,label\ra.wav,yes\rb.wav,no\r", ["yes", "no"], None),
    "a blank line after each": (b"file,label\r\r\na.wav,yes\r\r\nb.wav,no\r\r\n", ["yes", "no"], None),
    "no last line end": (b"file,label\na.wav,yes\nb.wav,no", ["yes", "no"], None),
    "columns the other way": (b"label,file\nyes,a.wav\nno,b.wav\n", ["yes", "no"], None),
    "quotes and commas": (b'file,label\n"a.wav","yes, ""sir"""\nb.wav,"n\no"\n', ['yes, "sir"', "n\no"], None),
    "labels that look like numbers": (b"file,label\na.wav,007\nb.wav,nan\n", ["007", "nan"], None),
    "columns with names of the kit's own": (
        b"id,path,fault,split,target,file,label,where\n1,x,y,test,3,a.wav,yes,z\n2,x,y,test,3,b.wav,no,z\n",
        ["yes", "no"], None,
    ),
    "two kinds of group": (b"file,site,label,session\na.wav,1,yes,9\nb.wav,2,no,9\n", ["yes", "no"], ["9", "9"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_TABLES)
def test_an_odd_table_is_read(table, case):
    content, labels, groups = ODD_TABLES[case]
    place(table, "train.csv", content)
    train = open_competition(table).train
    assert train["id"].tolist() == ["a.wav", "b.wav"] and train["path"].tolist() == ["train/a.wav", "train/b.wav"]
    assert train["label"].tolist() == labels and (train["group"].tolist() if "group" in train else None) == groups
    assert train.columns.is_unique and not {"fault", "split", "target"} & set(train.columns)


def test_names_by_any_spelling_have_one_path(table):
    place(table, "train.csv", b"file,label\n./a.wav,yes\ntrain//b.wav,no\n")
    assert open_competition(table).train["path"].tolist() == ["train/a.wav", "train/b.wav"]


def test_lines_are_told_as_an_editor_counts_them(table):
    """After a blank line, and a field that runs over two lines."""
    place(table, "train.csv", b'file,label,note\n\na.wav,yes,"one\ntwo"\nz.wav,no,\n')
    assert_named(table, "train.csv", "train.csv: line 5 (z.wav): no such file on disk")


def test_boxes_in_any_notation_are_read(rfcx):
    place(rfcx, "train_tp.csv", b"\xef\xbb\xbf" + HEAD.replace(b"\n", b"\r\n") + b"\r\naa,0,1, 1e-2,+90,5E-2,180.0\r\n")
    first = open_competition(rfcx).boxes.iloc[0]
    assert first.tolist() == ["aa", "s0", True, 0.01, 0.05, 90, 180]


def test_a_suffix_in_capitals_is_found(rfcx):
    shutil.move(rfcx / "train/aa.flac", rfcx / "train/aa.FLAC")
    assert open_competition(rfcx).train["path"].tolist() == ["train/aa.FLAC", "train/bb.flac"]


@pytest.mark.parametrize("rate_hz", [3, 2**31 - 1])
def test_a_rate_that_is_none_of_sound_is_named_when_the_folder_is_opened(rfcx, rate_hz):
    soundfile.write(rfcx / "train/aa.wav", [0.0] * 1600, rate_hz)
    (rfcx / "train/aa.flac").unlink()
    assert_named(rfcx, "train_tp.csv", f"(aa): must have the others' sample rate, 16000 Hz, got {rate_hz} Hz")
