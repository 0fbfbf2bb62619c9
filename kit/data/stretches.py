"""Rows as stretches of recordings: each file is packed once, and a row is so many frames, or samples, of it.

Times become samples first, rounded to the nearest; from there on all is whole numbers, so that a time such as 0.07 s,
which no float holds, costs no frame. Frame t covers samples [t·hop, t·hop + window) of its file, and a stretch has the
frames that lie wholly inside of it: of two stretches end to end, those across the border are in neither.
"""

import math

from kit.data.features import LogMel

SLACK_SECONDS = 0.05  # past a file's end: tables round their times, and codecs cut a frame of theirs


def stretch_units(start_seconds: float, end_seconds: float, samples: int, mel: LogMel, kind: str) -> tuple[int, int]:
    """The first unit of a row in its file and how many there are: frames, or of a store of waves samples.

    samples: the file's, at the rate of `mel`. Both times are NaN where the row is the whole file, or its first
    mel.most_seconds.
    Raises ValueError with the rule where the stretch ends past the file or holds no whole frame.
    """
    rate, window, hop = mel.sample_rate_hz, mel.window_samples, mel.hop_samples
    if math.isnan(start_seconds):
        if samples < window:
            raise ValueError(f"must hold at least one window of {window} samples, got {samples}")
        samples = min(samples, mel.most_samples or samples)
        return 0, samples if kind == "wave" else mel.n_frames(samples)
    first, end = round(start_seconds * rate), round(end_seconds * rate)
    stretch = f"the stretch from {start_seconds:g} to {end_seconds:g} s"
    if end > samples + SLACK_SECONDS * rate:
        raise ValueError(f"{stretch} must lie in its file, which ends at {samples / rate:g} s")
    end = min(end, samples)
    step = 1 if kind == "wave" else hop
    begin = -(-first // step)
    if end - begin * step < window:
        raise ValueError(
            f"{stretch} must hold a whole frame, {window} samples from a multiple of {step}, got {first} to {end}"
        )
    return begin, end - begin if kind == "wave" else mel.n_frames(end - begin * hop)


def needed_samples(start_seconds: float, end_seconds: float, mel: LogMel) -> float:
    """How many of its file's samples a row needs, from the first on; infinity where all of them."""
    if math.isnan(start_seconds):
        return mel.most_samples or math.inf
    return round(end_seconds * mel.sample_rate_hz)
