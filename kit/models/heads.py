"""Heads: an embedding z (B, D) becomes logits (B, C). The margin is the training loop's step, never forward's."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LinearHead(nn.Linear):
    """logits = W z + b."""

    def with_margin(self, logits: Tensor, target: Tensor, margin: float | Tensor | None = None) -> Tensor:
        """The logits as they are: this head has no margin."""
        return logits


class CosineHead(nn.Module):
    """logits_c = scale · cos(z, W_c), without bias; scale is the source's temperature τ.

    Computed in float32 also under autocast: a cosine rounded to bfloat16 and multiplied by 30 is off by 0.1.

    Raises:
        ValueError: scale is not positive.
    """

    def __init__(self, width: int, n_classes: int, scale: float = 16.0):
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be > 0, got {scale}")
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(n_classes, width))  # one prototype a class
        nn.init.xavier_normal_(self.weight)

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            cosine = F.linear(F.normalize(z.float(), dim=1), F.normalize(self.weight.float(), dim=1))  # (B, C)
        return self.scale * cosine

    def with_margin(self, logits: Tensor, target: Tensor, margin: float | Tensor | None = None) -> Tensor:
        """The logits as they are: this head has no margin."""
        return logits


class AMSoftmaxHead(CosineHead):
    """scale · cos(z, W_c) in forward; `with_margin` turns it into scale · (cos − margin · y_c) for the training loss.

    Wang et al. 2018 (arXiv 1801.05599); the margin of a soft target y, margin · y_c, is ours.

    Raises:
        ValueError: scale is not positive, or margin is outside [0, 1).
    """

    def __init__(self, width: int, n_classes: int, scale: float = 30.0, margin: float = 0.2):
        super().__init__(width, n_classes, scale)
        if not 0 <= margin < 1:
            raise ValueError(f"margin must be in [0, 1), got {margin}")
        self.margin = margin

    def with_margin(self, logits: Tensor, target: Tensor, margin: float | Tensor | None = None) -> Tensor:
        """Training logits for target (B,) of class numbers or (B, C) of soft labels; margin None is the head's own."""
        margin = self.margin if margin is None else margin
        if target.dim() == 1:
            target = torch.zeros_like(logits).scatter(1, target.unsqueeze(1), 1.0)  # (B, C)
        return logits - self.scale * margin * target


def class_means(z: Tensor, target: Tensor, n_classes: int) -> Tensor:
    """The mean embedding (n_classes, D) of each class, of z (N, D) and class numbers (N,).

    Raises ValueError naming a class that has none, or is out of range.
    """
    counts = torch.bincount(target, minlength=n_classes)  # (n_classes,), or longer
    odd = n_classes if len(counts) > n_classes else int(counts.argmin())
    if len(counts) > n_classes or not counts[odd]:
        raise ValueError(f"target must hold each class from 0 to {n_classes - 1}, got {counts[odd]} of class {odd}")
    return z.new_zeros(n_classes, z.shape[1]).index_add(0, target, z) / counts[:, None]


def mix_directions(own: Tensor, other: Tensor, w: float) -> Tensor:
    """(1 − w)·a/|a| + w·b/|b|, row by row, of a and b (N, D)."""
    return torch.lerp(F.normalize(own, dim=1), F.normalize(other, dim=1), w)


def mix_prototypes(own: Tensor, other: Tensor, w: float) -> Tensor:
    """normalise((1 − w)·Ŵ + w·V̂), row by row, of prototypes W and V (C, D): the prototype-level mixup."""
    return F.normalize(mix_directions(own, other, w), dim=1)
