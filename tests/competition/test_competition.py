import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError


@pytest.fixture
def hw4(tmp_path):
    """Two speakers of two utterances, one test utterance; returns the folder."""
    names = [f"uttr-{number}.pt" for number in range(5)]
    for number, name in enumerate(names):
        torch.save(torch.full((3 + number, 4), float(number)), tmp_path / name)
    item = [{"feature_path": name, "mel_len": 3 + number} for number, name in enumerate(names)]
    write(tmp_path, "metadata.json", {"n_mels": 4, "speakers": {"anna": item[:2], "ben": item[2:4]}})
    write(tmp_path, "mapping.json", {"speaker2id": {"ben": 0, "anna": 1}})
    write(tmp_path, "testdata.json", {"n_mels": 4, "utterances": item[4:]})
    return tmp_path


@pytest.fixture
def table(tmp_path):
    for name in ("train/a.wav", "train/b.wav", "test/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.zeros(800, dtype="float32"), 16000)
    (tmp_path / "train.csv").write_text("file,keyword,speaker\na.wav,NA,0001\nb.wav,no,0002\n")
    (tmp_path / "sample_submission.csv").write_text("file,keyword\nc.wav,NA\n")
    return tmp_path


def write(folder, name, content):
    (folder / name).write_text(json.dumps(content))


def change(folder, name, edit):
    content = json.loads((folder / name).read_text())
    edit(content)
    write(folder, name, content)


def test_hw4_tables(hw4):
    competition = open_competition(hw4)
    assert competition.layout == "hw4" and competition.features == "mel" and competition.n_mels == 4
    assert competition.classes == ("ben", "anna")  # by mapping.json's numbers
    assert competition.train[["id", "label", "frames"]].to_numpy().tolist() == [
        ["uttr-0.pt", "anna", 3],
        ["uttr-1.pt", "anna", 4],
        ["uttr-2.pt", "ben", 5],
        ["uttr-3.pt", "ben", 6],
    ]
    assert competition.test["id"].tolist() == ["uttr-4.pt"]
    assert (competition.id_column, competition.label_columns, competition.metric) == ("Id", ("Category",), "accuracy")
    assert competition.solution() is None


def test_plain_table(table):
    competition = open_competition(table)
    assert competition.layout == "table" and competition.features == "wave"
    assert competition.train[["id", "path", "label", "group"]].to_numpy().tolist() == [
        ["a.wav", "train/a.wav", "NA", "0001"],
        ["b.wav", "train/b.wav", "no", "0002"],
    ]
    assert competition.test["path"].tolist() == ["test/c.wav"]
    assert competition.classes == ("NA", "no") and competition.cluster == "group"
    assert (competition.id_column, competition.label_columns) == ("file", ("keyword",))


def test_files_that_no_table_names_are_noted(table):
    soundfile.write(table / "train/extra.wav", np.zeros(800), 16000)
    assert "1 audio files in train/ are not in train.csv, such as train/extra.wav" in open_competition(table).notes


def test_solution(hw4):
    (hw4 / "solution.csv").write_text("Id,Category,Usage\nuttr-4.pt,ben,Public\n")
    assert open_competition(hw4).solution().to_numpy().tolist() == [["uttr-4.pt", "ben", "Public"]]
    (hw4 / "solution.csv").write_text("Id,Category,Usage\nuttr-4.pt,ben,Ignored\n")
    with pytest.raises(CompetitionError, match="line 2: Usage must be Public or Private, got 'Ignored'"):
        open_competition(hw4).solution()


def first(content):
    return content["speakers"]["anna"][0]


HW4_FAULTS = {
    "missing": (
        "metadata.json",
        lambda c: first(c).update(feature_path="gone.pt"),
        r"anna, row 0 \(gone.pt\): no such file",
    ),
    "leaves": ("metadata.json", lambda c: first(c).update(feature_path="../x.pt"), "leaves the competition's folder"),
    "absolute": (
        "metadata.json",
        lambda c: first(c).update(feature_path="/etc/passwd"),
        "leaves the competition's folder",
    ),
    "duplicate": (
        "metadata.json",
        lambda c: first(c).update(feature_path="uttr-2.pt"),
        r"ben, row 0 \(uttr-2.pt\): the same file as",
    ),
    "train and test": (
        "testdata.json",
        lambda c: c["utterances"][0].update(feature_path="uttr-1.pt"),
        "the same file as",
    ),
    "path type": ("metadata.json", lambda c: first(c).update(feature_path=7), r"row 0: must hold feature_path"),
    "length": ("metadata.json", lambda c: first(c).update(mel_len=0), "mel_len must be a positive whole number, got 0"),
    "length type": ("metadata.json", lambda c: first(c).update(mel_len=True), "whole number, got True"),
    "no utterances": (
        "metadata.json",
        lambda c: c["speakers"].update(anna=[]),
        "speaker anna: must be a list of at least one",
    ),
    "no speakers": ("metadata.json", lambda c: c.update(speakers={}), "speakers: must be an object"),
    "unmapped": (
        "mapping.json",
        lambda c: c["speaker2id"].pop("anna"),
        "speaker anna: is not in mapping.json|numbers must be",
    ),
    "numbers": ("mapping.json", lambda c: c["speaker2id"].update(anna=5), "numbers must be 0 to 1, each once"),
    "n_mels": ("testdata.json", lambda c: c.update(n_mels=41), "n_mels: must be metadata.json's 4, got 41"),
    "n_mels type": ("metadata.json", lambda c: c.update(n_mels="4"), "must be a positive whole number, got '4'"),
    "test": ("testdata.json", lambda c: c.update(utterances=None), "utterances: must be a list"),
}


@pytest.mark.parametrize("fault", HW4_FAULTS)
def test_hw4_fault_is_named(hw4, fault):
    name, edit, message = HW4_FAULTS[fault]
    change(hw4, name, edit)
    with pytest.raises(CompetitionError, match=message) as caught:
        open_competition(hw4)
    assert str(hw4) in str(caught.value)


def test_all_problems_are_told_at_once(hw4):
    (hw4 / "uttr-0.pt").unlink()
    (hw4 / "uttr-4.pt").write_bytes(b"")
    with pytest.raises(CompetitionError) as caught:
        open_competition(hw4)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("2 problems")
    assert "metadata.json: speaker anna, row 0 (uttr-0.pt): no such file on disk" in lines[1]
    assert "testdata.json: no test file can be used, such as uttr-4.pt: the file is empty" in lines[2]


def test_a_test_without_a_single_file_is_no_problem(hw4):
    """As before a notebook's second run; a single file that can't be used is one, above."""
    n_rows = len(json.loads((hw4 / "testdata.json").read_text())["utterances"])
    (hw4 / "uttr-4.pt").unlink()
    competition = open_competition(hw4)
    assert competition.test["fault"].tolist() == ["no such file on disk"] * n_rows
    note = f"there is no test file, so that all {n_rows} rows of testdata.json will be given the class priors"
    assert note in competition.notes


def test_the_same_file_under_another_spelling_is_a_duplicate(hw4):
    change(hw4, "metadata.json", lambda content: first(content).update(feature_path="./uttr-2.pt"))
    with pytest.raises(CompetitionError, match=r"ben, row 0 \(uttr-2.pt\): the same file as"):
        open_competition(hw4)


def test_a_class_named_like_a_column_is_refused(table):
    (table / "train.csv").write_text("file,keyword\na.wav,fold\nb.wav,no\n")
    with pytest.raises(CompetitionError, match="no class may be named id, fold, label, group, counts, got fold"):
        open_competition(table)


def test_a_link_out_of_the_folder_is_refused(hw4, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.pt"
    torch.save(torch.zeros(3, 4), outside)
    (hw4 / "uttr-0.pt").unlink()
    (hw4 / "uttr-0.pt").symlink_to(outside)
    with pytest.raises(CompetitionError, match="the link leaves the competition's folder"):
        open_competition(hw4)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "line 1: not JSON"), (b"[1]", "must be a JSON object, got list"), (b"\xff\xfe", "not UTF-8 text"),
     (b"[" * 100_000, "not JSON")],
)  # fmt: skip
def test_broken_json_is_named(hw4, content, message):
    (hw4 / "mapping.json").write_bytes(content)
    with pytest.raises(CompetitionError, match=f"mapping.json: {message}"):
        open_competition(hw4)


