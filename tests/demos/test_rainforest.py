import hashlib

import numpy as np
import pandas as pd
import pytest
import soundfile

from kit.demos import publish
from kit.demos.publish import DemoError
from kit.demos.rainforest import BOX, make_rainforest

TINY = {"n_train": 5, "n_test": 2, "seconds": 6.0}


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_folder_is_in_rfcxs_layout(rainforest_folder):
    names = {path.name for path in rainforest_folder.iterdir()}
    assert {"train_tp.csv", "train_fp.csv", "sample_submission.csv", "train", "test"} <= names
    for file in ("train_tp.csv", "train_fp.csv"):
        table = pd.read_csv(rainforest_folder / file)
        assert list(table.columns) == BOX and len(table) > 3
        assert table["species_id"].between(0, 23).all() and (table["t_min"] < table["t_max"]).all()
    sample = pd.read_csv(rainforest_folder / "sample_submission.csv")
    assert list(sample.columns) == ["recording_id", *(f"s{number}" for number in range(24))]
    assert set(sample["recording_id"]) == {path.stem for path in (rainforest_folder / "test").iterdir()}
    assert len(list((rainforest_folder / "train").iterdir())) == 16
    found = soundfile.info(min((rainforest_folder / "train").iterdir()))
    assert (found.samplerate, found.channels, found.duration, found.format) == (32000, 1, 6.0, "FLAC")


def test_the_solution_is_the_truth_of_the_test_recordings(rainforest_folder):
    truth = pd.read_csv(rainforest_folder / "truth" / "calls.csv")
    solution = pd.read_csv(rainforest_folder / "solution.csv").set_index("recording_id")
    assert sorted(solution.pop("Usage")) == ["Private"] * 3 + ["Public"] * 3
    for name, row in solution.iterrows():
        assert set(np.flatnonzero(row)) == set(truth["species_id"][truth["recording_id"] == name])


def test_hits_agree_with_the_truth(rainforest_folder):
    truth = pd.read_csv(rainforest_folder / "truth" / "calls.csv")
    there = set(zip(truth["recording_id"], truth["species_id"], strict=True))
    for file, wanted in (("train_tp.csv", True), ("train_fp.csv", False)):
        table = pd.read_csv(rainforest_folder / file)
        pairs = zip(table["recording_id"], table["species_id"], strict=True)
        assert {pair in there for pair in pairs} == {wanted}


def test_the_same_call_makes_the_same_bytes_by_processes_too(tmp_path, monkeypatch):
    first = digests(make_rainforest(tmp_path / "first", **TINY))
    monkeypatch.setattr(publish, "PARALLEL_FROM", 1)
    assert digests(make_rainforest(tmp_path / "second", **TINY)) == first
    assert digests(make_rainforest(tmp_path / "third", **TINY, seed=1)).keys() != first.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_test": 1}, "n_test must be a whole number of at least 2, got 1"),
        ({"seconds": 3}, r"seconds must be in \[6, 3600\], got 3"),
        ({"rate_hz": 22050}, "rate_hz must be a whole number of at least 26000, got 22050"),
    ],
)
def test_bad_numbers_are_refused(tmp_path, change, message):
    with pytest.raises(DemoError, match=message):
        make_rainforest(tmp_path / "no", **{**TINY, **change})
    assert not (tmp_path / "no").exists()
