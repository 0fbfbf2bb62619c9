"""The files of a competition's folder: listed once, checked against what its tables name."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from kit.competition.names import nfc, told
from kit.competition.strict_json import parse_json

ARCHIVES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".rar")
SHOWN = 20  # problems printed in full; the rest are counted


class CompetitionError(ValueError):
    """A folder that can't be opened as it stands: the message names file, row and rule."""


@dataclass(frozen=True)
class Entry:
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int  # which a change of content moves, and no program can set back


class Listing:
    """Every regular file below `folder`, by its relative POSIX path.

    A symbolic link counts only where its target is a file inside the folder: a data set is data from others, and a link
    is a way out of it. Hidden entries and __MACOSX, which file managers and notebooks leave behind, do not count.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise CompetitionError(f"{folder}: not a folder")
        self.entries: dict[str, Entry] = {}
        self._walk("")

    def _walk(self, below: str) -> None:
        with os.scandir(self.folder / below) as items:
            for item in sorted(items, key=lambda item: item.name):
                name = f"{below}/{item.name}" if below else item.name
                if _is_hidden(item.name):
                    continue
                if item.is_symlink() and not self._is_file_inside(item.path):
                    continue
                if item.is_dir(follow_symlinks=False):
                    self._walk(name)
                elif item.is_file():
                    stat = item.stat()
                    self.entries[name] = Entry(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def _is_file_inside(self, link: str) -> bool:
        """Without an error for a link to itself, which Path.resolve raises one for."""
        return Path(os.path.realpath(link)).is_relative_to(self.folder) and os.path.isfile(link)

    def __contains__(self, path: str) -> bool:
        return path in self.entries

    def below(self, folder: str) -> list[str]:
        """Paths of the files below one sub-folder."""
        return [path for path in self.entries if path.startswith(f"{folder}/")]

    def match(self, path: str) -> str | None:
        """The file of this name, also in another Unicode form or with its suffix in another case; None without one."""
        if path in self.entries:
            return path
        stem, suffix = _stem_and_suffix(path)
        paths = [name for name in self.with_stem(stem) if _stem_and_suffix(name)[1] == suffix]
        return paths[0] if len(paths) == 1 else None

    def with_stem(self, stem: str) -> list[str]:
        """The files that have this path, in any Unicode form, without their suffix."""
        return self._by_stem.get(nfc(stem), [])

    def of_name(self, name: str) -> list[str]:
        """The files of exactly this name, without folders, in any folder."""
        return self._by_name.get(name, [])

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for path in self.entries:
            groups.setdefault(path.rpartition("/")[2], []).append(path)
        return groups

    def in_any_folder(self, name: str) -> list[str]:
        """The files whose path ends with this name, as `match` takes one; without any, those whose path without its
        suffix does."""
        stem, suffix = _stem_and_suffix(name)
        paths = [path for path in self._ending_with(stem) if _stem_and_suffix(path)[1] == suffix]
        return paths or self._ending_with(nfc(name))

    def _ending_with(self, stem: str) -> list[str]:
        paths = self._by_last_part.get(stem.rpartition("/")[2], [])
        return [path for path in paths if f"/{_stem_and_suffix(path)[0]}".endswith(f"/{stem}")]

    @cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        return self._grouped(lambda stem: stem.rpartition("/")[2])

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return self._grouped(lambda stem: stem)

    @cached_property
    def _by_letters(self) -> dict[str, list[str]]:
        return self._grouped(str.casefold)

    def _grouped(self, key: Callable[[str], str]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for path in self.entries:
            groups.setdefault(key(_stem_and_suffix(path)[0]), []).append(path)
        return groups

    def path_fault(self, path: object) -> str | None:
        """The rule that the text of a path breaks, whatever lies on disk, or None."""
        if not isinstance(path, str) or not path.strip():
            return f"the path must be a non-empty string, got {path!r}"
        parts = PurePosixPath(path)
        if "\0" in path:
            return f"the path must hold no NUL, got {path!r}"
        if parts.is_absolute() or ".." in parts.parts or path[1:3] in (":\\", ":/"):
            return f"the path leaves the competition's folder: it must be relative to it, without .., got {told(path)}"
        if "\\" in path:
            return f"the path must have / between its folders, got {told(path)} with a backslash"
        return None

    def fault(self, path: Any) -> str | None:
        """The rule that a path from a table breaks, or None."""
        if rule := self.path_fault(path):
            return rule
        parts = PurePosixPath(path)
        if str(parts) in self.entries:
            return "the file is empty" if self.entries[str(parts)].size == 0 else None
        if hidden := next(filter(_is_hidden, parts.parts), None):
            return f"hidden entries are left out, such as {hidden}"
        return self._link_fault(parts) or self._missing(str(parts))

    def _link_fault(self, parts: PurePosixPath) -> str | None:
        """The rule that a link on the way to a file breaks, the file itself included."""
        for part in (*reversed(parts.parents), parts):
            link = self.folder / part
            if not os.path.islink(link):  # False, not an error, for a name too long to be one
                continue
            what = "the link" if part == parts else f"the link {part} on the way to it"
            if not os.path.exists(link):
                return f"{what} leads to no file"
            if not Path(os.path.realpath(link)).is_relative_to(self.folder):
                return f"{what} leaves the competition's folder"
            return f"{what} leads to a folder: only links to files are followed"
        return None

    def _missing(self, path: str) -> str:
        """That there is no such file, and which there are of a like name."""
        stem = _stem_and_suffix(path)[0].casefold()
        alike = self._by_letters.get(stem, []) or self._by_letters.get(nfc(path).casefold(), [])
        if alike:
            return f"no such file on disk, but {', '.join(map(told, alike[:3]))}"
        packed = [path for path in (f"{path.split('/')[0]}{suffix}" for suffix in ARCHIVES) if path in self.entries]
        return f"no such file on disk, but {packed[0]}, which must be unpacked" if packed else "no such file on disk"

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


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name not in (".", "..") or name == "__MACOSX"


def _stem_and_suffix(path: str) -> tuple[str, str]:
    """A path without its suffix, in one Unicode form, and the suffix in small letters."""
    stem, dot, suffix = nfc(path).rpartition(".")
    return (stem, dot + suffix.lower()) if dot and "/" not in suffix else (nfc(path), "")


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
