"""A sound event detector's head: every frame is classified, and each class attends to the frames that show it.

After Kong et al. 2020 (arXiv 1912.10211), as competitors build it: frames smoothed by the maximum plus the mean of
neighbours, a hidden layer, then attention over time for each class. Attention and classifier here weigh logits, not
probabilities, and the attention is not squashed by a tanh, so that one frame among many can have all the weight.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.heads import no_margin
from kit.models.pooling import weights_over_time
from kit.parts import part

MOST_WIDTH = 512  # of the hidden layer


@part
class ClassAttention:
    """Attention over time for each class, in the place of a pooling, and a classifier for clips and single frames."""

    def pool(self, width: int, n_classes: int) -> nn.Module:
        """The pooling that goes with this head, in place of the net's."""
        return ClassPooling(width, n_classes)

    def make(self, width: int, n_classes: int) -> nn.Module:
        return FrameHead(width, n_classes)


class ClassPooling(nn.Module):
    """frames (B, T, D) to an embedding a class, z (B, C, D): z_c = Σ_t a_tc h_t, a_c = softmax over valid frames."""

    def __init__(self, width: int, n_classes: int):
        super().__init__()
        self.out_width = min(width, MOST_WIDTH)
        self.hidden = nn.Linear(width, self.out_width)
        self.score = nn.Linear(self.out_width, n_classes)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        h = self.frames(frames, mask)
        return self.attention(h, mask).transpose(1, 2).to(h.dtype) @ h

    def attention(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """Each class's weights (B, T, C) of what it attends to (B, T, D); they sum to 1, and padding has 0."""
        return weights_over_time(self.score(h), mask)

    def frames(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """What is attended to (B, T, D): frames with their neighbours, through the hidden layer."""
        return torch.relu(self.hidden(smooth(frames, mask)))


class FrameHead(nn.Module):
    """logits_c = W_c · z_c + b_c of z (B, C, D); the same weights classify single frames."""

    with_margin = staticmethod(no_margin)

    def __init__(self, width: int, n_classes: int):
        super().__init__()
        self.linear = nn.Linear(width, n_classes)

    def forward(self, z: Tensor) -> Tensor:
        return (z * self.linear.weight).sum(-1) + self.linear.bias

    def framewise(self, frames: Tensor) -> Tensor:
        """Logits (B, T, C) of frames (B, T, D); a clip's are their mean by the attention's weights."""
        return self.linear(frames)


def smooth(frames: Tensor, mask: Tensor | None = None) -> Tensor:
    """The maximum plus the mean of each frame and its two neighbours (B, T, D); padded frames are no neighbours."""
    valid = torch.ones_like(frames[..., :1]) if mask is None else mask.unsqueeze(-1).to(frames.dtype)  # (B, T, 1)
    lowest = torch.finfo(frames.dtype).min
    highest = _with_neighbours(frames.masked_fill(valid == 0, lowest), F.max_pool2d)
    total = _with_neighbours(frames * valid, F.avg_pool2d)
    share = _with_neighbours(valid, F.avg_pool2d)
    return torch.where(valid == 0, 0.0, highest + total / share.clamp(min=1e-6))


def _with_neighbours(frames: Tensor, pool: Callable[..., Tensor]) -> Tensor:
    """Pooled over three frames in an image of one row: torch.export takes the length of max_pool1d for a fixed one."""
    return pool(frames.transpose(1, 2).unsqueeze(2), (1, 3), 1, (0, 1)).squeeze(2).transpose(1, 2)
