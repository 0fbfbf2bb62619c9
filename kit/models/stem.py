"""The stem: log-mels made comparable across recordings, and laid out as frames of the model's width."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.pooling import mean_over_time

NORMALIZATIONS = ("none", "mean", "mean_std", "clip", "min_max")
NATS_PER_DB = math.log(10) / 10  # of a power
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # red, green, blue of 0 to 1


class Normalize(nn.Module):
    """mel (B, T, F), natural log of power, made comparable across clips, each by its own valid frames alone.

    none: as it is. mean: minus the mean of each bin. mean_std: over the deviation of each bin too. clip: minus the mean
    and over the deviation of all bins together. min_max: from 0, the clip's least, to 1, its largest value; a clip of
    one value is 0.
    top_db: first, what lies more than so many decibels under the clip's largest value is raised to there; 0 for not.
    Padded frames come out as 0: with min_max as the clip's least value, else with all but none as its mean.

    Raises:
        ValueError: an unknown way, or top_db below 0.
    """

    def __init__(self, normalize: str, top_db: float = 0.0):
        super().__init__()
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {', '.join(NORMALIZATIONS)}, got {normalize!r}")
        if not 0 <= top_db < math.inf:
            raise ValueError(f"top_db must be >= 0, got {top_db}")
        self.normalize = normalize
        self.top_db = top_db

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.top_db:
            mel = mel.maximum(_most(mel, mask) - self.top_db * NATS_PER_DB)
        if self.normalize in ("mean", "mean_std"):
            mel = mel - mean_over_time(mel, mask).unsqueeze(1)
        if self.normalize == "mean_std":
            variance = mean_over_time(mel.square(), mask).unsqueeze(1)  # (B, 1, F)
            mel = mel / (variance + 1e-5).sqrt()  # a silent bin stays 0
        if self.normalize == "clip":
            mel = mel - _clip_mean(mel, mask)
            mel = mel / (_clip_mean(mel.square(), mask) + 1e-5).sqrt()
        if self.normalize == "min_max":
            least = -_most(-mel, mask)
            mel = (mel - least) / (_most(mel, mask) - least).clamp(min=1e-5)
        return mel if mask is None else mel.masked_fill(~mask.unsqueeze(-1), 0.0)


def _clip_mean(mel: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of each clip's valid cells, (B, 1, 1)."""
    return mean_over_time(mel, mask).mean(dim=1)[:, None, None]


def _most(mel: Tensor, mask: Tensor | None) -> Tensor:
    """The largest of each clip's valid cells, (B, 1, 1)."""
    if mask is not None:
        mel = mel.masked_fill(~mask.unsqueeze(-1), -math.inf)
    return mel.amax(dim=(1, 2), keepdim=True)


class ImageNetStatistics(nn.Module):
    """An image (B, C, H, W) of 0 to 1 minus ImageNet's mean, over its deviation: colour by colour for three channels.

    Nets for one channel, whose kernels are sums over the colours, have the colours' averages, 0.449 and 0.226.
    Raises ValueError for other numbers of channels.
    """

    def __init__(self, in_chans: int):
        super().__init__()
        if in_chans not in (1, 3):
            raise ValueError(f"in_chans must be 1 or 3 with ImageNet's statistics, got {in_chans}")
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if in_chans == 1:
            mean, std = mean.mean().view(1), std.mean().view(1)
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


def stack_frames(mel: Tensor, mask: Tensor | None, frame_stack: int) -> tuple[Tensor, Tensor | None]:
    """k adjacent frames side by side: (B, ceil(T / k), k·F), the end filled with 0, valid where any of the k is."""
    batch, n_frames, n_mels = mel.shape
    missing = -n_frames % frame_stack
    mel = F.pad(mel, (0, 0, 0, missing)).reshape(batch, -1, frame_stack * n_mels)
    if mask is not None:
        mask = F.pad(mask, (0, missing)).reshape(batch, -1, frame_stack).any(dim=-1)  # (B, ceil(T / k))
    return mel, mask


class FrameStem(nn.Module):
    """mel (B, T, F) to frames (B, ceil(T / frame_stack), D): normalise, stack, one Linear.

    Raises:
        ValueError: frame_stack is under 1, or an unknown normalize.
    """

    def __init__(self, n_mels: int, width: int, normalize: str, frame_stack: int):
        super().__init__()
        if frame_stack < 1:
            raise ValueError(f"frame_stack must be >= 1, got {frame_stack}")
        self.frame_stack = frame_stack
        self.normalize = Normalize(normalize)
        self.linear = nn.Linear(frame_stack * n_mels, width)

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        mel = self.normalize(mel, mask)
        if self.frame_stack > 1:
            mel, mask = stack_frames(mel, mask, self.frame_stack)
        return self.linear(mel), mask  # (B, T, D)
