import errno
import os

import pytest

from kit.atomic import link, making, replacing


def test_a_block_that_raises_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as beside:
        beside.write_text("half")
        raise KeyError("mine")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("writing", [replacing, making])
def test_a_full_disk_is_told_with_the_name(tmp_path, writing):
    """Of another file's error the name stays."""
    with pytest.raises(OSError, match=r"No space left on device: '.*/a'$"), writing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match=r"No space left on device: 'other'$"), writing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "other")
    assert not list(tmp_path.iterdir())


def test_dev_full(tmp_path):
    """The kernel's own word for it."""
    told = pytest.raises(OSError, match=r"No space left on device: '.*/a'$")
    with told, replacing(tmp_path / "a"), open("/dev/full", "wb") as file:
        file.write(b"1" * 100_000)


def test_a_folder_is_there_when_it_is_whole(tmp_path):
    with making(tmp_path / "a") as beside:
        (beside / "x").write_text("1")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a/x").read_text() == "1" and os.listdir(tmp_path) == ["a"]


def test_what_a_killed_maker_left_goes_and_what_a_living_one_makes_stays(tmp_path):
    stray = tmp_path / "a-stray.part"
    stray.mkdir()
    (stray / "x").write_text("half")
    other = tmp_path / "b-stray.part"
    other.mkdir()
    with making(tmp_path / "a") as first:
        assert not stray.exists() and other.exists()
        (first / "x").write_text("first")
        with making(tmp_path / "a") as second:
            assert first.exists()
            (second / "x").write_text("second")
    assert (tmp_path / "a/x").read_text() == "second", "the first to end stays"
    assert sorted(os.listdir(tmp_path)) == ["a", "b-stray.part"]


def test_a_file_in_the_folders_place_is_told(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(OSError, match="a'"), making(tmp_path / "a") as beside:
        (beside / "x").write_text("1")
    assert (tmp_path / "a").read_text() == "mine" and os.listdir(tmp_path) == ["a"]


def test_a_file_is_linked_or_where_that_can_not_be_copied(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("all of it")
    link(tmp_path / "a", tmp_path / "new/b")
    assert (tmp_path / "new/b").samefile(tmp_path / "a")

    def refuse(*_):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    link(tmp_path / "a", tmp_path / "other/c")
    assert (tmp_path / "other/c").read_text() == "all of it" and not (tmp_path / "other/c").samefile(tmp_path / "a")
