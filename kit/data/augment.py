"""SpecAugment (Park et al. 2019, arXiv 1904.08779) for a whole batch: draw a plan, then apply it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from kit.parts import at_least, one_of, part

FILLS = ("mean", "floor")
FLOOR = -20.0  # natural log of about 1e-9 in power, HW4's padding value


@dataclass(frozen=True)
class MaskPlan:
    """First position and width of each mask, (masks, B) each: the first n_time are of frames, the rest of mel bins."""

    start: Tensor
    width: Tensor
    n_time: int

    def to(self, device) -> "MaskPlan":
        start, width = (value.to(device, non_blocking=True) for value in (self.start, self.width))
        return MaskPlan(start, width, self.n_time)

    def repeated(self, times: int) -> "MaskPlan":
        """The plan for `times` blocks of the items, such as their views, all masked alike."""
        return MaskPlan(self.start.repeat(1, times), self.width.repeat(1, times), self.n_time)


@part
class SpecAugment:
    """Time and frequency masks, drawn for each item of a batch; together they leave it a frame and a bin at the least.

    Filled with the item's mean in each bin: -20, the source's fill, lies far outside mean-normalised features and
    keeps a net at chance; it is there as fill="floor".
    """

    time_masks: int = 2
    time_mask_frames: int = 10
    freq_masks: int = 2
    freq_mask_bins: int = 8
    fill: str = "mean"

    def check(self):
        at_least(self, 0, "time_masks", "time_mask_frames", "freq_masks", "freq_mask_bins")
        one_of(self, "fill", FILLS)

    def draw(self, lengths: Tensor, n_mels: int, generator: torch.Generator) -> MaskPlan:
        """A plan for items of `lengths` (B,) valid frames: widths U{0..widest}, starts uniform where the mask fits.

        The widest mask of n such is the field's, or the n-th part of all frames (or bins) but one, rounded down.
        """
        is_time, most, n_masks = self._masks
        uniform = torch.rand(2, len(lengths), len(most), generator=generator).numpy().swapaxes(1, 2)  # (2, masks, B)
        size = np.where(is_time, lengths.numpy(), n_mels)
        widest = np.minimum(most, ((size - 1) // n_masks).astype(np.float32))
        width = (uniform[0] * (widest + 1)).astype(np.int64)
        start = (uniform[1] * (size - width + 1).astype(np.float32)).astype(np.int64)
        return MaskPlan(torch.from_numpy(start), torch.from_numpy(width), self.time_masks)

    @cached_property
    def _masks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which masks are of time, the most that each covers, and how many there are of its sort; (masks, 1) each."""
        most = [self.time_mask_frames] * self.time_masks + [self.freq_mask_bins] * self.freq_masks
        is_time = np.arange(len(most))[:, None] < self.time_masks
        return is_time, np.array(most, np.float32)[:, None], np.where(is_time, self.time_masks, self.freq_masks)

    def apply(self, mel: Tensor, plan: MaskPlan, mask: Tensor | None = None, *, in_place: bool = False) -> Tensor:
        """The masked batch (B, T, F); `mask` (B, T) tells valid frames, None that all are.

        The input is kept, unless in_place=True says that it is the caller's own, and its memory may be used again.
        """
        fill = mean_frame(mel, mask) if self.fill == "mean" else mel.new_full((len(mel), 1, mel.shape[2]), FLOOR)
        if mel.device.type == "cpu":
            return _hide_on_cpu(mel if in_place else mel.clone(), fill, plan)
        return _hide(mel, fill, plan)


def _hide(mel: Tensor, fill: Tensor, plan: MaskPlan) -> Tensor:
    """`fill` (B, 1, F) where a mask lies, in a few passes over the whole batch."""
    start, end, n_time = plan.start[..., None], (plan.start + plan.width)[..., None], plan.n_time

    def covered(masks: slice, size: int) -> Tensor:
        position = torch.arange(size, device=mel.device)
        return ((position >= start[masks]) & (position < end[masks])).any(0)  # (B, size)

    hidden = covered(slice(n_time), mel.shape[1])[:, :, None]  # (B, T, 1)
    return torch.where(hidden | covered(slice(n_time, None), mel.shape[2])[:, None, :], fill, mel)


def _hide_on_cpu(mel: Tensor, fill: Tensor, plan: MaskPlan) -> Tensor:
    """The same in place, by writing what is masked alone: on a CPU each pass over the batch is paid for.

    So is each call: they are as few as can be.
    """
    items, fills = mel.numpy(), fill[:, 0].numpy()  # (B, T, F), (B, F)
    width = plan.width.numpy()
    n = width.ravel()
    item = np.broadcast_to(np.arange(len(items)), width.shape).ravel().repeat(n)  # of each position that masks cover
    position = (plan.start.numpy().ravel() - n.cumsum() + n).repeat(n) + np.arange(len(item))
    split = int(width[: plan.n_time].sum())
    items[item[:split], position[:split]] = fills[item[:split]]
    item, mel_bin = item[split:], position[split:]
    items[item, :, mel_bin] = fills[item, mel_bin][:, None]
    return mel


def mean_frame(mel: Tensor, mask: Tensor | None) -> Tensor:
    """Each item's mean over its valid frames, (B, T, F) -> (B, 1, F)."""
    if mask is None:
        return mel.mean(1, keepdim=True)
    valid = mask[:, :, None].to(mel.dtype)
    return (mel * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True)
