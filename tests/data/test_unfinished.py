import os
import threading

import pytest

from kit.data.unfinished import resuming


def test_it_becomes_the_folder(tmp_path):
    with resuming(tmp_path / "new" / "a") as beside:
        assert beside == tmp_path / "new" / "a.part"
        (beside / "x").write_text("1")
    assert (tmp_path / "new/a/x").read_text() == "1" and os.listdir(tmp_path / "new") == ["a"]


def test_an_error_leaves_nothing_and_an_interrupt_all(tmp_path):
    with pytest.raises(ValueError), resuming(tmp_path / "a") as beside:
        (beside / "x").write_text("1")
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), resuming(tmp_path / "a") as beside:
        (beside / "x").write_text("1")
        raise KeyboardInterrupt
    with resuming(tmp_path / "a") as beside:
        assert (beside / "x").read_text() == "1"
        (beside / "y").write_text("2")
    assert sorted(os.listdir(tmp_path / "a")) == ["x", "y"] and os.listdir(tmp_path) == ["a"]


def test_a_full_disk_is_told_with_the_folder(tmp_path):
    with pytest.raises(OSError, match="No space left on device: '.*/a'"), resuming(tmp_path / "a"):
        raise OSError(28, "No space left on device")


def test_another_one_waits_and_finds_the_folder(tmp_path):
    """As two processes would that pack the same: a lock is one of an opening, not of a process."""
    seen, inside = [], threading.Event()

    def second():
        inside.wait()
        with resuming(tmp_path / "a") as beside:
            seen.append((tmp_path / "a" / "x").exists())
            (beside / "x").write_text("2")

    thread = threading.Thread(target=second)
    thread.start()
    with resuming(tmp_path / "a") as beside:
        (beside / "x").write_text("1")
        inside.set()
        thread.join(0.2)
        assert thread.is_alive() and not seen
    thread.join()
    assert seen == [True] and (tmp_path / "a/x").read_text() == "1" and os.listdir(tmp_path) == ["a"]


def test_without_locks_each_makes_its_own(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def unknown(*arguments):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with resuming(tmp_path / "a") as first:
        (first / "x").write_text("1")
        with resuming(tmp_path / "a") as second:
            assert second != first and second.name.endswith(".part") and not list(second.iterdir())
            (second / "x").write_text("2")
    assert (tmp_path / "a/x").read_text() == "2", "the first to finish"
