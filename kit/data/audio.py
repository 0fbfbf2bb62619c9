"""Waveforms from audio files, by soundfile."""

import math
import warnings
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from kit.competition.audio_files import FOREIGN, convert_hint
from kit.competition.containers import AudioError, whole_source
from kit.data.features import HIGHEST_HZ

MOST_SAMPLES = 2**28  # of all channels, at the file's rate or the one asked for: 1 GiB, 93 minutes at 48 kHz
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
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"audio file must exist, got {path}")
    try:
        with soundfile.SoundFile(whole_source(path)) as file:
            promised, rate = file.frames, file.samplerate
            _check_header(path, promised, file.channels, rate, sample_rate_hz)
            samples = file.read(promised, dtype="float32", always_2d=True)  # (N, channels)
    except soundfile.LibsndfileError as error:
        hint = f"; {convert_hint(path)}" if path.suffix.lower() in FOREIGN else ""
        raise AudioError(f"audio file must be readable by soundfile, got {path}: {error.error_string}{hint}") from error
    if promised == 0:
        raise AudioError(f"audio file must hold at least one sample, got {path}")
    if len(samples) < promised:
        raise AudioError(f"audio file must be as long as its header says, got {path}, which is cut short")
    low, high = samples.min(), samples.max()  # NaN where one is
    if not np.isfinite([low, high]).all():
        raise AudioError(f"audio file must hold finite samples only, got {path}")
    if max(-low, high) > LOUDEST:
        raise AudioError(f"audio file must hold samples of at most {LOUDEST:g}, got {path} with {max(-low, high):g}")
    mono, note = _one_channel(samples)
    if high - low <= STEP:
        note = SILENT
    return torch.from_numpy(_resample(mono, rate, sample_rate_hz)), note  # (N,)


def _one_channel(samples: np.ndarray) -> tuple[np.ndarray, str]:
    """(N, channels) -> their average (N,), or the loudest where they cancel, and a note of that."""
    average, channels = samples.mean(axis=1), samples.shape[1]
    if channels == 1:
        return average, ""
    power = np.square(samples).mean(axis=0, dtype=np.float64)  # (channels,)
    if np.square(average).mean(dtype=np.float64) >= min(CANCELLED, 0.1 / channels) * power.mean():
        return average, ""
    return samples[:, power.argmax()].copy(), f"its {channels} channels cancel when averaged: the loudest is taken"


def _check_header(path: Path, frames: int, channels: int, rate: int, to_hz: int) -> None:
    """Before anything is read: memory is taken by what the header says."""
    if not LOWEST_HZ <= rate <= HIGHEST_HZ:
        raise AudioError(f"audio file must have a sample rate of {LOWEST_HZ} to {HIGHEST_HZ} Hz, got {path} of {rate}")
    if frames == UNKNOWN_FRAMES:
        raise AudioError(f"audio file must say in its header how long it is, got {path}")
    if (most := max(frames * channels, frames * to_hz // rate)) > MOST_SAMPLES:
        raise AudioError(f"audio file must be of at most {MOST_SAMPLES:,} samples, got {path} of {most:,}")


def _resample(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """scipy's polyphase filter, not torchaudio's, whose kernel grows to gigabytes where rates share no factor."""
    if from_hz == to_hz:
        return wave
    shared = math.gcd(from_hz, to_hz)
    from scipy.signal import resample_poly  # here, for it takes seconds to import

    return resample_poly(wave, to_hz // shared, from_hz // shared)
