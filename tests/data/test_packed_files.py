import json
import os

import numpy as np
import pytest

from kit.data import packed_files
from kit.data.packed_files import PackedFile, PackedFiles
from kit.data.rows import Recording

ITEMS = [np.full((n, 2), n, np.float16) for n in (3, 5, 1, 4)]


def recording(features: np.ndarray) -> Recording:
    return Recording(features, *features.shape, str(features.dtype), samples=10 * len(features), note="odd")


def lines(folder):
    return (folder / "packed.jsonl").read_text().splitlines()


@pytest.fixture
def whole(tmp_path):
    """A folder as of an undisturbed life, with a file that can't be used."""
    with PackedFiles(tmp_path) as packed:
        for item in (recording(ITEMS[0]), "must be so", *map(recording, ITEMS[1:])):
            packed.add(item)
    return packed


def test_features_lie_end_to_end(whole, tmp_path):
    found = np.fromfile(tmp_path / "features.bin", np.float16).reshape(-1, 2)
    np.testing.assert_array_equal(found, np.concatenate(ITEMS))
    assert [(file.start, file.units, file.fault) for file in whole.files] == [
        (0, 3, ""), (3, 0, "must be so"), (3, 5, ""), (8, 1, ""), (9, 4, ""),
    ]  # fmt: skip
    assert whole.shape(width=7) == {"total": 13, "width": 2, "dtype": "float16"}
    assert whole.files[2] == PackedFile(3, 5, 2, "float16", 50, "odd", "") and whole.files[2].bytes == 20
    whole.forget()
    assert os.listdir(tmp_path) == ["features.bin"]


@pytest.mark.parametrize("told", range(6))
@pytest.mark.parametrize("cut", ["between", "in a line"])
def test_a_next_life_goes_on_after_what_the_journal_tells(whole, tmp_path, told, cut):
    """Whatever lies behind it in either file."""
    bytes_, all_lines = (tmp_path / "features.bin").read_bytes(), lines(tmp_path)
    rest = all_lines[told][:9] if cut == "in a line" and told < 5 else ""
    (tmp_path / "packed.jsonl").write_text("".join(f"{line}\n" for line in all_lines[:told]) + rest)
    with (tmp_path / "features.bin").open("ab") as file:
        file.write(b"a part of the next")
    with PackedFiles(tmp_path) as packed:
        assert packed.files == whole.files[:told]
        for item in [recording(ITEMS[0]), "must be so", *map(recording, ITEMS[1:])][told:]:
            packed.add(item)
    assert (tmp_path / "features.bin").read_bytes() == bytes_ and lines(tmp_path) == all_lines
    assert packed.files == whole.files


def test_features_that_are_shorter_than_told_are_begun_anew(whole, tmp_path):
    os.truncate(tmp_path / "features.bin", 50)
    assert PackedFiles(tmp_path).files == []
    assert (tmp_path / "features.bin").stat().st_size == (tmp_path / "packed.jsonl").stat().st_size == 0


def test_the_journal_is_behind_the_features(tmp_path, monkeypatch):
    """A line is written when what it tells of is on disk, every CONFIRM_SECONDS and at the end; not after an error."""
    now = [100.0]
    monkeypatch.setattr(packed_files.time, "monotonic", lambda: now[0])
    with pytest.raises(KeyError), PackedFiles(tmp_path) as packed:
        packed.add(recording(ITEMS[0]))
        assert lines(tmp_path) == []
        now[0] += packed_files.CONFIRM_SECONDS + 0.1
        packed.add(recording(ITEMS[1]))
        assert [json.loads(line)[:2] for line in lines(tmp_path)] == [[0, 3], [3, 5]]
        assert (tmp_path / "features.bin").stat().st_size == 8 * 4
        packed.add(recording(ITEMS[2]))
        raise KeyError
    assert len(lines(tmp_path)) == 2
