"""Waveforms in (soundfile), log-mel spectrograms out (torchaudio's mel filters), on any device."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

MOST_SAMPLES = 2**28  # of all channels, at the file's rate or the one asked for: 1 GiB, 93 minutes at 48 kHz
LOWEST_HZ, HIGHEST_HZ = 1_000, 768_000  # the filter and the wave of a resampling grow with the rates' ratio
MOST_WINDOW, MOST_MELS = 2**17, 1024  # samples and bins: the filters weigh their product
LOUDEST = 2.0**31  # a float file may hold whole numbers of 32 bits; beyond, a power spectrum would overflow
UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's word for a FLAC from a pipe, of which it then finds no end
UNKNOWN_RIFF_SIZES = (0, 0xFFFFFFFF)  # what a WAV written to a pipe holds


class AudioError(ValueError):
    """An audio file that cannot be used; the message names the file and the rule it breaks."""


@dataclass(frozen=True)
class MelSpec:
    """How a wave becomes log-mel frames. Natural log; `floor` is a power, log(1e-9) = -20.7."""

    sample_rate_hz: int = 16000
    n_mels: int = 40
    window_seconds: float = 0.025
    hop_seconds: float = 0.010
    fmin_hz: float = 20.0
    fmax_hz: float = 7600.0
    floor: float = 1e-9

    def __post_init__(self):
        for name in ("sample_rate_hz", "n_mels"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        for name, most in (("sample_rate_hz", HIGHEST_HZ), ("n_mels", MOST_MELS)):
            if getattr(self, name) > most:
                raise ValueError(f"{name} must be at most {most}, got {getattr(self, name)}")
        for name in ("window_seconds", "hop_seconds", "fmin_hz", "fmax_hz", "floor"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise ValueError(f"{name} must be a number, got {value!r}")
            if isinstance(value, int) and abs(value) > sys.float_info.max:  # which arithmetic with floats would raise
                raise ValueError(f"{name} must be a number that a float can hold, got {value}")
        for name in ("window_seconds", "hop_seconds"):
            samples = getattr(self, name) * self.sample_rate_hz
            if not 1 <= samples < math.inf:
                raise ValueError(f"{name} must last at least one sample, got {getattr(self, name)}")
        if self.window_samples > MOST_WINDOW:
            raise ValueError(f"window_samples must be at most {MOST_WINDOW}, got {self.window_samples}")
        if not 0 <= self.fmin_hz < self.fmax_hz:
            raise ValueError(f"fmin_hz must be in [0, fmax_hz = {self.fmax_hz}), got {self.fmin_hz}")
        if not self.fmax_hz <= self.sample_rate_hz / 2:
            raise ValueError(
                f"fmax_hz must be at most half of sample_rate_hz ({self.sample_rate_hz / 2:g}), got {self.fmax_hz}"
            )
        if not 0 < self.floor < math.inf:
            raise ValueError(f"floor must be above 0, got {self.floor}")

    @property
    def window_samples(self) -> int:
        return round(self.window_seconds * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        return round(self.hop_seconds * self.sample_rate_hz)

    @property
    def n_fft(self) -> int:
        """The next power of two at or above the window."""
        return 1 << (self.window_samples - 1).bit_length()

    def n_frames(self, n_samples: int) -> int:
        """Whole windows in a wave; there is no padding, so 0 for a wave shorter than a window."""
        return max(0, 1 + (n_samples - self.window_samples) // self.hop_samples)


def load_wave(path: str | Path, sample_rate_hz: int) -> Tensor:
    """The file's channels averaged and resampled: (N,) float32.

    Raises: AudioError where the file is missing, empty, unreadable, cut short, too long, too loud or holds NaN or
    infinity, or where its sample rate is none of sound.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"audio file must exist, got {path}")
    try:
        with soundfile.SoundFile(path) as file:
            promised, rate = file.frames, file.samplerate
            _check_header(path, promised, file.channels, rate, sample_rate_hz)
            samples = file.read(dtype="float32", always_2d=True)  # (N, channels)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"audio file must be readable by soundfile, got {path}: {error.error_string}") from error
    if promised == 0:
        raise AudioError(f"audio file must hold at least one sample, got {path}")
    if len(samples) < promised or _riff_is_cut(path):
        raise AudioError(f"audio file must be as long as its header says, got {path}, which is cut short")
    low, high = samples.min(), samples.max()  # NaN where one is
    if not np.isfinite([low, high]).all():
        raise AudioError(f"audio file must hold finite samples only, got {path}")
    if max(-low, high) > LOUDEST:
        raise AudioError(f"audio file must hold samples of at most {LOUDEST:g}, got {path} with {max(-low, high):g}")
    return torch.from_numpy(_resample(samples.mean(axis=1), rate, sample_rate_hz))  # (N,)


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
    return resample_poly(wave, to_hz // shared, from_hz // shared)


def _riff_is_cut(path: Path) -> bool:
    """Whether a WAV is shorter than its header says, which libsndfile passes over in silence."""
    with open(path, "rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:], "little")
    return head[:4] == b"RIFF" and size not in UNKNOWN_RIFF_SIZES and size + 8 > path.stat().st_size


class LogMel(nn.Module):
    """Log-mel power spectrogram: Hann windows, HTK mel triangles of height 1, no padding at the ends.

    Frame t covers samples [t·hop, t·hop + window), so that other views of a frame (LPC) can align with it.
    """

    def __init__(self, spec: MelSpec = MelSpec()):
        super().__init__()
        self.spec = spec
        filters = melscale_fbanks(
            spec.n_fft // 2 + 1, spec.fmin_hz, spec.fmax_hz, spec.n_mels, spec.sample_rate_hz
        )  # (n_fft / 2 + 1, F)
        empty = int((filters.amax(dim=0) == 0).sum())
        if empty:
            raise ValueError(
                f"n_mels must leave each filter a bin of the {spec.n_fft}-point spectrum, "
                f"got {spec.n_mels}, {empty} of them empty"
            )
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(spec.window_samples), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """wave (B, N) -> mel (B, T, F), T = 1 + (N - window) // hop, never below log(floor).

        Raises: ValueError for a wave that is not (B, N) or is shorter than one window.
        """
        return self.project(self.power(wave))

    def power(self, wave: Tensor) -> Tensor:
        """wave (B, N) -> power spectrum of each windowed frame (B, T, n_fft / 2 + 1)."""
        if wave.ndim != 2:
            raise ValueError(f"wave must have the shape (B, N), got {tuple(wave.shape)}")
        if wave.shape[1] < self.spec.window_samples:
            raise ValueError(
                f"wave must hold at least one window of {self.spec.window_samples} samples, got {wave.shape[1]}"
            )
        frames = wave.float().unfold(1, self.spec.window_samples, self.spec.hop_samples)  # (B, T, window)
        spectrum = torch.fft.rfft(frames * self.window, n=self.spec.n_fft)
        return spectrum.real.square() + spectrum.imag.square()

    def project(self, power: Tensor) -> Tensor:
        """power (..., n_fft / 2 + 1) -> log-mel (..., F)."""
        with torch.autocast(power.device.type, enabled=False):  # a half-precision product would cost 8 bits of mel
            return (power @ self.filters).clamp(min=self.spec.floor).log()
