"""What a store is packed from: the features of each file, read by threads, or why it can't be used."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

import joblib
import numpy as np
import pandas as pd
import torch

from kit.competition.competition import Competition
from kit.competition.images import image_rows
from kit.data.audio import WaveReader
from kit.data.eight_bits import to_bytes
from kit.data.features import LogMel, MelFilterbank
from kit.data.tensors import mel_dtype, read_mels

INT16 = 32767.0
MOST_FRAMES = 1024  # of one log-mel at once: 20 s at 48 kHz take 30 MB of spectra, on each core
MOST_PEAK = 1.5  # lossy coding and resampling overshoot 1 a little
CLIPPED = f"louder than {MOST_PEAK:g}: waves are kept in 16 bits, which cut its samples to -1 to 1"
AHEAD = 16  # files that each thread may be ahead of the one that is written: one of hours holds up the others
IN_MEMORY = 2**21  # bytes of a file's features that wait there for their turn, and not on disk


@dataclass(frozen=True)
class Recording:
    """What a file holds: `content` are features (units, width) of a dtype, in memory or in a file without a name.

    content is None where no more is wanted than the rest. samples: of the audio, at the rate that was asked for. note:
    what is odd about it, or "". frames and channel: as of a WaveReader.
    """

    content: np.ndarray | BinaryIO | None
    units: int
    width: int
    dtype: str
    samples: int = 0
    note: str = ""
    frames: int = 0
    channel: int | None = None

    def write_to(self, file: BinaryIO) -> None:
        if self.content is None:
            return
        if isinstance(self.content, np.ndarray):
            file.write(np.ascontiguousarray(self.content))  # tofile would not say why a disk took no more
            return
        with self.content as content:
            content.seek(0)
            while block := content.read(IN_MEMORY):
                file.write(block)


def read_files(
    competition: Competition,
    files: pd.DataFrame,
    mel: LogMel | None,
    kind: str,
    beside: Path | None,
    reader: Callable | None = None,
) -> Iterator[Recording | str]:
    """Each file's recording in order, or the rule that it breaks. files: a row of the competition's tables a file.

    Its column `most` is how many samples of audio are read at most; long ones wait in the folder `beside`, and where
    that is None only their facts are told. reader:
    (path, rate_hz, most) -> what reads as a WaveReader does, in its place.
    """
    if files.empty:
        return
    if mel is not None:
        paths = files["audio" if kind == "wave" else "path"]
        to_mel = MelFilterbank(mel) if kind == "mel" else None
        read = partial(_recording, mel=mel, to_mel=to_mel, beside=beside, reader=reader or WaveReader)
        yield from _in_order(read, [competition.folder / path for path in paths], files["most"].tolist())
        return
    items = image_rows(competition.folder, files) if competition.features == "image" else _mels(competition, files)
    for item in items:
        yield item if isinstance(item, str) else Recording(item, item.shape[0], item.shape[1], str(item.dtype))


def _mels(competition: Competition, files: pd.DataFrame) -> Iterator[np.ndarray | str]:
    paths = [competition.folder / path for path in files["path"]]
    sizes = [competition.listing.entries[os.path.normpath(path)].size for path in files["path"]]
    shapes = [(int(n), competition.n_mels) for n in files["frames"]]
    return read_mels(paths, sizes, shapes, mel_dtype(paths[0]))  # pyrefly: ignore[bad-argument-type]


def _in_order(read: Callable, *arguments: Iterable) -> Iterator:
    """What `map` gives, by a thread a core: decoders and transforms need no lock."""
    threads, waiting = joblib.cpu_count(), deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for each in zip(*arguments, strict=True):
                waiting.append(pool.submit(read, *each))
                if len(waiting) >= AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _recording(
    path: Path, most: float, mel: LogMel, to_mel: MelFilterbank | None, beside: Path | None,
    reader: Callable = WaveReader,
) -> Recording | str:  # fmt: skip
    """Without to_mel its wave, in 16 bits."""
    wave = reader(path, mel.sample_rate_hz, None if np.isinf(most) else int(most))
    parts = _waves(wave) if to_mel is None else _log_mels(wave, to_mel)
    content: Any = SpooledTemporaryFile(IN_MEMORY, dir=beside) if beside else None  # noqa: SIM115 - write_to closes it
    units = 0
    try:
        for part in parts:
            if content:
                content.write(part)
            units += len(part)
    except ValueError as error:
        if content:
            content.close()
        return str(error)
    if to_mel is None:
        width = 1 if content else 0
        return Recording(content, units, width, "int16", wave.samples, wave.note, wave.frames, wave.channel)
    dtype = "uint8" if mel.bits == 8 else "float16"
    return Recording(content, units, mel.n_mels, dtype, wave.samples, wave.note)


def _waves(reader: WaveReader) -> Iterator[np.ndarray]:
    peak = 0.0
    for block in reader:
        peak = max(peak, -block.min(), block.max())
        yield in_16_bits(block)
    if peak > MOST_PEAK:
        reader.note = CLIPPED


def in_16_bits(wave: np.ndarray) -> np.ndarray:
    """A wave as it is packed: samples in steps of 1 / INT16, cut to -1 to 1."""
    return np.rint(wave.clip(-1, 1) * np.float32(INT16)).astype(np.int16)


def _log_mels(reader: WaveReader, to_mel: MelFilterbank) -> Iterator[np.ndarray]:
    """Log-mels (t, F) that, end to end, are those of the whole wave."""
    for wave in _stretches(reader, to_mel.spec):
        mel = to_mel(torch.from_numpy(wave)[None])[0]
        # Half precision: its steps at these values are under 0.016, or 0.07 dB.
        yield to_bytes(mel, to_mel.spec) if to_mel.spec.bits == 8 else mel.half().numpy()


def _stretches(blocks: Iterable[np.ndarray], mel: LogMel) -> Iterator[np.ndarray]:
    """A wave that comes in blocks, in parts of MOST_FRAMES frames, each with all of its frames' samples."""
    step = MOST_FRAMES * mel.hop_samples
    reach = step - mel.hop_samples + mel.window_samples
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        first = 0
        while len(held) - first >= max(step, reach):
            yield held[first : first + reach]
            first += step
        held = held[first:]
    if mel.n_frames(len(held)):
        yield held
