import copy
import os

import numpy as np
import pytest

from kit.data.feature_file import FeatureFile

ROWS = np.arange(300, dtype=np.float16).reshape(100, 3)
START, LENGTH = np.array([0, 90, 17]), np.array([8, 8, 5])
WANTED = np.stack([np.pad(ROWS[s : s + n], ((0, 8 - n), (0, 0))) for s, n in zip(START, LENGTH, strict=True)])


@pytest.fixture
def file(tmp_path) -> FeatureFile:
    (tmp_path / "features.bin").write_bytes(ROWS.tobytes())
    return FeatureFile(tmp_path / "features.bin")


def read(file: FeatureFile) -> np.ndarray:
    out = np.full((3, 8, 3), np.nan, np.float16)
    file.read(START, LENGTH, out)
    return out


def test_each_stretch_is_read_and_followed_by_zeros(file):
    np.testing.assert_array_equal(read(file), WANTED)


def test_a_copy_as_another_process_gets_it_reads_the_same(file):
    np.testing.assert_array_equal(read(copy.deepcopy(file)), WANTED)


def test_a_system_without_preadv_reads_the_same(file, monkeypatch):
    monkeypatch.delattr(os, "preadv")
    np.testing.assert_array_equal(read(file), WANTED)


def test_a_stretch_may_come_in_parts(file, monkeypatch):
    """Of an odd number of bytes each, as over a network."""
    whole, sizes = os.preadv, []

    def few(number, buffers, place):
        sizes.append(whole(number, [memoryview(buffers[0]).cast("B")[:7]], place))
        return sizes[-1]

    monkeypatch.setattr(os, "preadv", few)
    np.testing.assert_array_equal(read(file), WANTED)
    assert len(sizes) > 10 and set(sizes) > {7}


@pytest.mark.parametrize("left", [0, 585, 599])
def test_a_file_that_is_cut_short(file, left):
    os.truncate(file.path, left)
    with pytest.raises(ValueError, match=r"features.bin: cut short while it was read; delete the folder"):
        file.read(np.array([90]), np.array([10]), np.empty((1, 10, 3), np.float16))


def test_the_file_is_closed_with_its_last_holder(file):
    another = FeatureFile(file.path)
    number = another.number
    assert os.fstat(number).st_size == ROWS.nbytes
    del another
    with pytest.raises(OSError):
        os.fstat(number)
