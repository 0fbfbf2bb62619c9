"""What the net is given: log-mels packed once, or waves packed and made log-mels (or a front end's) by the batch.

Mel filters are torchaudio's (HTK); filters and windows work on any device.
"""

from typing import Any

import torch
from torch import Tensor, nn

from kit.parts import above, as_part, at_least, is_part, make, one_of, part, part_name

HIGHEST_HZ = 768_000  # of a sample rate
MOST_WINDOW, MOST_MELS = 2**17, 1024  # samples and bins: the filters weigh their product


@part
class LogMel:
    """How a wave becomes log-mel frames. Natural log; `floor` is a power, log(1e-9) = -20.7.

    As an experiment's features it packs log-mels; where the files hold log-mels, they are taken as they are.
    most_seconds: of a row that is a whole recording, its first so many seconds (0: all of it).
    bits: of a packed log-mel, half precision or one byte (kit.data.eight_bits).
    """

    sample_rate_hz: int = 16000
    n_mels: int = 40
    window_seconds: float = 0.025
    hop_seconds: float = 0.010
    fmin_hz: float = 20.0
    fmax_hz: float = 7600.0
    floor: float = 1e-9
    most_seconds: float = 0.0
    bits: int = 16
    packs = "mel"

    def check(self):
        at_least(self, 1, "sample_rate_hz", "n_mels")
        for name, most in (("sample_rate_hz", HIGHEST_HZ), ("n_mels", MOST_MELS)):
            if getattr(self, name) > most:
                raise ValueError(f"{name} must be at most {most}, got {getattr(self, name)}")
        for name in ("window_seconds", "hop_seconds"):
            if not getattr(self, name) * self.sample_rate_hz >= 1:
                raise ValueError(f"{name} must last at least one sample, got {getattr(self, name)}")
            if not getattr(self, name) * self.sample_rate_hz < 2**63:
                raise ValueError(f"{name} must last fewer than 2^63 samples, got {getattr(self, name)}")
        if self.window_samples > MOST_WINDOW:
            raise ValueError(f"window_samples must be at most {MOST_WINDOW}, got {self.window_samples}")
        if not 0 <= self.fmin_hz < self.fmax_hz:
            raise ValueError(f"fmin_hz must be in [0, fmax_hz = {self.fmax_hz}), got {self.fmin_hz}")
        if not self.fmax_hz <= self.sample_rate_hz / 2:
            raise ValueError(
                f"fmax_hz must be at most half of sample_rate_hz ({self.sample_rate_hz / 2:g}), got {self.fmax_hz}"
            )
        above(self, 0, "floor")
        one_of(self, "bits", (8, 16))
        at_least(self, 0, "most_seconds")
        if self.most_seconds and self.most_samples < self.window_samples:
            least = self.window_samples / self.sample_rate_hz
            raise ValueError(f"most_seconds must be 0 or at least a window, {least:g} s, got {self.most_seconds}")

    @property
    def mel(self) -> "LogMel":
        return self

    @property
    def window_samples(self) -> int:
        return round(self.window_seconds * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        return round(self.hop_seconds * self.sample_rate_hz)

    @property
    def most_samples(self) -> int | None:
        return round(self.most_seconds * self.sample_rate_hz) if self.most_seconds else None

    @property
    def n_fft(self) -> int:
        """The next power of two at or above the window."""
        return 1 << (self.window_samples - 1).bit_length()

    def n_frames(self, n_samples: int) -> int:
        """Whole windows in a wave; there is no padding, so 0 for a wave shorter than a window."""
        return max(0, 1 + (n_samples - self.window_samples) // self.hop_samples)

    def n_samples(self, n_frames: int) -> int:
        """Samples that so many frames span."""
        return (n_frames - 1) * self.hop_samples + self.window_samples

    def make(self) -> "MelFilterbank":
        """The layer wave (B, N) -> mel (B, T, F)."""
        return MelFilterbank(self)


@part
class Wave:
    """Packs the audio itself; log-mels are computed by the batch, after what is done to the waves.

    front: one's own `wave (B, N) -> (B, T, F)`, a function or a module, in place of the log-mel; it is not trained.
    from_files: nothing is packed, and each crop is decoded from its recording, where a disk has no room for the waves.
    `mel` still says the sample rate, and by its window and hop how many samples a crop of so many frames has.
    """

    mel: LogMel = LogMel()
    front: Any = None
    from_files: bool = False

    @property
    def packs(self) -> str:
        return "files" if self.from_files else "wave"

    def check(self):
        if not isinstance(self.mel, LogMel):
            raise ValueError(f"mel must be a LogMel, got {self.mel!r}")
        if self.mel.bits != 16:
            raise ValueError(f"bits must be 16 of the mel of Wave, which packs the audio in 16, got {self.mel.bits}")
        if not (self.front is None or callable(self.front) or is_part(self.front)):
            raise ValueError(f"front must be a function, a module or a part, got {self.front!r}")
        if self.front is not None:
            object.__setattr__(self, "front", as_part(self.front))

    def check_with(self, experiment: Any):
        if self.front is not None and experiment.views is not None:
            raise ValueError(f"front must be None with views, which are log-mels, got {part_name(self.front)}")

    def make(self) -> nn.Module:
        """The layer wave (B, N) -> (B, T, F)."""
        return MelFilterbank(self.mel) if self.front is None else Front(self.front)


class Front(nn.Module):
    """A front end of one's own, in eval mode and without gradients; what it gives is checked, once a batch."""

    def __init__(self, front: Any):
        super().__init__()
        self.name, self.front = part_name(front), make(front)
        if isinstance(self.front, nn.Module):
            self.front.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        """wave (B, N) -> (B, T, F) float32. Raises ValueError naming the part where that is not what it gives."""
        mel = self.front(wave)
        if not isinstance(mel, Tensor) or mel.dim() != 3 or len(mel) != len(wave) or not mel.is_floating_point():
            got = f"{mel.dtype} {tuple(mel.shape)}" if isinstance(mel, Tensor) else type(mel).__name__
            raise ValueError(f"front {self.name} must give floats (B, T, F) of {len(wave)} waves, got {got}")
        if not mel.shape[1]:
            raise ValueError(f"front {self.name} must give at least one frame, got {tuple(mel.shape)}")
        return mel.float()


def has_waves(features: Any) -> bool:
    """Is a net's input made of waves by the batch?"""
    return getattr(features, "packs", "mel") != "mel"


def n_bins(features: Any, store: Any, crop_frames: int) -> int:
    """F of what the net is given: the store's, or that of a front end, which is tried on a silent crop."""
    if getattr(features, "front", None) is None:
        return store.n_mels
    silence = torch.zeros(2, features.mel.n_samples(crop_frames))
    return features.make()(silence).shape[2]


USUAL = LogMel()


class MelFilterbank(nn.Module):
    """Log-mel power spectrogram: Hann windows, HTK mel triangles of height 1, no padding at the ends.

    Frame t covers samples [t·hop, t·hop + window), so that other views of a frame (LPC) can align with it.
    """

    def __init__(self, spec: LogMel = USUAL):
        from torchaudio.functional import melscale_fbanks

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
