import pytest

from kit.competition.listing import Listing, Problems
from kit.competition.train_folders import read_train_folders
from tests.competition.table_folders import write_noise


def test_the_last_folder_is_the_label(tmp_path):
    for path in ("train/cat/a.wav", "train/audio/dog/a.flac", "nan/b.wav", "test/cat/t.wav", "testing/x/t.wav"):
        write_noise(tmp_path / path, 0.01)
    (tmp_path / "train/cat/notes.txt").write_text("x")
    problems = Problems(tmp_path)
    rows = read_train_folders(Listing(tmp_path), problems)
    assert rows[["path", "labels"]].to_numpy().tolist() == [
        ["nan/b.wav", ("nan",)], ["testing/x/t.wav", ("x",)], ["train/audio/dog/a.flac", ("dog",)],
        ["train/cat/a.wav", ("cat",)],
    ]  # fmt: skip
    assert (rows["id"] == rows["path"]).all() and (rows["where"] == rows["path"]).all() and not problems.found


@pytest.mark.parametrize("path", ["loose.wav", "train/loose.wav", "train/audio/loose.wav", "train_clips/loose.wav"])
def test_a_file_in_no_class_is_told(tmp_path, path):
    write_noise(tmp_path / path, 0.01)
    problems = Problems(tmp_path)
    read_train_folders(Listing(tmp_path), problems)
    (rule,) = problems.found
    assert rule.startswith(f"{path}: must lie in a folder named by its label, for there is no train.csv, got '")


def test_an_empty_file_is_told(tmp_path):
    write_noise(tmp_path / "cat/a.wav", 0.01)
    (tmp_path / "cat/a.wav").write_bytes(b"")
    problems = Problems(tmp_path)
    read_train_folders(Listing(tmp_path), problems)
    assert problems.found == ["cat/a.wav: the file is empty"]