TABLE_FAULTS = {
    "missing": (
        "train.csv",
        "file,keyword\nzz.wav,yes\nb.wav,no\n",
        r"line 2 \(zz.wav\): no such file on disk: looked for train/zz",
    ),
    "duplicate": ("train.csv", "file,keyword\na.wav,yes\na.wav,no\n", r"line 3 \(a.wav\): the same file as line 2"),
    "leaves": ("train.csv", "file,keyword\n../../a.wav,yes\nb.wav,no\n", "leaves the competition's folder"),
    "column": ("train.csv", "file,word\na.wav,yes\nb.wav,no\n", "has no column 'keyword'"),
    "label": ("train.csv", "file,keyword\na.wav,\nb.wav,no\n", r"line 2 \(a.wav\): keyword is empty"),
    "classes": ("train.csv", "file,keyword\na.wav,no\nb.wav,no\n", "at least two classes"),
    "ragged": ("train.csv", "file,keyword\na.wav,yes,1\nb.wav,no\n", "line 2: must have 2 fields, got 3"),
    "twice": ("train.csv", "file,keyword,file\na.wav,yes,1\n", "a column is named twice"),
    "no rows": ("train.csv", "file,keyword\n", "a header and at least one row"),
    "binary": ("train.csv", "file,keyword\n\0\xff,a\n", "not a UTF-8 CSV"),
    "sample": ("sample_submission.csv", "file,a,b\nc.wav,0,1\n", "no column of labels: none holds classes of sample"),
    "leak": ("sample_submission.csv", "file,keyword\ntrain/a.wav,no\n", "train/a.wav is also a training file"),
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_table_fault_is_named(table, fault):
    name, content, message = TABLE_FAULTS[fault]
    (table / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(CompetitionError, match=message):
        open_competition(table)


def test_an_unknown_layout_names_the_known_ones(tmp_path):
    with pytest.raises(CompetitionError, match=r"no layout that is known here \(birdclef has .*, rfcx has train_tp"):
        open_competition(tmp_path)
    with pytest.raises(CompetitionError, match="not a folder"):
        open_competition(tmp_path / "gone")


def test_real_folders_open(shared_data):
    speakers = open_competition(shared_data / "speakers240")
    assert (len(speakers.train), len(speakers.test), len(speakers.classes)) == (3840, 960, 240)
    keywords = open_competition(shared_data / "keywords40")
    assert (len(keywords.train), len(keywords.test), len(keywords.classes)) == (2880, 720, 40)
    assert keywords.train["group"].nunique() == 24
    assert isinstance(keywords.train, pd.DataFrame)
