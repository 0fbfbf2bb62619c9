"""In a kernel: the files that were sent along with it, found under whatever mount, each held to its sha256.

Kaggle takes no folders, so a file there bears the beginning of its sha256 before its name, and sha256.json tells its
path. The kernel knows the sha256 of that list, and so takes no other version of the files than the one it was made for.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kit.kaggle.inputs import DEPTH, holds_data, input_root

LIST = "sha256.json"
WHEELS = "wheels"
SHOWN = 12  # characters of a sha256 in a name or a message


def flat_name(path: str, sha256: str) -> str:
    """What a file is called at Kaggle, whose names hold no odd characters."""
    return f"{sha256[:SHOWN]}-{re.sub('[^A-Za-z0-9._-]+', '-', PurePosixPath(path).name)}"


def find_weights(sha256: str, source: str) -> str:
    """Where the attached files lie, by their paths: the file, where it is one alone, else their folder.

    sha256 is that of their list, source what they are called at Kaggle. Raises ValueError in one line where they are
    not attached, of another version, or not as they were sent.
    """
    folder = _find(sha256, source)
    files = json.loads((folder / LIST).read_bytes())
    home = Path(tempfile.mkdtemp(prefix="weights-"))
    for path, digest in files.items():
        _copy(folder / flat_name(path, digest), path, digest, home)
    print(f"weights: {source}, {len(files)} files as they were sent, sha256 {sha256[:SHOWN]}")
    return str(home / next(iter(files)) if len(files) == 1 else home)


def runs_in(weights: str | Path) -> list[Path]:
    """The folders of the attached runs, in the order in which they were given."""
    return sorted(Path(weights).glob("runs/[0-9]*/*"))


def _find(sha256: str, source: str) -> Path:
    """The folder that holds the list of this sha256."""
    root, others = input_root(), []
    for path in _files(root, DEPTH):
        if path.name == LIST:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest == sha256:
                return path.parent
            others.append(f"{path.parent.relative_to(root)} ({digest[:SHOWN]})")
    if others:
        raise ValueError(
            f"weights: {source} must be attached as it was sent with this kernel ({LIST} of sha256 {sha256[:SHOWN]}), "
            f"got {', '.join(others)}; push again"
        )
    raise ValueError(f"weights: {source} must be attached to this kernel, got no {LIST} below {root}")


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Files so many folders down, those of a competition's data left out, of which there are many."""
    if depth < 0 or not folder.is_dir() or (holds_data(folder) and not (folder / LIST).is_file()):
        return
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    yield from (Path(entry.path) for entry in entries if entry.is_file())
    for entry in entries:
        if entry.is_dir():
            yield from _files(Path(entry.path), depth - 1)


def _copy(source: Path, path: str, sha256: str, home: Path) -> None:
    target = home / path
    if not target.resolve().is_relative_to(home.resolve()):
        raise ValueError(f"{source.parent / LIST}: must name paths below one folder, got {path!r}")
    if not source.is_file():
        raise ValueError(f"{source.parent}: must hold {source.name}, which is {path}; {LIST} lists it")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise ValueError(
            f"{source}: must have sha256 {sha256[:SHOWN]} as {path} had when it was sent, got {digest[:SHOWN]}"
        )
