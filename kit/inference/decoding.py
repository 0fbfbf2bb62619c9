"""One decoding of a file for several sorts of features: what the first decodes, the others read as numbers.

Kept is the wave at the file's own rate, in a file without a name; each sort resamples it as it would what it decoded.
"""

import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.data.audio import BLOCK_SAMPLES, WaveReader

BYTES = 4  # of a float32


@dataclass(frozen=True)
class Kept:
    """Where a wave of so many samples begins in the file, and what its reader had learnt of it."""

    first: int
    samples: int
    low: float
    high: float
    note: str
    channel: int | None


class Decodings:
    """`decodings(path, rate_hz, most)` is a WaveReader of the same blocks end to end, by any thread.

    What is kept is that of one share of the files: `begin` forgets the former share's.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        # Unbuffered, so that a full disk is told to the wave that it concerns.
        self.file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - closed with its owner
        weakref.finalize(self, self.file.close)
        self.lock = threading.Lock()
        self.begin(0)

    def begin(self, share: int) -> None:
        """The first sort of features to reach a share has nothing to read; the others have what it left."""
        with self.lock:
            if share != getattr(self, "share", None):
                self.share, self.end, self.kept = share, 0, {}
                self.file.truncate(0)

    def __call__(self, path: Path, rate_hz: int, most: int | None = None) -> WaveReader:
        return _Reader(self, path, rate_hz, most)

    def room(self, samples: int) -> int:
        """Where a wave of so many samples may begin."""
        with self.lock:
            first, self.end = self.end, self.end + samples
        return first

    def write(self, first: int, block: np.ndarray) -> bool:
        """False where the disk has no room for it."""
        content = np.ascontiguousarray(block, np.float32)
        with self.lock, suppress(OSError):
            self.file.seek(first * BYTES)
            return self.file.write(content.data) == content.nbytes
        return False

    def read(self, first: int, samples: int) -> np.ndarray:
        with self.lock:
            self.file.seek(first * BYTES)
            return np.frombuffer(self.file.read(samples * BYTES), np.float32)


class _Reader(WaveReader):
    def __init__(self, decodings: Decodings, path: Path, rate_hz: int, most: int | None):
        super().__init__(path, rate_hz, most)
        self.decodings = decodings

    def _mono(self, file, frames: int) -> Iterator[np.ndarray]:
        kept = self.decodings.kept.get(self.path)
        if kept is None or kept.samples < frames:
            yield from self._keeping(super()._mono(file, frames), frames)
            return
        self.low, self.high, self.note, self.channel = kept.low, kept.high, kept.note, kept.channel
        for done in range(0, frames, BLOCK_SAMPLES):
            yield self.decodings.read(kept.first + done, min(BLOCK_SAMPLES, frames - done))

    def _keeping(self, blocks: Iterator[np.ndarray], frames: int) -> Iterator[np.ndarray]:
        """The blocks, which are written down too; where the disk is full they are not, and are decoded again."""
        first, done, is_whole = self.decodings.room(frames), 0, True
        for block in blocks:
            is_whole = is_whole and self.decodings.write(first + done, block)
            done += len(block)
            yield block
        if is_whole:
            self.decodings.kept[self.path] = Kept(first, frames, self.low, self.high, self.note, self.channel)
