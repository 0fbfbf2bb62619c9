"""The kit as one cell of a notebook: Kaggle takes a notebook's text and no other file, and its kernels have no net.

Along go the notebook's own modules, which lie beside it. What serves one notebook alone (kit/studies, kit/demos) goes
along where the notebook's imports lead there.
"""

import ast
import base64
import hashlib
import io
import lzma
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import kit
from kit.kaggle import bootstrap
from kit.sources import hashes

MOST_BYTES = 500_000  # of the cell; Kaggle names no limit, and far larger cells were seen to be taken
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
TYPES = ("__init__.pyi", "py.typed")
REGULAR = 0o100644 << 16
OPTIONAL = ("kit/studies/", "kit/demos/")
COMMANDS = ("kit/commands.py", "kit/__main__.py")  # whose imports no kernel runs


@dataclass(frozen=True)
class Bundle:
    """Files of the kit and of one's own by their path, the sha256 of the kit's names and contents, and all as text.

    The sha256 is that of a run's env.json in the kernel, so a run can be told to come from this very code. own is the
    sha256 of each file that is not the kit's.
    """

    files: dict[str, bytes]
    sha256: str
    own: dict[str, str]
    payload: str

    @property
    def cell(self) -> str:
        """The source that puts the kit, and one's own modules, on sys.path."""
        source = Path(bootstrap.__file__).read_text(encoding="utf-8")
        lines = "\n".join(self.payload[first : first + 120] for first in range(0, len(self.payload), 120))
        own = f", {self.own!r}" if self.own else ""
        return f'{source}\n\nstart("{self.sha256}", """\n{lines}\n"""{own})'


def make_bundle(
    package: str | Path = Path(kit.__file__).parent,
    code: str | None = None,
    own: Mapping[str, bytes] | None = None,
) -> Bundle:
    """The package's Python files. The same files give the same bytes, whatever their times and order on disk.

    code is a notebook's: rooms of OPTIONAL that its imports don't lead to are left out; None takes all. own are other
    sources by their POSIX path, such as kit.sources.collect gives. Raises ValueError where the package holds what would
    not travel, a file of one's own takes the kit's place, or the cell is too large.
    """
    files, own = _read(Path(package)), dict(own or {})
    for name in own:
        if not name.endswith(".py") or name.split("/")[0] in ("kit", "kit.py"):
            raise ValueError(f"a file of one's own must be a Python file outside kit/, got {name}")
    if code is not None:
        needed = _needed(files, [code, *(content.decode("utf-8") for content in own.values())])
        files = {name: content for name, content in files.items() if name in needed}
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.removeprefix("kit/").encode() + b"\0" + content)
    files |= dict(sorted(own.items()))
    payload = base64.b64encode(_archive(tuple(files.items()))).decode()
    bundle = Bundle(files, digest.hexdigest(), hashes(own), payload)
    if len(bundle.cell) >= MOST_BYTES:
        largest = sorted(files, key=lambda name: -len(files[name]))[:3]
        raise ValueError(
            f"the bundle must be under {MOST_BYTES} bytes, got {len(bundle.cell)}; the largest files are "
            + ", ".join(f"{name} ({len(files[name])})" for name in largest)
        )
    return bundle


def own_modules(code: str, folder: Path) -> dict[str, bytes]:
    """The modules beside a notebook that its code imports, and those that they import, by their POSIX path."""
    files: dict[str, bytes] = {}
    for name in sorted(imported_names(code)):
        _add_own(name.split(".")[0], folder, files)
    return files


@cache
def imported_names(code: str) -> frozenset[str]:
    """Dotted names that a text may import: of `from a.b import c` both a.b and a.b.c."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _needed(files: dict[str, bytes], texts: list[str]) -> set[str]:
    """Paths of the kit's files but those of OPTIONAL that no text leads to, directly or by another such file."""
    needed = {name for name in files if not name.startswith(OPTIONAL)}
    texts = [*texts, *(files[name].decode("utf-8") for name in sorted(needed) if name not in COMMANDS)]
    while texts:
        for name in imported_names(texts.pop()):
            path = name.replace(".", "/")
            packages = [f"{path.rsplit('/', depth)[0]}/__init__.py" for depth in range(1, path.count("/") + 1)]
            for file in (f"{path}.py", f"{path}/__init__.py", *packages):
                if file in files and file not in needed:
                    needed.add(file)
                    texts.append(files[file].decode("utf-8"))
    return needed


def _add_own(name: str, folder: Path, files: dict[str, bytes]) -> None:
    package = folder / name
    paths = sorted(package.rglob("*.py")) if (package / "__init__.py").is_file() else [folder / f"{name}.py"]
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}
    if name == "kit" or contents.keys() <= files.keys():
        return
    files.update(contents)
    for content in contents.values():
        for other in imported_names(content.decode("utf-8")):
            _add_own(other.split(".")[0], folder, files)


@lru_cache(4)  # of several pushes in a row, most carry the same
def _archive(files: tuple[tuple[str, bytes], ...]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for name, content in files:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, REGULAR  # as if on Unix, wherever it is made
            target.writestr(entry, content, zipfile.ZIP_STORED)
    return lzma.compress(archive.getvalue())  # all files at once: less than half of what each by itself would take


def _read(package: Path) -> dict[str, bytes]:
    """Contents by path, caches, hidden files and what is for type checkers left out."""
    files = {}
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package)
        if path.is_dir() or any(part.startswith((".", "__pycache__")) for part in inside.parts):
            continue
        if inside.as_posix() in TYPES:
            continue
        if path.suffix != ".py" or path.is_symlink():
            raise ValueError(f"{package}: must hold Python files alone, which is what is bundled, got {inside}")
        files[f"kit/{inside.as_posix()}"] = path.read_bytes()
    return files
