"""How large a store will be, by the headers of its recordings, told before hours are spent on it."""

import errno
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.std import tqdm

from kit.competition.competition import Competition
from kit.competition.headers import audio_header
from kit.data.features import LogMel

READERS = 8  # a disk answers late


@dataclass(frozen=True)
class StoreSize:
    """Of so many recordings: their length as packed, and the bytes of a store of log-mels and of one of waves."""

    recordings: int
    seconds: float
    mel_bytes: int
    wave_bytes: int

    def of(self, kind: str) -> int:
        return self.mel_bytes if kind == "mel" else self.wave_bytes

    def __str__(self) -> str:
        length = f"{self.seconds / 3600:,.0f} h" if self.seconds >= 36_000 else f"{self.seconds / 3600:.2g} h"
        sizes = f"{told_bytes(self.mel_bytes)} as mel, {told_bytes(self.wave_bytes)} as wave"
        return f"{self.recordings:,} recordings, {length}: {sizes}"


def store_size(seconds: np.ndarray | Sequence[float], mel: LogMel) -> StoreSize:
    """Of recordings of these lengths (s), 0 where one can't be read."""
    samples = np.round(np.asarray(seconds) * mel.sample_rate_hz).astype(np.int64)  # (N,)
    frames = np.where(samples < mel.window_samples, 0, 1 + (samples - mel.window_samples) // mel.hop_samples)
    mel_bytes = int(frames.sum()) * mel.n_mels * mel.bits // 8
    return StoreSize(len(samples), float(np.sum(seconds)), mel_bytes, 2 * int(samples.sum()))


def check_room(
    competition: Competition, files: pd.DataFrame, mel: LogMel, kind: str, folder: Path, done: int, progress: bool
) -> None:
    """Tell the size of a store, whose first `done` files are packed. Raises OSError where the disk can't hold the rest.

    files: a row a file, whose column `most` is how many samples of it are packed at most.
    """
    paths = files["audio" if kind == "wave" else "path"].map(os.path.normpath)
    with ThreadPoolExecutor(READERS) as readers:
        headers = readers.map(lambda path: audio_header(competition.listing, path), paths, chunksize=64)
        lengths = [0.0 if isinstance(header, str) else header[0] for header in headers]
    seconds = np.minimum(lengths, files["most"] / mel.sample_rate_hz)
    size, rest = store_size(seconds, mel), store_size(seconds[done:], mel)
    free = shutil.disk_usage(folder).free
    told = f"{size}; {told_bytes(free)} free"
    if rest.of(kind) > free:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for a store of {told}", str(folder))
    if progress:
        tqdm.write(told, file=sys.stderr)


def told_bytes(n: int) -> str:
    """As people say it: 11 GB."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if n >= 9.95 * size:
            return f"{n / size:.0f} {unit}"
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{-(-n // 1000)} kB"
