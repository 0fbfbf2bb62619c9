"""Stretches of rows out of a large file: one copy each, in a memory and a time that do not grow with the file."""

import os
import weakref
from pathlib import Path

import numpy as np


class FeatureFile:
    """A file of numbers in rows, end to end, that many processes read from at once.

    A training batch is read, where the rest of the kit maps the file: in a mapping each page that is new is a fault,
    what was touched counts as the process's memory, and a file that is cut short is the process's end.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.number = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self.number)

    def __reduce__(self):  # to another process goes its name
        return FeatureFile, (self.path,)

    def read(self, start: np.ndarray, length: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (B, L, width), of the file's type, with `length` (B,) <= L rows from each `start` (B,).

        Zeros come after them. Raises ValueError where the file ends before.
        """
        for item, place, count in zip(out, (start * out[0, 0].nbytes).tolist(), length.tolist(), strict=True):
            if count < len(item):
                item[count:] = 0
                item = item[:count]
            done = self._read_at(place, item)
            while done < item.nbytes:  # a file system over a network may hand on a part
                more = self._read_at(place + done, item.reshape(-1).view(np.uint8)[done:])
                if not more:
                    raise ValueError(f"{self.path}: cut short while it was read; delete the folder")
                done += more

    def _read_at(self, place: int, out: np.ndarray) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.number, [out.data], place)
        with self.path.open("rb", buffering=0) as file:  # on Windows
            file.seek(place)
            return file.readinto(out.data)
