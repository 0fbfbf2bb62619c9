"""Shift averaging: what a net says of a clip and of the same clip begun elsewhere, averaged.

A call at a clip's edge is cut in two for a net that saw calls whole; begun later, the clip has it in its midst. A clip
is rolled: what is pushed out at one end comes in at the other, so that no audio beyond it is needed. BirdCLEF+ 2026's
second place rolls by ±1.25 s with weights 1, 2, 2.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kit.data import crops
from kit.data.batch import Batch
from kit.parts import part
from kit.training.predict import WholeClip


@part
class ShiftAverage:
    """Another way to predict, `way`, of each of its crops rolled by each of `shifts`, frames; weights: one a shift."""

    shifts: tuple = (-31, 0, 31)
    weights: tuple = (1.0, 2.0, 1.0)
    way: Any = WholeClip()

    def check(self):
        if not self.shifts or not all(isinstance(n, int) and not isinstance(n, bool) for n in self.shifts):
            raise ValueError(f"shifts must be at least one whole number of frames, got {self.shifts}")
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) and one > 0 for one in self.weights)
        if len(self.weights) != len(self.shifts) or not numbers:
            raise ValueError(f"weights must be {len(self.shifts)} numbers above 0, got {self.weights}")

    def check_with(self, experiment: Any):
        if experiment.views is not None:
            raise ValueError("views must be None with ShiftAverage, got LPCViews")

    @property
    def batch_frames(self) -> int:
        return self.way.batch_frames

    def crop(self, units: Callable[[int], int], frames: int) -> crops.Crop:
        return self.way.crop(units, frames)

    def pool(self, value: np.ndarray, first: np.ndarray) -> np.ndarray:
        return self.way.pool(value, first)

    def of_batch(self, probability: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        """The weighted mean of probabilities (B, C) over the shifts."""
        total: Any = sum(
            weight * probability(batch._replace(mel=rolled(batch.mel, batch.mask, shift)))
            for shift, weight in zip(self.shifts, self.weights, strict=True)
        )
        return total / sum(self.weights)


def rolled(mel: Tensor, mask: Tensor | None, shift: int) -> Tensor:
    """mel (B, T, F) with each item's valid frames, the first ones of mask (B, T), moved on by `shift`, and round."""
    if mask is None:
        return mel.roll(shift, 1)
    frame = torch.arange(mel.shape[1], device=mel.device)
    valid = mask.sum(1, keepdim=True).clamp(min=1)  # (B, 1)
    source = torch.where(mask, (frame - shift) % valid, frame)  # (B, T)
    return mel.gather(1, source.unsqueeze(-1).expand_as(mel))
