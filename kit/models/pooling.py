"""Pooling over time: frames (B, T, D) and a mask (B, T), True = valid, become one vector z (B, out_width) a clip.

Every clip must have at least one valid frame; mask None means that every frame is valid.
"""

import torch
from torch import Tensor, nn

from kit.parts import above, at_least, part


@part
class Mean:
    """The mean over time."""

    def make(self, width: int) -> nn.Module:
        return MeanPooling(width)


@part
class SelfAttention:
    """The mean by learned weights (Safari et al. 2020, arXiv 2008.01077)."""

    def make(self, width: int) -> nn.Module:
        return AttentionPooling(width)


@part
class Statistics:
    """Mean and standard deviation by learned weights (Okabe et al. 2018, arXiv 1803.10963): z is twice as wide."""

    hidden_width: int = 128  # of the small net that gives a frame its weight

    def check(self):
        at_least(self, 1, "hidden_width")

    def make(self, width: int) -> nn.Module:
        return StatisticsPooling(width, self.hidden_width)


@part
class GeM:
    """The generalised mean (Radenović et al. 2018, arXiv 1711.02512), between the mean and the maximum."""

    p: float = 3.0  # to begin with, since it is learned; 1 is the mean
    eps: float = 1e-6  # smaller values count as this

    def check(self):
        above(self, 0, "p", "eps")

    def make(self, width: int) -> nn.Module:
        return GeMPooling(width, self.p, self.eps)


@part
class SED:
    """The maximum plus the mean over time, as sound event detectors pool (Kong et al. 2020, arXiv 1912.10211)."""

    def make(self, width: int) -> nn.Module:
        return SEDPooling(width)


def mean_over_time(frames: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of the valid frames, (B, D)."""
    if mask is None:
        return frames.mean(dim=1)
    total = frames.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1)  # (B, D)
    return total / mask.sum(dim=1, keepdim=True)


def weights_over_time(scores: Tensor, mask: Tensor | None) -> Tensor:
    """softmax of scores (B, T), or (B, T, C), over the valid frames, in float32 also under autocast; padding has 0."""
    scores = scores.float()
    if mask is not None:
        scores = scores.masked_fill(~mask.view(*mask.shape, *[1] * (scores.dim() - 2)), float("-inf"))
    return scores.softmax(dim=1)


class MeanPooling(nn.Module):
    """The mean of the valid frames."""

    def __init__(self, width: int):
        super().__init__()
        self.out_width = width

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        return mean_over_time(frames, mask)


class AttentionPooling(nn.Module):
    """z = Σ a_t h_t with a = softmax(w·h_t): self-attention pooling (Safari et al. 2020, arXiv 2008.01077)."""

    def __init__(self, width: int):
        super().__init__()
        self.out_width = width
        self.score = nn.Linear(width, 1, bias=False)  # a bias would cancel in the softmax

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        weights = weights_over_time(self.score(frames).squeeze(-1), mask)  # (B, T)
        return (weights.unsqueeze(-1) * frames).sum(dim=1)  # (B, D)


class StatisticsPooling(nn.Module):
    """z = [μ, σ], the attention-weighted mean and standard deviation (Okabe et al. 2018, arXiv 1803.10963).

    σ² is taken as Σ a_t (h_t − μ)², the same number as Σ a_t h_t² − μ² but never negative by rounding, and kept
    at 1e-6 or more so that its root has a gradient.
    """

    def __init__(self, width: int, hidden_width: int = 128):
        super().__init__()
        self.out_width = 2 * width
        self.score = nn.Sequential(nn.Linear(width, hidden_width), nn.Tanh(), nn.Linear(hidden_width, 1, bias=False))

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        weights = weights_over_time(self.score(frames).squeeze(-1), mask).unsqueeze(-1)  # (B, T, 1)
        mean = (weights * frames).sum(dim=1)  # (B, D)
        variance = (weights * (frames - mean.unsqueeze(1)).square()).sum(dim=1)  # (B, D)
        return torch.cat([mean, variance.clamp(min=1e-6).sqrt()], dim=1)  # (B, 2D)


class GeMPooling(nn.Module):
    """(mean of max(h_t, eps)^p)^(1/p) with p learned: generalised mean (Radenović et al. 2018, arXiv 1711.02512).

    Values under eps count as eps, so it suits frames that are mostly positive, like a map after a ReLU.
    """

    def __init__(self, width: int, p: float = 3.0, eps: float = 1e-6):
        super().__init__()
        self.out_width = width
        self.eps = eps
        self.p = nn.Parameter(torch.tensor(float(p)))

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        powers = frames.float().clamp(min=self.eps).pow(self.p)  # (B, T, D)
        return mean_over_time(powers, mask).pow(1.0 / self.p)


class SEDPooling(nn.Module):
    """The maximum plus the mean over time, as sound event detectors pool (Kong et al. 2020, arXiv 1912.10211)."""

    def __init__(self, width: int):
        super().__init__()
        self.out_width = width

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        heard = frames if mask is None else frames.masked_fill(~mask.unsqueeze(-1), float("-inf"))
        return heard.amax(dim=1) + mean_over_time(frames, mask)
