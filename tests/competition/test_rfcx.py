import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError
from kit.data.features import LogMel
from kit.data.store import pack

UNGROUPED = "folds: rows are taken one by one, for this layout names no groups"
HEAD = "recording_id,species_id,songtype_id,t_min,f_min,t_max,f_max\n"
MEL = LogMel(48000, 128, 0.04, 0.02, 300, 14000)


def write_wave(path, seconds=4.0, rate=48000):
    noise = np.random.default_rng(sum(path.name.encode())).standard_normal(int(seconds * rate)) * 0.05
    soundfile.write(path, noise, rate)


@pytest.fixture
def folder(tmp_path):
    """A hand-made folder: three training and three test recordings of 4 s at 48 kHz, three species."""
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
    for name in ("aa1", "bb2", "cc3"):
        write_wave(tmp_path / "train" / f"{name}.flac")
        write_wave(tmp_path / "test" / f"t{name}.flac")
    (tmp_path / "train_tp.csv").write_text(
        HEAD + "bb2,2,1,0.5,900,1.5,1800\nbb2,0,4,3.0,900,4.0,1800\naa1,1,1,0,10,1,90\n"
    )
    (tmp_path / "train_fp.csv").write_text(HEAD + "bb2,1,1,2.0,900,2.5,1800\ncc3,0,1,0.1,900,1.5,1800\n")
    (tmp_path / "sample_submission.csv").write_text("recording_id,s0,s1,s2\ntaa1,0,0,0\ntbb2,0,0,0\ntcc3,0,0,0\n")
    return tmp_path


def test_a_folder_becomes_tables(folder):
    competition = open_competition(folder)
    assert (competition.layout, competition.task, competition.metric) == ("rfcx", "multi", "lwlrap")
    assert competition.classes == competition.label_columns == ("s0", "s1", "s2")
    assert competition.train["id"].tolist() == ["aa1", "bb2", "cc3"]
    assert competition.train["label"].tolist() == ["s1", "s2 s0 -s1", "-s0"]
    assert competition.train["path"].tolist() == ["train/aa1.flac", "train/bb2.flac", "train/cc3.flac"]
    assert competition.test["id"].tolist() == ["taa1", "tbb2", "tcc3"]
    assert competition.boxes.iloc[0].tolist() == ["bb2", "s2", True, 0.5, 1.5, 900, 1800]
    assert competition.notes == (UNGROUPED,)


def test_the_store_holds_each_recording_once_with_its_boxes(folder, tmp_path):
    store = pack(open_competition(folder), tmp_path / "cache", MEL, progress=False)
    assert store.task == "multi" and store.index["frames"].tolist() == [199] * 6
    assert store.targets(store.rows("train")).tolist() == [[-1, 1, -1], [1, 0, 1], [0, -1, -1]]
    first = store.boxes.iloc[0]
    assert first.tolist() == [1, 2, True, 24, 75]  # centres at 0.02, 0.04, …: from 0.5 to 1.5 s
    wave = pack(open_competition(folder), tmp_path / "cache", MEL, "wave", progress=False)
    assert wave.boxes.iloc[0].tolist() == [1, 2, True, 24000, 72000]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bb2,2,1,3.5,900,4.5,1800", r"train_tp.csv: line 2 \(bb2\): the box must lie in 0 to 4 s, got 3.5 to 4.5"),
        ("bb2,2,1,-1,900,1.5,1800", r"line 2 \(bb2\): the box must lie in 0 to 4 s, got -1 to 1.5"),
        ("bb2,2,1,1.5,900,1.5,1800", r"line 2 \(bb2\): t_max must be above t_min \(1.5\), got 1.5"),
        ("bb2,2,1,0.5,1900,1.5,1800", r"line 2 \(bb2\): f_max must be at least f_min \(1900\), got 1800"),
        ("bb2,7,1,0.5,900,1.5,1800", r"line 2 \(bb2\): species_id must be 0 to 2, got '7'"),
        ("bb2,x,1,0.5,900,1.5,1800", r"line 2 \(bb2\): species_id must be 0 to 2, got 'x'"),
        ("bb2,2,1,soon,900,1.5,1800", r"line 2 \(bb2\): t_min must be a number, got 'soon'"),
        ("bb2,2,1,nan,900,1.5,1800", r"line 2 \(bb2\): t_min must be a number, got 'nan'"),
        ("zz9,2,1,0.5,900,1.5,1800", r"line 2 \(zz9\): no such file on disk: looked for train/zz9"),
    ],
)
def test_a_bad_box_is_named_with_its_file_and_row(folder, line, message):
    (folder / "train_tp.csv").write_text(HEAD + line + "\n")
    with pytest.raises(CompetitionError, match=message):
        open_competition(folder)


