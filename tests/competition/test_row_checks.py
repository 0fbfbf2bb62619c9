import pandas as pd

from kit.competition.listing import Listing, Problems
from kit.competition.row_checks import SHOWN, check_once, check_shared, fault_notes, unnamed_notes
from tests.competition.table_folders import write_noise


def rows(*items):
    return pd.DataFrame(items, columns=["id", "path", "where"])


def test_each_row_after_the_first_is_told(tmp_path):
    problems = Problems(tmp_path)
    table = rows(("a", "x", "t.csv: line 2"), ("b", "y", "t.csv: line 3"), ("a", "x", "t.csv: line 4"))
    check_once(table, ["path"], "file", problems)
    assert problems.found == ["t.csv: line 4 (a): the same file as line 2"]
    check_once(pd.concat([table, rows(("c", "y", "u.csv: line 2"))]), ["path"], "file", problems)
    assert problems.found[2:] == ["u.csv: line 2 (c): the same file as t.csv: line 3, 'b', spelt 'c'"]


def test_a_file_of_both_parts_is_told(tmp_path):
    problems = Problems(tmp_path)
    check_shared(rows(("a", "x", ""), ("b", "y", "")), rows(("c", "y", ""), ("d", "z", "")), problems)
    assert problems.found == ["sample_submission.csv: y is also a training file"]


def test_audio_without_a_row_is_told_by_its_folder(tmp_path):
    for path in ("train/a.wav", "train/b.wav", "test_audio/c.wav", "more/deep/d.wav", "loose.wav"):
        write_noise(tmp_path / path, 0.01)
    (tmp_path / "train/notes.txt").write_text("x")
    assert unnamed_notes(Listing(tmp_path), ["train/b.wav"], "train.csv", "sample.csv") == [
        "1 audio files in more/ are not in train.csv, such as more/deep/d.wav",
        "1 audio files in train/ are not in train.csv, such as train/a.wav",
        "1 audio files in test_audio/ are not in sample.csv, such as test_audio/c.wav",
    ]


def test_faults_are_told_up_to_a_number():
    test = rows(*((f"t{n}", "x", f"s.csv: line {n}") for n in range(SHOWN + 3))).assign(fault="gone")
    test.loc[0, "fault"] = ""
    notes = fault_notes(test)
    assert notes[0] == "s.csv: line 1 (t1): gone; it will be given the class priors"
    assert len(notes) == SHOWN + 1 and notes[-1] == "… and 2 more rows, which will be too"
