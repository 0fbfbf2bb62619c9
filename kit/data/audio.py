"""Waveforms from audio files, by soundfile, a block at a time: no recording need fit in memory."""

import io
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from kit.competition.audio_files import FOREIGN, convert_hint
from kit.competition.containers import AudioError, whole_source
from kit.data.features import HIGHEST_HZ
from kit.data.resample import context, resampled

BLOCK_SAMPLES = 2**19  # of all channels, read at once: 16 s at 32 kHz
MOST_SAMPLES = 2**28  # of a wave in memory, of all channels, at the file's rate or another: 93 minutes at 48 kHz
MOST_STREAMED = 2**32  # of one that is read by blocks: a day at 48 kHz
LOWEST_HZ = 1_000  # the filter and the wave of a resampling grow with the rates' ratio
LOUDEST = 2.0**31  # a float file may hold whole numbers of 32 bits; beyond, a power spectrum would overflow
UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's word for a FLAC from a pipe, of which it then finds no end
STEP = 2.0**-15  # of 16 bits
CANCELLED = 0.01  # of the channels' power left in their average: 20 dB less; of unrelated ones 1 / channels is left
SILENT = "silent: its samples differ by at most a step of 16 bits"


def load_wave(path: str | Path, sample_rate_hz: int) -> Tensor:
    """read_wave's samples (N,) float32; what is odd about them is a warning that names the file."""
    wave, note = read_wave(path, sample_rate_hz)
    if note:
        warnings.warn(f"{path}: {note}", stacklevel=2)
    return wave


def read_wave(path: str | Path, sample_rate_hz: int) -> tuple[Tensor, str]:
    """The file's channels averaged and resampled, (N,) float32, and what is odd about them, or "".

    Where the channels cancel in the average, as two of opposite sign do, the loudest is taken. Silence is odd too.
    Raises: AudioError where the file is missing, empty, unreadable, cut short, too long, too loud or holds NaN or
    infinity, or where its sample rate is none of sound.
    """
    reader = WaveReader(path, sample_rate_hz, longest=MOST_SAMPLES)
    wave = np.concatenate(list(reader))
    return torch.from_numpy(wave), reader.note


class Straight(soundfile.SoundFile):
    """Read from end to end. soundfile seeks behind each block that it read, by which MP3's decoder loses its state."""

    def seekable(self) -> bool:
        return False


class WaveReader:
    """Iterates over blocks (n,) float32 that, end to end, are read_wave's wave, or its first `most` samples.

    Afterwards `samples` is how many there were, `note` what is odd about them, or "", `frames` how many the file has at
    its own rate, `channel` which one stands for all where they cancel. No more of the file is decoded
    than they take; of several channels twice, since only the whole tells whether they cancel. `longest`: samples of a
    file that is read at all.
    Raises AudioErrors as read_wave does, some of them midway.
    """

    def __init__(self, path: str | Path, rate_hz: int, most: int | None = None, longest: int = MOST_STREAMED):
        self.path, self.rate_hz, self.most, self.longest = Path(path), rate_hz, most, longest
        self.low, self.high, self.samples, self.note = np.inf, -np.inf, 0, ""
        self.frames = 0
        self.channel: int | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        if not self.path.is_file():
            raise AudioError(f"audio file must exist, got {self.path}")
        try:
            with Straight(whole_source(self.path)) as file:
                frames = self._frames(file)
                for block in resampled(self._mono(file, frames), file.samplerate, self.rate_hz):
                    block = block if self.most is None else block[: self.most - self.samples]
                    self.samples += len(block)
                    yield block
        except soundfile.LibsndfileError as error:
            hint = f"; {convert_hint(self.path)}" if self.path.suffix.lower() in FOREIGN else ""
            rule = f"must be readable by soundfile, got {self.path}: {error.error_string}{hint}"
            raise AudioError(f"audio file {rule}") from error
        if self.high - self.low <= STEP:
            self.note = SILENT

    def _frames(self, file: soundfile.SoundFile) -> int:
        """How many frames to read, by what the header says, which is checked."""
        self.frames = frames = file.frames
        rate = file.samplerate
        if not LOWEST_HZ <= rate <= HIGHEST_HZ:
            rule = f"must have a sample rate of {LOWEST_HZ} to {HIGHEST_HZ} Hz, got {self.path} of {rate}"
            raise AudioError(f"audio file {rule}")
        if frames == UNKNOWN_FRAMES:
            raise AudioError(f"audio file must say in its header how long it is, got {self.path}")
        if frames == 0:
            raise AudioError(f"audio file must hold at least one sample, got {self.path}")
        if self.most is not None:  # and what a filter needs after them
            frames = min(frames, -(-self.most * rate // self.rate_hz) + context(rate, self.rate_hz))
        if (most := max(frames * file.channels, frames * self.rate_hz // rate)) > self.longest:
            raise AudioError(f"audio file must be of at most {self.longest:,} samples, got {self.path} of {most:,}")
        return frames

    def _mono(self, file: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
        """Blocks (n,) of the channels' average, or of the loudest where they cancel."""
        blocks = self._blocks(file, frames)
        if file.channels == 1:
            yield from (mono(block, None) for block in blocks)
            return
        if frames * file.channels <= BLOCK_SAMPLES:
            blocks = list(blocks)
            loudest = _cancelled(blocks)
        else:
            loudest = _cancelled(blocks)
            blocks = self._again(file.name, frames)
        if loudest is not None:
            self.note = f"its {file.channels} channels cancel when averaged: the loudest is taken"
            self.channel = loudest
        for block in blocks:
            yield mono(block, loudest)

    def _again(self, source: Path | io.BytesIO, frames: int) -> Iterator[np.ndarray]:
        """From another opening, for a seek to the start leaves MP3's decoder in another state."""
        if isinstance(source, io.BytesIO):
            source.seek(0)
        with Straight(source) as file:
            yield from self._blocks(file, frames)

    def _blocks(self, file: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
        """Blocks (n, channels), checked."""
        most = max(1, BLOCK_SAMPLES // file.channels)
        for left in range(frames, 0, -most):
            block = file.read(min(most, left), dtype="float32", always_2d=True)
            if len(block) < min(most, left):
                raise AudioError(f"audio file must be as long as its header says, got {self.path}, which is cut short")
            low, high = block.min(), block.max()  # NaN where one is
            if not np.isfinite([low, high]).all():
                raise AudioError(f"audio file must hold finite samples only, got {self.path}")
            if (peak := max(-low, high)) > LOUDEST:
                raise AudioError(f"audio file must hold samples of at most {LOUDEST:g}, got {self.path} with {peak:g}")
            self.low, self.high = min(self.low, low), max(self.high, high)
            yield block


def mono(block: np.ndarray, channel: int | None) -> np.ndarray:
    """The average (n,) of a block's channels (n, channels), or one of them."""
    if block.shape[1] == 1:
        return block[:, 0]
    return block.mean(axis=1) if channel is None else block[:, channel].copy()


def _cancelled(blocks: Iterable[np.ndarray]) -> int | None:
    """The loudest of the channels of blocks (n, channels) where they cancel in the average, else None."""
    power, left = np.zeros(1), 0.0
    for block in blocks:
        power = power + np.square(block).sum(axis=0, dtype=np.float64)  # (channels,)
        left += np.square(block.mean(axis=1)).sum(dtype=np.float64)
    return None if left >= min(CANCELLED, 0.1 / len(power)) * power.mean() else int(power.argmax())
