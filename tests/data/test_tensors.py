import numpy as np
import pytest
import torch

from kit.data import tensors
from kit.data.tensors import mel_dtype, read_mels


@pytest.fixture
def paths(tmp_path):
    """Eleven files: the fourth is no tensor's, the seventh is not there, the ninth has 7 frames where 5 are wanted."""
    paths = [tmp_path / f"{number}.pt" for number in range(11)]
    for number, path in enumerate(paths):
        torch.save(torch.full((7 if number == 8 else 5, 40), float(number)), path)
    paths[3].write_text("noise")
    paths[6].unlink()
    return paths


@pytest.mark.parametrize(("files", "size"), [(64, 1 << 26), (3, 1 << 26), (64, 1), (64, 5000)])
def test_files_that_are_read_ahead_come_in_order(paths, monkeypatch, files, size):
    monkeypatch.setattr(tensors, "AHEAD_FILES", files)
    monkeypatch.setattr(tensors, "AHEAD_BYTES", size)
    sizes = [path.stat().st_size if path.exists() else 2000 for path in paths]
    found = list(read_mels(paths, sizes, [(5, 40)] * 11, "float32"))
    assert found[3] == "not a tensor file that can be read safely (UnpicklingError)"
    assert found[6] == "not a tensor file that can be read safely (FileNotFoundError)"
    assert found[8] == "must have shape (5, 40) (mel_len, n_mels), got (7, 40)"
    for number in {*range(11)} - {3, 6, 8}:
        np.testing.assert_array_equal(found[number], np.full((5, 40), number, np.float32))


def test_no_more_is_read_ahead_than_said(paths, monkeypatch):
    read = []
    whole = tensors._content
    monkeypatch.setattr(tensors, "AHEAD_FILES", 4)
    monkeypatch.setattr(tensors, "_content", lambda path: read.append(path) or whole(path))
    mels = read_mels(paths, [100] * 11, [(5, 40)] * 11, "float32")
    for number in range(11):
        next(mels)
        assert len(read) <= 4 * (number // 4 + 1)
    assert sorted(read) == sorted(paths)


def test_a_folder_is_kept_as_its_first_file_is(tmp_path):
    torch.save(torch.zeros(2, 3, dtype=torch.float16), tmp_path / "half.pt")
    torch.save(torch.zeros(2, 3, dtype=torch.float64), tmp_path / "double.pt")
    kept = [mel_dtype(tmp_path / name) for name in ("half.pt", "double.pt", "none.pt")]
    assert kept == ["float16", "float32", "float32"]
