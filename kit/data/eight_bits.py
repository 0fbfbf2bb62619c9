"""Log-mels as one byte a value: whole steps from log(floor), which no log-mel is below, to the loudest that there is.

No log-mel of a wave within -1 to 1 is above log(n_fft · 3/8 · window): by Parseval, the powers of a frame's spectrum
sum up to n_fft times those of its windowed samples, Hann's window squared sums up to 3/8 of its length, and a mel
filter is at most 1 high. A louder value becomes the loudest. With the defaults of LogMel a step is 0.125, so that a
value is off by at most 0.063: 0.27 dB.
"""

import math

import numpy as np
from torch import Tensor

from kit.data.features import LogMel

STEPS = 255


def mel_range(mel: LogMel) -> tuple[float, float]:
    """The lowest log-mel and the highest of a wave within -1 to 1."""
    return math.log(mel.floor), math.log(mel.n_fft * mel.window_samples * 3 / 8)


def mel_step(mel: LogMel) -> float:
    """From a byte to the next; half of it is how far a value may be off."""
    low, high = mel_range(mel)
    return (high - low) / STEPS


def to_bytes(values: Tensor, mel: LogMel) -> np.ndarray:
    """Log-mels as uint8, of the same shape."""
    return ((values - mel_range(mel)[0]) / mel_step(mel)).round().clamp(0, STEPS).byte().numpy()


def from_bytes(values: Tensor, mel: LogMel) -> Tensor:
    """Their log-mels, in single precision and on the same device."""
    return values.float().mul_(mel_step(mel)).add_(mel_range(mel)[0])
