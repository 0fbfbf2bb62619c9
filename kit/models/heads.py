"""Heads: an embedding z (B, D) becomes logits (B, C). The margin is the training step's, never forward's."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.parts import above, at_least, fraction, part


@part
class Linear:
    """Softmax regression: logits = W z + b."""

    def make(self, width: int, n_classes: int) -> nn.Module:
        return LinearHead(width, n_classes)


@part
class Cosine:
    """Cosines to one prototype a class, times the source's temperature."""

    scale: float = 16.0
    angular = True  # prototypes and embeddings are compared by angle, as LPC views need

    def check(self):
        above(self, 0, "scale")

    def make(self, width: int, n_classes: int) -> nn.Module:
        return CosineHead(width, n_classes, self.scale)


@part
class AMSoftmax:
    """Cosines whose true class must lead by a margin in training (Wang et al. 2018, arXiv 1801.05599)."""

    scale: float = 30.0
    margin: float = 0.2
    warmup_steps: int = 0  # over which the margin grows from 0
    angular = True

    def check(self):
        above(self, 0, "scale")
        fraction(self, "margin")
        at_least(self, 0, "warmup_steps")

    def make(self, width: int, n_classes: int) -> nn.Module:
        return AMSoftmaxHead(width, n_classes, self.scale, self.margin)

    def margin_at(self, step: int) -> float:
        """The margin at a training step, from 0: it grows linearly over the warm-up."""
        return self.margin * min(1.0, step / self.warmup_steps) if self.warmup_steps else self.margin


@part
class NormHead:
    """A Conformer's classifier in the source's later versions: batch norm of z, then one linear layer."""

    def make(self, width: int, n_classes: int) -> nn.Module:
        return Classifier(EmbeddingNorm(width), nn.Linear(width, n_classes))


@part
class HiddenHead:
    """A Conformer's classifier as the source draws it: batch norm, linear, ReLU, dropout, linear."""

    dropout: float = 0.1

    def check(self):
        fraction(self, "dropout")

    def make(self, width: int, n_classes: int) -> nn.Module:
        hidden = (nn.Linear(width, width), nn.ReLU(), nn.Dropout(self.dropout))
        return Classifier(EmbeddingNorm(width), *hidden, nn.Linear(width, n_classes))


def no_margin(logits: Tensor, target: Tensor, margin: float | Tensor | None = None) -> Tensor:
    """The logits as they are: `with_margin` of a head without margin."""
    return logits


class LinearHead(nn.Linear):
    """logits = W z + b."""

    with_margin = staticmethod(no_margin)


class EmbeddingNorm(nn.BatchNorm1d):
    """Batch norm of z (B, D); a training batch of one, which has no variance, takes the running statistics."""

    def forward(self, z: Tensor) -> Tensor:
        if self.training and len(z) == 1:
            return F.batch_norm(z, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(z)


class Classifier(nn.Sequential):
    """Layers from z (B, D) to logits (B, C)."""

    with_margin = staticmethod(no_margin)


class CosineHead(nn.Module):
    """logits_c = scale · cos(z, W_c), without bias; scale is the source's temperature τ.

    Computed in float32 also under autocast: a cosine rounded to bfloat16 and multiplied by 30 is off by 0.1.
    """

    with_margin = staticmethod(no_margin)

    def __init__(self, width: int, n_classes: int, scale: float = 16.0):
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(n_classes, width))  # one prototype a class
        nn.init.xavier_normal_(self.weight)

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            cosine = F.linear(F.normalize(z.float(), dim=1), F.normalize(self.weight.float(), dim=1))  # (B, C)
        return self.scale * cosine


class AMSoftmaxHead(CosineHead):
    """scale · cos(z, W_c) in forward; `with_margin` turns it into scale · (cos − margin · y_c) for the training loss.

    Wang et al. 2018 (arXiv 1801.05599); the margin of a soft target y, margin · y_c, is ours.
    """

    def __init__(self, width: int, n_classes: int, scale: float = 30.0, margin: float = 0.2):
        super().__init__(width, n_classes, scale)
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
