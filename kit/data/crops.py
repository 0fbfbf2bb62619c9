"""Where a batch's crops lie in their utterances: at random, whole, evenly spaced, as windows, around boxes.

Lengths are in the store's unit, frames of a store of log-mels, samples of one of waves (`Mels.units` converts).
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch

from kit.data.boxes import BoxCrops
from kit.data.windows import window_starts


class Items(NamedTuple):
    """The utterances of a batch, (B,) each."""

    row: np.ndarray  # of the store's index
    start: np.ndarray  # first unit in the store
    size: np.ndarray  # units
    is_pseudo: np.ndarray  # is it here for its pseudo labels?


class Cut(NamedTuple):
    """The crops of a batch, (M,) each, an item's side by side."""

    start: np.ndarray  # first unit in the store
    length: np.ndarray  # units that there are
    longest: int  # units that every crop is filled up to
    times: int | list[int] = 1  # crops of an item: a number for all, or one for each


class Crop(Protocol):
    """cut(items, generator) -> Cut. The generator is None outside training, where nothing is drawn."""

    def cut(self, items: Items, generator: torch.Generator | None) -> Cut: ...


class RandomCrops:
    """One crop of `segment` units an item, uniform over where it fits."""

    def __init__(self, segment: int):
        self.segment = _checked(segment)

    def cut(self, items: Items, generator: torch.Generator) -> Cut:
        length = np.minimum(items.size, self.segment)
        where = torch.rand(len(items.row), generator=generator).numpy()
        start = items.start + (where * (items.size - length + 1).astype(np.float32)).astype(np.int64)
        return Cut(start, length, self.segment)


class CropsAroundBoxes:
    """One crop of `segment` units an item, where kit.data.boxes draws it."""

    def __init__(self, segment: int, boxes: BoxCrops):
        self.segment, self.boxes = _checked(segment), boxes

    def cut(self, items: Items, generator: torch.Generator) -> Cut:
        drawn = self.boxes.draw_starts(items.row, items.is_pseudo, items.size, self.segment, generator)
        return Cut(items.start + drawn, np.minimum(items.size, self.segment), self.segment)


class WholeClips:
    """Every item whole, or one longer than `most` units as pieces of so many; 0 is no limit."""

    def __init__(self, most: int = 0):
        self.most = most

    def cut(self, items: Items, generator: torch.Generator | None = None) -> Cut:
        if not self.most or int(items.size.max()) <= self.most:
            return Cut(items.start, items.size, int(items.size.max()))
        spread = [window_starts(n, self.most, 0) for n in items.size.tolist()]
        times = [len(starts) for starts in spread]
        length = np.minimum(items.size, self.most)
        return Cut(items.start.repeat(times) + np.concatenate(spread), length.repeat(times), int(length.max()), times)

    def units(self, sizes: np.ndarray) -> np.ndarray:
        """Units that are served of items of these sizes (N,), with what fills up a short one."""
        return np.where(sizes > self.most, self.most * -(-sizes // self.most), sizes) if self.most else sizes


class EvenCrops:
    """n crops of `segment` units, from the start of an item to its end; one lies in the middle."""

    def __init__(self, segment: int, n: int):
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        self.segment, self.n = _checked(segment), n

    def cut(self, items: Items, generator: torch.Generator | None = None) -> Cut:
        length = np.minimum(items.size, self.segment)
        share = np.linspace(0, 1, self.n) if self.n > 1 else np.array([0.5])
        spread = np.rint(share * (items.size - length)[:, None]).astype(np.int64)  # (B, n)
        return Cut((items.start[:, None] + spread).ravel(), length.repeat(self.n), self.segment, self.n)

    def units(self, sizes: np.ndarray) -> np.ndarray:
        return np.full_like(sizes, self.segment * self.n)


class WindowCrops:
    """Windows of `segment` units over the whole of each item, neighbours sharing at least `overlap` units."""

    def __init__(self, segment: int, overlap: int):
        if not 0 <= overlap < segment:
            raise ValueError(f"overlap must be in [0, {segment}), got {overlap}")
        self.segment, self.overlap = _checked(segment), overlap

    def cut(self, items: Items, generator: torch.Generator | None = None) -> Cut:
        spread = [window_starts(n, self.segment, self.overlap) for n in items.size.tolist()]
        times = [len(starts) for starts in spread]
        length = np.minimum(items.size, self.segment)
        return Cut(items.start.repeat(times) + np.concatenate(spread), length.repeat(times), self.segment, times)

    def units(self, sizes: np.ndarray) -> np.ndarray:
        spare = (sizes - self.segment).clip(min=0)
        return self.segment * (1 - (-spare // (self.segment - self.overlap)))


def _checked(segment: int) -> int:
    if segment < 1:
        raise ValueError(f"a crop must have at least 1 frame or sample, got {segment}")
    return segment
