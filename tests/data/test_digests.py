import hashlib
import os
import shutil
import time

import pytest

from kit.competition.listing import Listing
from kit.data import digests as digests_module
from kit.data.digests import file_digests, remember


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "deep/b", "c"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
    return tmp_path / "data"


@pytest.fixture
def hashed(monkeypatch):
    """The names of the files that were read, in order."""
    names, plain = [], digests_module._digest
    monkeypatch.setattr(digests_module, "_digest", lambda path: names.append(path.name) or plain(path))
    return names


def kept(folder, cache, paths=("a", "deep/b", "c")):
    listing = Listing(folder)
    found = file_digests(listing, paths, cache)
    (cache / "store").mkdir(parents=True, exist_ok=True)
    remember(listing, found, cache / "store")
    return found


def test_digests_are_of_the_whole_content(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(digests_module, "SMALL", 150)  # of 100, 600 and 100 bytes
    found = file_digests(Listing(folder), ["a", "deep/b", "gone", "a"], tmp_path / "cache")
    expected = [hashlib.sha256(b"a" * 100).hexdigest(), hashlib.sha256(b"deep/b" * 100).hexdigest(), ""]
    assert found == dict(zip(["a", "deep/b", "gone"], expected, strict=True))


def test_what_is_left_alone_is_read_once(folder, tmp_path, hashed):
    first = kept(folder, tmp_path / "cache")
    assert sorted(hashed) == ["a", "b", "c"]
    assert kept(folder, tmp_path / "cache") == first and len(hashed) == 3
    (folder / "a").write_bytes(b"b" * 100)  # as long as before
    assert kept(folder, tmp_path / "cache")["a"] != first["a"] and hashed[3:] == ["a"]


def test_a_change_that_sets_its_time_back_is_seen(folder, tmp_path, hashed):
    first, stat = kept(folder, tmp_path / "cache"), (folder / "a").stat()
    time.sleep(0.02)  # a clock's step
    (folder / "a").write_bytes(b"b" * 100)
    os.utime(folder / "a", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert kept(folder, tmp_path / "cache")["a"] != first["a"]


def test_touched_and_copied_files_have_the_same_digests(folder, tmp_path, hashed):
    first = kept(folder, tmp_path / "cache")
    os.utime(folder / "a", (1, 1))
    assert kept(folder, tmp_path / "cache") == first and hashed[3:] == ["a"]
    shutil.copytree(folder, tmp_path / "copy")
    assert kept(tmp_path / "copy", tmp_path / "cache") == first and len(hashed) == 7
    assert kept(folder, tmp_path / "cache") == first and len(hashed) == 7, "a folder's memory is its own"


def test_a_memory_cut_short_is_no_fault(folder, tmp_path, hashed):
    first = kept(folder, tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("*/digests-*.parquet")
    path.write_bytes(path.read_bytes()[:50])
    assert kept(folder, tmp_path / "cache") == first and len(hashed) == 6


def test_a_store_that_can_not_be_written_to_is_no_fault(folder, tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(digests_module, "replacing", full)
    assert len(kept(folder, tmp_path / "cache")) == 3
    assert not list((tmp_path / "cache").glob("*/digests-*"))
