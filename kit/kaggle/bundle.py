"""The kit as one cell of a notebook: Kaggle takes a notebook's text and no other file, and its kernels have no net."""

import base64
import hashlib
import io
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path

import kit
from kit.kaggle import bootstrap

MOST_BYTES = 500_000  # of the cell; Kaggle names no limit, and far larger cells were seen to be taken
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
REGULAR = 0o100644 << 16


@dataclass(frozen=True)
class Bundle:
    """Files of a package by their path, the sha256 of names and contents, and a zip of them in base64.

    The sha256 is that of a run's env.json, so a kernel's run can be told to come from this very code.
    """

    files: dict[str, bytes]
    sha256: str
    payload: str

    @property
    def cell(self) -> str:
        """The source that puts the kit on sys.path."""
        source = Path(bootstrap.__file__).read_text(encoding="utf-8")
        lines = "\n".join(textwrap.wrap(self.payload, 120))
        return f'{source}\n\nstart("{self.sha256}", """\n{lines}\n""")'


def make_bundle(package: str | Path = Path(kit.__file__).parent) -> Bundle:
    """The package's Python files. The same files give the same bytes, whatever their times and order on disk.

    Raises ValueError where the package holds what would not travel, or the cell is too large.
    """
    files = _read(Path(package))
    digest, archive = hashlib.sha256(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, REGULAR  # as if on Unix, wherever it is made
            target.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
            digest.update(name.removeprefix("kit/").encode() + b"\0" + content)
    bundle = Bundle(files, digest.hexdigest(), base64.b64encode(archive.getvalue()).decode())
    if len(bundle.cell) >= MOST_BYTES:
        largest = sorted(files, key=lambda name: -len(files[name]))[:3]
        raise ValueError(
            f"the bundle must be under {MOST_BYTES} bytes, got {len(bundle.cell)}; the largest files are "
            + ", ".join(f"{name} ({len(files[name])})" for name in largest)
        )
    return bundle


def _read(package: Path) -> dict[str, bytes]:
    """Contents by path, caches and hidden files left out."""
    files = {}
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package)
        if path.is_dir() or any(part.startswith((".", "__pycache__")) for part in inside.parts):
            continue
        if path.suffix != ".py" or path.is_symlink():
            raise ValueError(f"{package}: must hold Python files alone, which is what is bundled, got {inside}")
        files[f"kit/{inside.as_posix()}"] = path.read_bytes()
    return files
