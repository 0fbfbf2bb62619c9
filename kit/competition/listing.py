"""The files of a competition's folder: listed once, checked against what its tables name."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kit.competition.strict_json import parse_json

SHOWN = 20  # problems printed in full; the rest are counted


class CompetitionError(ValueError):
    """A folder that can't be opened as it stands: the message names file, row and rule."""


@dataclass(frozen=True)
class Entry:
    size: int  # bytes
    mtime_ns: int


class Listing:
    """Every regular file below `folder`, by its relative POSIX path.

    A symbolic link counts only where its target stays inside the folder: a data set is data from others,
    and a link is a way out of it.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise CompetitionError(f"{folder}: not a folder")
        self.entries: dict[str, Entry] = {}
        self._walk("")

    def _walk(self, below: str) -> None:
        with os.scandir(self.folder / below) as found:
            for item in sorted(found, key=lambda item: item.name):
                name = f"{below}/{item.name}" if below else item.name
                if item.is_symlink() and not self._is_file_inside(item.path):
                    continue
                if item.is_dir(follow_symlinks=False):
                    self._walk(name)
                elif item.is_file():
                    stat = item.stat()
                    self.entries[name] = Entry(stat.st_size, stat.st_mtime_ns)

    def _is_file_inside(self, link: str) -> bool:
        """Without an error for a link to itself, which Path.resolve raises one for."""
        return Path(os.path.realpath(link)).is_relative_to(self.folder) and os.path.isfile(link)

    def __contains__(self, path: str) -> bool:
        return path in self.entries

    def below(self, folder: str) -> list[str]:
        """Paths of the files below one sub-folder."""
        return [path for path in self.entries if path.startswith(f"{folder}/")]

    def fault(self, path: object) -> str | None:
        """The rule that a path from a table breaks, or None."""
        if not isinstance(path, str) or not path.strip():
            return f"the path must be a non-empty string, got {path!r}"
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
            return "the path leaves the competition's folder"
        if str(parts) not in self.entries:
            link = os.path.islink(self.folder / path)  # False, not an error, for a name too long to be one
            return "the link leaves the competition's folder, or leads to no file" if link else "no such file on disk"
        return "the file is empty" if self.entries[str(parts)].size == 0 else None

    def read_json(self, name: str) -> dict:
        """A JSON object from the folder. Raises CompetitionError naming file and line."""
        if rule := self.fault(name):
            raise CompetitionError(f"{self.folder}/{name}: {rule}")
        try:
            content = parse_json((self.folder / name).read_bytes())
        except ValueError as error:
            raise CompetitionError(f"{self.folder}/{name}: {error}") from None
        if not isinstance(content, dict):
            raise CompetitionError(f"{self.folder}/{name}: must be a JSON object, got {type(content).__name__}")
        return content


class Problems:
    """Collects what is wrong, so that one error tells all of it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.found: list[str] = []

    def add(self, where: str, rule: str) -> None:
        self.found.append(f"{where}: {rule}")

    def raise_if_any(self) -> None:
        if self.found:
            more = [f"… and {len(self.found) - SHOWN} more"] if len(self.found) > SHOWN else []
            lines = "\n  ".join(self.found[:SHOWN] + more)
            plural = "problem" if len(self.found) == 1 else "problems"
            raise CompetitionError(f"{self.folder}: {len(self.found)} {plural}\n  {lines}")
