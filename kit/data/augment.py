"""SpecAugment (Park et al. 2019, arXiv 1904.08779) for a whole batch: draw a plan, then apply it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

FILLS = ("mean", "floor")
FLOOR = -20.0  # natural log of about 1e-9 in power, HW4's padding value


@dataclass(frozen=True)
class MaskPlan:
    """First position and width of each mask, (B, masks) each."""

    time_start: Tensor
    time_width: Tensor
    freq_start: Tensor
    freq_width: Tensor

    def to(self, device) -> "MaskPlan":
        return MaskPlan(*(value.to(device, non_blocking=True) for value in vars(self).values()))

    def repeated(self, times: int) -> "MaskPlan":
        """The plan for `times` blocks of the items, such as their views, all masked alike."""
        return MaskPlan(*(value.repeat(times, 1) for value in vars(self).values()))


@dataclass(frozen=True)
class SpecAugment:
    """Time and frequency masks, drawn for each item of a batch.

    Filled with the item's mean in each bin: -20, the source's fill, lies far outside mean-normalised features and
    keeps a net at chance; it is there as fill="floor".
    """

    time_masks: int = 2
    time_mask_frames: int = 10
    freq_masks: int = 2
    freq_mask_bins: int = 8
    fill: str = "mean"

    def __post_init__(self):
        for name in ("time_masks", "time_mask_frames", "freq_masks", "freq_mask_bins"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.fill not in FILLS:
            raise ValueError(f"fill must be one of {', '.join(FILLS)}, got {self.fill!r}")

    def draw(self, lengths: Tensor, n_mels: int, generator: torch.Generator) -> MaskPlan:
        """A plan for items of `lengths` (B,) valid frames: widths U{0..max}, places uniform where the mask fits."""
        n, n_time = self.time_masks + self.freq_masks, self.time_masks
        uniform = torch.rand(2, len(lengths), n, generator=generator).numpy()
        sizes = np.full((len(lengths), n), n_mels)
        sizes[:, :n_time] = lengths.numpy()[:, None]
        most = np.array([self.time_mask_frames] * n_time + [self.freq_mask_bins] * self.freq_masks, np.float32)
        width = np.minimum((uniform[0] * (most + 1)).astype(np.int64), sizes)
        start = (uniform[1] * (sizes - width + 1).astype(np.float32)).astype(np.int64)
        start, width = torch.from_numpy(start), torch.from_numpy(width)
        return MaskPlan(start[:, :n_time], width[:, :n_time], start[:, n_time:], width[:, n_time:])

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
    hidden = _covered(plan.time_start, plan.time_width, mel.shape[1])[:, :, None]  # (B, T, 1)
    hidden = hidden | _covered(plan.freq_start, plan.freq_width, mel.shape[2])[:, None, :]  # (B, T, F)
    return torch.where(hidden, fill, mel)


def _hide_on_cpu(mel: Tensor, fill: Tensor, plan: MaskPlan) -> Tensor:
    """The same in place, by writing what is masked alone: on a CPU each pass over the batch is paid for."""
    items, fills = mel.numpy(), fill[:, 0].numpy()  # (B, T, F), (B, F)
    item, frame = _positions(plan.time_start, plan.time_width)
    items[item, frame] = fills[item]
    item, mel_bin = _positions(plan.freq_start, plan.freq_width)
    items[item, :, mel_bin] = fills[item, mel_bin][:, None]
    return mel


def _positions(start: Tensor, width: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Item and position of all that masks (B, masks) cover."""
    first, n = start.numpy().ravel(), width.numpy().ravel()
    mask = np.repeat(np.arange(len(n)), n)
    step = np.arange(len(mask)) - np.repeat(np.cumsum(n) - n, n)
    return mask // max(1, width.shape[1]), first[mask] + step


def mean_frame(mel: Tensor, mask: Tensor | None) -> Tensor:
    """Each item's mean over its valid frames, (B, T, F) -> (B, 1, F)."""
    if mask is None:
        return mel.mean(1, keepdim=True)
    valid = mask[:, :, None].to(mel.dtype)
    return (mel * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True)


def _covered(start: Tensor, width: Tensor, size: int) -> Tensor:
    """Which of `size` positions lie under any of the masks, (B, masks) -> (B, size)."""
    position = torch.arange(size, device=start.device)
    return ((position >= start[..., None]) & (position < (start + width)[..., None])).any(1)
