"""The features of files, end to end in one file, with a journal by which a kill costs some seconds of work.

    features.bin     rows of features: of all files so far, and perhaps a part of the next
    packed.jsonl     a line a file that is safely on disk: the fields of PackedFile

A line is written once the disk has confirmed the features that it tells of. Whoever goes on cuts off what no line tells
of, so that the bytes are those of an undisturbed writer.
"""

import json
import os
import time
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from kit.data.rows import Recording

CONFIRM_SECONDS = 2.0  # between confirmations, each of which waits for the disk


@dataclass(frozen=True)
class PackedFile:
    """Where a file's features lie, `units` rows from `start`; or none of them, and the rule that it breaks.

    width is 0 where they are left in the file itself; frames and channel are then as of a WaveReader.
    """

    start: int
    units: int
    width: int
    dtype: str
    samples: int
    note: str
    fault: str
    frames: int = 0
    channel: int = -1

    @property
    def bytes(self) -> int:
        return self.units * self.width * np.dtype(self.dtype).itemsize if self.units else 0


class PackedFiles:
    """A context to `add` files in, which ends with all of them on disk; `files` has those of an earlier life too."""

    def __init__(self, folder: Path):
        self.features, self.journal = folder / "features.bin", folder / "packed.jsonl"
        self.files, lines_end = _confirmed(self.features, self.journal)
        for path, end in ((self.features, sum(file.bytes for file in self.files)), (self.journal, lines_end)):
            path.touch()
            os.truncate(path, end)
        self.end = self.files[-1].start + self.files[-1].units if self.files else 0
        self.n_confirmed, self.confirmed_at = len(self.files), time.monotonic()

    def __enter__(self) -> "PackedFiles":
        self.open = [self.features.open("ab"), self.journal.open("ab")]
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if error is None:
                self._confirm()
        finally:
            for file in self.open:
                with suppress(OSError):  # a full disk's, which is being told already
                    file.close()

    def add(self, item: Recording | str) -> None:
        """A file's features, or the rule that it breaks."""
        if isinstance(item, str):
            self.files.append(PackedFile(self.end, 0, 0, "", 0, "", item))
        else:
            item.write_to(self.open[0])
            facts = (item.units, item.width, item.dtype, item.samples, item.note)
            channel = -1 if item.channel is None else item.channel
            self.files.append(PackedFile(self.end, *facts, "", item.frames, channel))
            self.end += item.units
        if time.monotonic() - self.confirmed_at > CONFIRM_SECONDS:
            self._confirm()

    def _confirm(self) -> None:
        new = self.files[self.n_confirmed :]
        _to_disk(self.open[0])
        self.open[1].write("".join(f"{json.dumps(astuple(file))}\n" for file in new).encode())
        _to_disk(self.open[1])
        self.n_confirmed, self.confirmed_at = len(self.files), time.monotonic()

    def shape(self, width: int) -> dict:
        """total, width and dtype of the features; of none, where no file can be used, the width they would have."""
        usable = next((file for file in self.files if file.bytes), None)
        width, dtype = (usable.width, usable.dtype) if usable else (width, "float16")
        return {"total": self.end, "width": width, "dtype": dtype}

    def forget(self) -> None:
        """The journal goes, where the features are whole."""
        self.journal.unlink()


def _to_disk(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _confirmed(features: Path, journal: Path) -> tuple[list[PackedFile], int]:
    """What the whole lines of a journal tell, and where they end; nothing where the features don't reach as far."""
    files, end = [], 0
    lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
    for line in lines:
        if not line.endswith(b"\n"):
            break
        files.append(PackedFile(*json.loads(line)))
        end += len(line)
    if not features.exists() or features.stat().st_size < sum(file.bytes for file in files):
        return [], 0
    return files, end
