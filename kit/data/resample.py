"""Resampling of a wave that comes in blocks, with the bits of the whole's.

scipy's polyphase filter (resample_poly, a Kaiser window), not torchaudio's, whose kernel grows to gigabytes where rates
share no factor. Each output is a sum over the inputs within CROSSINGS periods of the lower rate, in one order, so that
a stretch of the wave with that much on either side gives the same sums.
"""

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

CROSSINGS = 10  # zero crossings of the filter on either side, as in scipy's own design


def resampled(blocks: Iterable[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """Blocks (n,) float32 of any lengths, end to end a wave of N samples, as blocks of ceil(N · to_hz / from_hz)."""
    if from_hz == to_hz:
        yield from blocks
        return
    from scipy.signal import resample_poly  # here, for it takes seconds to import

    shared = math.gcd(from_hz, to_hz)
    up, down = to_hz // shared, from_hz // shared
    reach, taps = context(from_hz, to_hz), _taps(up, down)
    held, settled = np.zeros(0, np.float32), 0  # what may still be needed, and how much of it was handed on
    for block in blocks:
        held = np.concatenate([held, block])
        ready = (len(held) - reach) // down * down
        if ready <= settled:
            continue
        yield resample_poly(held[: ready + reach], up, down, window=taps)[settled // down * up : ready // down * up]
        kept = max(0, ready - reach)
        held, settled = held[kept:], ready - kept
    if len(held) > settled:
        yield resample_poly(held, up, down, window=taps)[settled // down * up :]


def context(from_hz: int, to_hz: int) -> int:
    """Samples after a place, before resampling, on which what comes before it may depend: a multiple of `down`."""
    if from_hz == to_hz:
        return 0
    shared = math.gcd(from_hz, to_hz)
    up, down = to_hz // shared, from_hz // shared
    inputs = CROSSINGS * max(up, down) // up + 1
    return -(-inputs // down) * down


@lru_cache(maxsize=16)
def _taps(up: int, down: int) -> np.ndarray:
    """What resample_poly itself would design for single precision, each time anew."""
    from scipy.signal import firwin

    most = max(up, down)
    return firwin(2 * CROSSINGS * most + 1, 1 / most, window=("kaiser", 5.0)).astype(np.float32)
