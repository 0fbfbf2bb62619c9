"""What a store is packed from: each row's features, read by threads, or why its file can't be used."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kit.competition.competition import Competition
from kit.competition.images import image_rows
from kit.data.audio import read_wave
from kit.data.features import LogMel, MelFilterbank
from kit.data.tensors import mel_dtype, read_mels

INT16 = 32767.0
MOST_FRAMES = 1024  # of one log-mel at once: a minute at 48 kHz takes 350 MB of spectra, on each core
MOST_PEAK = 1.5  # lossy coding and resampling overshoot 1 a little
CLIPPED = f"louder than {MOST_PEAK:g}: waves are kept in 16 bits, which cut its samples to -1 to 1"


def read_rows(
    competition: Competition, table: pd.DataFrame, mel: LogMel | None, kind: str, notes: dict[str, str]
) -> Iterator[np.ndarray | str]:
    """Each row's (frames, width) array in order, or the rule that its file breaks; `notes` gets oddities, by path."""
    if competition.features == "image":
        return (yield from image_rows(competition.folder, table))
    paths = table["audio"] if kind == "wave" else table["path"]
    files = list(zip(paths, table["fault"], strict=True))
    if kind == "wave":
        jobs = (_job(_wave, fault, competition.folder, path, mel, notes) for path, fault in files)
    elif competition.features == "wave":
        to_mel = MelFilterbank(mel)
        jobs = (_job(_wave_mel, fault, competition.folder, path, mel, notes, to_mel) for path, fault in files)
    else:
        return (yield from _mels(competition, table))
    items = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(jobs)
    try:
        for item in items:  # noqa: UP028 - yield from would close it itself
            yield item
    finally:
        with warnings.catch_warnings(action="ignore"):  # joblib's, of what was read in vain where a disk is full
            items.close()


def _mels(competition: Competition, table: pd.DataFrame) -> Iterator[np.ndarray | str]:
    usable = table[table["fault"] == ""]
    paths = [competition.folder / path for path in usable["path"]]
    sizes = [competition.listing.entries[os.path.normpath(path)].size for path in usable["path"]]
    shapes = [(int(n), competition.n_mels) for n in usable["frames"]]
    items = read_mels(paths, sizes, shapes, mel_dtype(paths[0]))
    for fault in table["fault"]:
        yield fault or next(items)


def _job(function: Callable, fault: str, *arguments):
    """A job that reads a file, or hands on the fault that it is known to have."""
    return joblib.delayed(str)(fault) if fault else joblib.delayed(function)(*arguments)


def _wave(folder: Path, path: str, mel: LogMel, notes: dict[str, str]) -> np.ndarray | str:
    try:
        wave, note = read_wave(folder / path, mel.sample_rate_hz)  # (N,)
    except ValueError as error:
        return str(error)
    if len(wave) < mel.window_samples:
        return f"must hold at least one window of {mel.window_samples} samples, got {len(wave)}"
    if max(-wave.min().item(), wave.max().item()) > MOST_PEAK:
        note = CLIPPED
    if note:
        notes[path] = note
    return (wave.clamp(-1, 1) * INT16).round().to(torch.int16).numpy()[:, None]


def _wave_mel(folder: Path, path: str, mel: LogMel, notes: dict[str, str], to_mel: MelFilterbank) -> np.ndarray | str:
    try:
        wave, note = read_wave(folder / path, mel.sample_rate_hz)  # (N,)
        # Half precision: its steps at these values are under 0.016, or 0.07 dB.
        frames = torch.cat([to_mel(part)[0].half() for part in _stretches(wave[None], mel)])  # (T, F)
    except ValueError as error:
        return str(error)
    if note:
        notes[path] = note
    return frames.numpy()


def _stretches(wave: Tensor, mel: LogMel) -> Iterator[Tensor]:
    """A wave (1, N) in parts whose frames, end to end, are those of the whole."""
    hop, reach = mel.hop_samples, (MOST_FRAMES - 1) * mel.hop_samples + mel.window_samples
    for first in range(0, max(1, mel.n_frames(wave.shape[1])), MOST_FRAMES):
        yield wave[:, first * hop : first * hop + reach]
