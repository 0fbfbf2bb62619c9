"""Windows over a whole recording, and one prediction from those of its windows."""

import numpy as np

POOLS = ("max", "top")


def window_starts(size: int, segment: int, overlap: int) -> np.ndarray:
    """Where windows of `segment` begin (W,), evenly spread from the start of a recording to its end, neighbours sharing
    at least `overlap`; one window where the recording is no longer.

    Raises ValueError where overlap is not in [0, segment).
    """
    if not 0 <= overlap < segment:
        raise ValueError(f"overlap must be in [0, {segment}), got {overlap}")
    spare = max(0, size - segment)
    windows = 1 + -(-spare // (segment - overlap))
    return np.linspace(0, spare, windows).round().astype(np.int64)


def pool_windows(value: np.ndarray, first: np.ndarray, how: str, top: int = 3) -> np.ndarray:
    """Values of windows (W, C) to one a recording (N, C): their maximum, or the mean of their `top` highest.

    first (N,) is where each recording's windows begin.
    """
    if how not in POOLS:
        raise ValueError(f"how must be one of {', '.join(POOLS)}, got {how!r}")
    if how == "max":
        return np.maximum.reduceat(value, first)
    return np.stack([np.sort(part, axis=0)[-top:].mean(0) for part in np.split(value, first[1:])])
