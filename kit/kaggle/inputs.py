"""Where a kernel's data is: by the files that lie there, because Kaggle's mounts have moved before.

Seen so far, below /kaggle/input: competitions/<slug>/, datasets/<owner>/<slug>/, notebooks/<owner>/<slug>/,
models/<owner>/<model>/<framework>/<variation>/<version>/, and the older <slug>/ alone.
"""

import os
from pathlib import Path

from kit.competition.competition import LAYOUTS

INPUT = "/kaggle/input"
DEPTH = 6  # folders below the input that are looked into; models, the deepest mount, lie at 6


def find_data(*slugs: str) -> str:
    """The folder of the first of `slugs` (a competition, then datasets) that holds data of a layout known here.

    Where no folder bears one of the names, the only folder with data will do. KIT_DATA in the environment names the
    folder outright, KIT_INPUT another root than /kaggle/input. Raises ValueError where none or several are left.
    """
    if named := os.environ.get("KIT_DATA"):
        return named
    root = input_root()
    folders = _marked(root, DEPTH)
    for slug in slugs:
        name = slug.rsplit("/", 1)[-1].lower()
        own = [path for path in folders if name in (part.lower() for part in path.relative_to(root).parts)]
        if own:
            folders = own
            break
    if len(folders) != 1:
        markers = " or ".join(marker for markers, _ in LAYOUTS.values() for marker in markers)
        got = ", ".join(str(path.relative_to(root)) for path in folders) or "none"
        raise ValueError(
            f"one folder below {root} must hold {' or '.join(slugs)} ({markers}, or images), got {got}; "
            "attach the data, or set KIT_DATA to its folder"
        )
    return str(folders[0])


def input_root() -> Path:
    """Where what is attached lies."""
    return Path(os.environ.get("KIT_INPUT", INPUT))


def _marked(folder: Path, depth: int) -> list[Path]:
    """The folders that look like data; what lies inside such a folder belongs to it."""
    if holds_data(folder):
        return [folder]
    if depth == 0 or not folder.is_dir():
        return []
    below = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir())
    return [marked for path in below for marked in _marked(Path(path), depth - 1)]


def holds_data(folder: Path) -> bool:
    """A marker file of a layout, or what find_images asks for, told without listing every file."""
    marked = any((folder / marker).is_file() for markers, _ in LAYOUTS.values() for marker in markers)
    classes = folder / "train"
    return (
        marked
        or len(list(folder.glob("*.parquet"))) == 1
        or (classes.is_dir() and any(path.is_dir() for path in classes.iterdir()))
    )
