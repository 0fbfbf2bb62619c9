"""The second run as it is played: what is there at first, what later, and what is predicted then."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.competition.competition import open_competition
from kit.results.check import read_submission
from kit.results.record import record
from kit.studies.second_run import empty_test, fill_test, predict_aloud
from tests.competition.table_folders import write_noise, write_table


def listed(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_commit_has_other_ids_and_no_files_and_the_second_run_has_both(voices, tmp_path):
    folder = empty_test(voices, tmp_path / "run")
    empty = open_competition(folder)
    assert empty.test["id"].tolist() == ["example0.pt", "example1.pt", "example2.pt"]
    assert (empty.test["fault"] == "no such file on disk").all()
    assert "there is no test file, so that all 3 rows of testdata.json will be given the class priors" in empty.notes
    assert len(empty.train) == len(voices.train) and empty.solution() is None
    assert not listed(folder) & set(voices.test["path"])
    filled = open_competition(fill_test(voices, folder))
    assert filled.test["id"].tolist() == voices.test["id"].tolist() and (filled.test["fault"] == "").all()
    assert listed(folder) == listed(voices.folder) - {"solution.csv"}
    assert empty_test(voices, folder) == folder and len(open_competition(folder).test) == 3, "it is made anew"


def test_the_folder_given_stays_as_it_was(voices, tmp_path):
    before = {name: (voices.folder / name).read_bytes() for name in ("testdata.json", "solution.csv")}
    fill_test(voices, empty_test(voices, tmp_path / "run"))
    assert {name: (voices.folder / name).read_bytes() for name in before} == before
    assert (tmp_path / "run" / voices.train["path"][0]).samefile(voices.folder / voices.train["path"][0])


def test_a_table_is_played_too(tmp_path):
    folder = tmp_path / "table"
    for name in ("train/a", "train/b", "train/c", "test/x", "test/y", "test/z", "test/w"):
        write_noise(folder / f"{name}.wav", 0.3)
    write_table(folder / "train.csv", ("file", "label"), ("a.wav", "p"), ("b.wav", "q"), ("c.wav", "p"))
    write_table(folder / "sample_submission.csv", ("file", "label"), *((f"{name}.wav", "p") for name in "xyzw"))
    whole = open_competition(folder)
    empty = open_competition(empty_test(whole, tmp_path / "run"))
    assert empty.test["id"].tolist() == [f"example{number}.wav" for number in range(3)]
    assert any(note.startswith("there is no audio of the test, so that all 3 rows") for note in empty.notes)
    filled = open_competition(fill_test(whole, tmp_path / "run"))
    assert filled.test["id"].tolist() == ["x.wav", "y.wav", "z.wav", "w.wav"] and (filled.test["fault"] == "").all()


def test_both_runs_predict_and_the_second_says_what_training_said(voices, small_run, tmp_path, capsys):
    folder = empty_test(voices, tmp_path / "run")
    options = {"cache": tmp_path / "cache", "minutes": 5.0, "progress": False}
    table = predict_aloud(small_run, folder, out=tmp_path / "first.csv", **options)
    assert len(table) == 3 and (np.ptp(table[list(voices.classes)], axis=0) == 0).all()
    assert capsys.readouterr().out.startswith("3 of 3 test rows got the class priors, such as 'example0.pt'")
    assert read_submission(tmp_path / "first.csv", open_competition(folder))["Id"][0] == "example0.pt"
    table = predict_aloud(small_run, fill_test(voices, folder), out=tmp_path / "second.csv", **options)
    pd.testing.assert_frame_equal(table, small_run.test, check_exact=True)
    sent = record(small_run, voices, tmp_path / "submissions")["file"]
    assert (tmp_path / "second.csv").read_bytes() == Path(sent).read_bytes()


def test_a_list_with_other_fields_keeps_them(voices, tmp_path):
    content = json.loads((empty_test(voices, tmp_path / "run") / "testdata.json").read_text())
    assert content["n_mels"] == voices.n_mels and len(content["utterances"]) == 3
    with pytest.raises(ValueError, match="folder"):
        predict_aloud([], tmp_path / "nowhere")
