import base64
import io
import lzma
import os
import shutil
import zipfile
from pathlib import Path

import pytest

import kit
from kit.kaggle import bundle as bundle_module
from kit.kaggle.bootstrap import start, unpacked
from kit.kaggle.bundle import make_bundle
from kit.training.identity import kit_sha256


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "kit"
    (folder / "data").mkdir(parents=True)
    (folder / "__main__.py").write_text("")
    (folder / "data/b.py").write_text("b = 2\n")
    (folder / "a.py").write_text("a = 1\n")
    return folder


def test_the_bundle_is_the_kit_and_has_the_sha256_of_a_runs_record():
    bundle = make_bundle()
    folder = Path(kit.__file__).parent
    wanted = {f"kit/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*.py")}
    assert bundle.files == wanted and unpacked(bundle.sha256, bundle.payload) == wanted
    assert bundle.sha256 == kit_sha256()
    assert len(bundle.cell) < 500_000


def test_the_same_files_give_the_same_bytes(package, tmp_path):
    first = make_bundle(package)
    again = tmp_path / "again/kit"
    for path in sorted(package.rglob("*.py"), reverse=True):  # another order on disk, other times, other modes
        target = again / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        os.utime(target, (1, 1))
        target.chmod(0o700)
    for extra in ("__pycache__/a.cpython-311.pyc", ".ipynb_checkpoints/a.py", ".a.py.swp"):
        (again / extra).parent.mkdir(exist_ok=True)
        (again / extra).write_bytes(b"0")
    assert make_bundle(again) == first
    assert list(first.files) == ["kit/__main__.py", "kit/a.py", "kit/data/b.py"]
    archive = zipfile.ZipFile(io.BytesIO(lzma.decompress(base64.b64decode(first.payload))))
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    (again / "a.py").write_text("a = 2\n")
    assert make_bundle(again).sha256 != first.sha256


def test_what_is_for_type_checkers_stays_at_home(package):
    before = make_bundle(package)
    (package / "py.typed").touch()
    (package / "__init__.pyi").write_text("a: int\n")
    assert make_bundle(package) == before


def test_what_would_not_travel_is_told(package):
    (package / "words.txt").write_text("x")
    with pytest.raises(ValueError, match=r"must hold Python files alone, which is what is bundled, got words.txt"):
        make_bundle(package)
    (package / "words.txt").unlink()
    (package / "link.py").symlink_to(package / "a.py")
    with pytest.raises(ValueError, match=r"got link.py"):
        make_bundle(package)


def test_a_bundle_that_is_too_large_names_the_largest(package, monkeypatch):
    monkeypatch.setattr(bundle_module, "MOST_BYTES", 4000)
    (package / "big.py").write_bytes(os.urandom(3000).hex().encode())
    with pytest.raises(
        ValueError, match=r"must be under 4000 bytes, got \d{4}; the largest files are kit/big.py \(6000\)"
    ):
        make_bundle(package)


def test_the_cell_puts_the_kit_on_the_path_where_there_is_no_checkout(package, tmp_path, monkeypatch, capsys):
    bundle = make_bundle(package)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("PYTHONPATH", "before")
    monkeypatch.setattr("sys.path", ["elsewhere"])
    (tmp_path / "kit").rename(tmp_path / "away")  # else the work folder would lie in a checkout
    home = start(bundle.sha256, bundle.payload)
    assert (home / "kit/data/b.py").read_text() == "b = 2\n" and not home.is_relative_to(tmp_path / "work")
    assert os.environ["PYTHONPATH"] == f"{home}{os.pathsep}before"
    out = capsys.readouterr().out
    assert out == f"kit: the bundle's, sha256 {bundle.sha256}, 3 files\nkit/__main__.py kit/a.py kit/data/b.py\n"
    names = {}
    exec(bundle.cell, names)  # the text as it is sent, which needs nothing that is not in it
    assert names["start"] is not start and capsys.readouterr().out == out


def test_ones_own_files_lie_beside_the_kit(package, tmp_path, monkeypatch, capsys):
    own = {"mine.py": b"share = 0.25\n", "tools/more.py": b"x = 1\n"}
    bundle = make_bundle(package, own=own)
    assert bundle.sha256 == make_bundle(package).sha256, "the kit's own files alone, as a run's record has it"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "kit").rename(tmp_path / "away")
    home = start(bundle.sha256, bundle.payload, bundle.own)
    assert all((home / name).read_bytes() == content for name, content in own.items())
    names = {}
    exec(bundle.cell, names)
    assert "5 files" in capsys.readouterr().out.splitlines()[-2]
    with pytest.raises(ValueError, match=r"mine.py of the bundle must have sha256 00"):
        unpacked(bundle.sha256, bundle.payload, bundle.own | {"mine.py": "0" * 64})
    with pytest.raises(ValueError, match=r"must hold regular files below kit/, got 'tools/more.py'"):
        unpacked(bundle.sha256, bundle.payload, {"mine.py": bundle.own["mine.py"]})
    for name in ("kit/a.py", "kit.py", "words.txt"):
        with pytest.raises(ValueError, match=f"must be a Python file outside kit/, got {name}"):
            make_bundle(package, own={name: b""})


def test_the_checkout_comes_first(package, tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr("sys.path", [])
    assert start("0" * 64, "not even read") == tmp_path == Path.cwd()
    assert capsys.readouterr().out == "kit: the checkout's\n"


def archive(name, content=b"x", mode=0o100644):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        file.writestr(entry, content)
    return base64.b64encode(lzma.compress(target.getvalue())).decode()


@pytest.mark.parametrize("name", ["../kit/a.py", "/kit/a.py", "kit/../../a.py", "kit\\..\\a.py", "other/a.py", "a.py"])
def test_a_file_that_would_lie_elsewhere_is_refused(name):
    with pytest.raises(ValueError, match="the bundle must hold regular files below kit/, got "):
        unpacked("0" * 64, archive(name))


def test_a_link_another_content_and_a_bomb_are_refused():
    with pytest.raises(ValueError, match="regular files below kit/, got 'kit/a.py'"):
        unpacked("0" * 64, archive("kit/a.py", b"/etc/passwd", 0o120777))
    with pytest.raises(ValueError, match="must have sha256 00.*, got [1-9a-f]"):
        unpacked("0" * 64, archive("kit/a.py"))
    with pytest.raises(ValueError, match="must unpack to at most 5000000 bytes, got 6000000"):
        unpacked("0" * 64, archive("kit/a.py", bytes(6_000_000)))
    for payload in ("no base64", base64.b64encode(b"no archive").decode(), archive("kit/a.py", bytes(20_000_000))):
        with pytest.raises(ValueError, match="must be a compressed zip archive in base64"):
            unpacked("0" * 64, payload)