def test_every_bad_row_is_in_one_message(folder):
    (folder / "train_fp.csv").write_text(HEAD + "bb2,9,1,0.5,900,1.5,1800\ncc3,1,1,2,900,1,1800\n")
    with pytest.raises(CompetitionError, match="2 problems") as error:
        open_competition(folder)
    assert "train_fp.csv: line 2" in str(error.value) and "train_fp.csv: line 3" in str(error.value)


def test_bad_training_audio_is_named(folder):
    write_wave(folder / "train" / "aa1.flac", rate=44100)
    (folder / "train" / "bb2.flac").write_bytes(b"")
    (folder / "train" / "cc3.flac").write_bytes(b"no flac at all")
    with pytest.raises(CompetitionError) as error:
        open_competition(folder)
    assert "(aa1): must have the others' sample rate, 48000 Hz, got 44100 Hz" in str(error.value)
    assert "(bb2): the file is empty" in str(error.value)
    assert "(cc3): not audio that can be read" in str(error.value)


def test_a_training_recording_cut_short_is_named_when_it_is_packed(folder, tmp_path):
    content = (folder / "train" / "bb2.flac").read_bytes()
    (folder / "train" / "bb2.flac").write_bytes(content[: len(content) // 2])
    with pytest.raises(CompetitionError, match=r"train_tp.csv: line 2 \(train/bb2.flac\): "):
        pack(open_competition(folder), tmp_path / "cache", MEL, progress=False)


def test_bad_test_recordings_are_kept_with_their_faults(folder, tmp_path):
    content = (folder / "test" / "taa1.flac").read_bytes()
    (folder / "test" / "taa1.flac").write_bytes(content[: len(content) // 2])
    (folder / "test" / "tbb2.flac").unlink()
    competition = open_competition(folder)
    assert competition.notes == (
        "sample_submission.csv: line 3 (tbb2): no such file on disk: looked for test/tbb2; "
        "it will be given the class priors",
        UNGROUPED,
    )
    store = pack(competition, tmp_path / "cache", MEL, progress=False)
    assert store.faults()["id"].tolist() == ["taa1", "tbb2"]
    assert "audio file must be" in store.faults()["fault"][0]
    assert store.index["frames"].tolist() == [199, 199, 199, 0, 0, 199]
    assert torch.isfinite(store.features.float()).all() and len(store.features) == 4 * 199


def test_recordings_that_no_table_names_are_told(folder):
    write_wave(folder / "train" / "spare.flac")
    shutil.copy(folder / "test" / "taa1.flac", folder / "test" / "twin.flac")
    assert open_competition(folder).notes == (
        "1 audio files in train/ are not in train_tp.csv or train_fp.csv, such as train/spare.flac",
        "1 audio files in test/ are not in sample_submission.csv, such as test/twin.flac",
        UNGROUPED,
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train_tp.csv", "recording_id,species\na,1\n", "line 1: must be recording_id,species_id,songtype"),
        ("sample_submission.csv", "recording_id,s1,s0\ntaa1,0,0\n", "line 1: must be recording_id,s0,s1"),
        ("sample_submission.csv", "recording_id,s0,s1,s2\ntaa1,0,0,0\ntaa1,0,0,0\n", r"line 3 \(taa1\): a recording"),
    ],
)  # fmt: skip
def test_other_columns_are_refused(folder, file, content, message):
    (folder / file).write_text(content)
    with pytest.raises(CompetitionError, match=message):
        open_competition(folder)


def test_the_solution_has_a_column_a_species(folder):
    path = folder / "solution.csv"
    path.write_text("recording_id,s0,s1,s2,Usage\ntaa1,0,1,1,Public\ntbb2,0,0,0,Private\ntcc3,1,0,0,Public\n")
    solution = open_competition(folder).solution()
    assert solution[["s0", "s1", "s2"]].to_numpy().tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert pd.api.types.is_integer_dtype(solution["s1"]) and solution["usage"].tolist()[1] == "Private"
    path.write_text(path.read_text().replace("1,1,Public", "1,2,Public"))
    with pytest.raises(CompetitionError, match="solution.csv: line 2: s2 must be 0 or 1, got '2'"):
        open_competition(folder).solution()
