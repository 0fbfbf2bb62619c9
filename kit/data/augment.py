"""SpecAugment (Park et al. 2019, arXiv 1904.08779) for a whole batch: draw a plan, then apply it."""

from dataclasses import dataclass

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
        bins = torch.full_like(lengths, n_mels)
        time = _draw(lengths, self.time_masks, self.time_mask_frames, generator)
        freq = _draw(bins, self.freq_masks, self.freq_mask_bins, generator)
        return MaskPlan(*time, *freq)

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
    """The same in place, by writing the masks alone: on a CPU each pass over the batch is paid for."""
    items, fills = mel.numpy(), fill[:, 0].numpy()  # (B, T, F), (B, F)
    for item, own, starts, widths in zip(items, fills, plan.time_start.tolist(), plan.time_width.tolist(), strict=True):
        for start, width in zip(starts, widths, strict=True):
            item[start : start + width] = own
    for item, own, starts, widths in zip(items, fills, plan.freq_start.tolist(), plan.freq_width.tolist(), strict=True):
        for start, width in zip(starts, widths, strict=True):
            item[:, start : start + width] = own[start : start + width]
    return mel


def mean_frame(mel: Tensor, mask: Tensor | None) -> Tensor:
    """Each item's mean over its valid frames, (B, T, F) -> (B, 1, F)."""
    if mask is None:
        return mel.mean(1, keepdim=True)
    valid = mask[:, :, None].to(mel.dtype)
    return (mel * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True)


def _draw(sizes: Tensor, n: int, widest: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    uniform = torch.rand(2, len(sizes), n, generator=generator)
    width = (uniform[0] * (widest + 1)).long().minimum(sizes[:, None])  # U{0..widest}, never wider than the item
    start = (uniform[1] * (sizes[:, None] - width + 1)).long()
    return start, width


def _covered(start: Tensor, width: Tensor, size: int) -> Tensor:
    """Which of `size` positions lie under any of the masks, (B, masks) -> (B, size)."""
    position = torch.arange(size, device=start.device)
    return ((position >= start[..., None]) & (position < (start + width)[..., None])).any(1)
