"""Losses: `loss(logits (B, C), batch) -> scalar`, where batch.target and batch.weight are those of a mixture already.

A target is class numbers (B,) or shares of classes (B, C); with several labels a row, 1, 0, shares between them, and
NaN where unknown. Focal: Lin et al. 2017 (arXiv 1708.02002), without its balancing α, and for soft targets the sum of
both parts. `task` says which labels a loss is for; one of your own without it is for both.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kit.parts import at_least, fraction, part, part_name, share


@part
class CrossEntropy:
    """Cross-entropy of one label a row, in single precision."""

    label_smoothing: float = 0.0
    task = "single"

    def check(self):
        fraction(self, "label_smoothing")

    def __call__(self, logits: Tensor, batch: Any) -> Tensor:
        return functional.cross_entropy(logits.float(), batch.target, label_smoothing=self.label_smoothing)


@part
class BCE:
    """Binary cross-entropy over the known pairs. label_smoothing ε makes a target of 1 into 1 − ε/2, of 0 into ε/2.

    positive_weight: of positive pairs relative to negatives; each epoch leaves positive_decay of its distance from 1.
    """

    label_smoothing: float = 0.0
    positive_weight: float = 1.0
    positive_decay: float = 1.0
    task = "multi"

    def check(self):
        fraction(self, "label_smoothing")
        share(self, "positive_decay")
        at_least(self, 0, "positive_weight")

    def positive_at(self, epoch: int) -> float:
        """The weight of positive pairs in an epoch, from 0."""
        return 1 + (self.positive_weight - 1) * self.positive_decay**epoch

    def __call__(self, logits: Tensor, batch: Any) -> Tensor:
        return multilabel_loss(logits, batch.target, batch.weight, batch.known, label_smoothing=self.label_smoothing)


@part
class Focal:
    """As BCE, each pair weighted by (1 − p of what is so)^gamma."""

    gamma: float = 2.0
    label_smoothing: float = 0.0
    positive_weight: float = 1.0
    positive_decay: float = 1.0
    task = "multi"
    positive_at = BCE.positive_at

    def check(self):
        BCE.check(self)
        at_least(self, 0, "gamma")

    def __call__(self, logits: Tensor, batch: Any) -> Tensor:
        return multilabel_loss(
            logits, batch.target, batch.weight, batch.known, gamma=self.gamma, label_smoothing=self.label_smoothing
        )


def multilabel_loss(
    logits: Tensor,
    target: Tensor,
    positive: Tensor | None = None,
    known: Tensor | None = None,
    *,
    gamma: float = 0.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """−[w y (1 − p)^γ log p + (1 − y) p^γ log(1 − p)], the mean over known pairs, in single precision; 0 if none is.

    target y (B, C) is NaN where unknown; positive w (B, C) or None for 1; known (B, C) a pair's share in [0, 1] of what
    is known of it, None for 1.
    """
    seen = ~target.isnan()
    weight = seen.float() if known is None else known * seen
    y = target.nan_to_num()
    y = y * (1 - label_smoothing) + label_smoothing / 2
    gain = 1.0 if positive is None else positive.nan_to_num(1.0)
    logits = logits.float()
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    hits, misses = gain * y * log_p, (1 - y) * log_q
    if gamma:
        hits, misses = hits * (gamma * log_q).exp(), misses * (gamma * log_p).exp()
    return -((hits + misses) * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).eps)


def known_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Each item's share of known pairs on the right side of a half (B,); 1 where none is known."""
    known = ~target.isnan()
    right = ((logits > 0) == (target > 0.5)) & known
    return torch.where(known.any(1), right.sum(1) / known.sum(1).clamp(min=1), 1.0)


def check_loss(loss: Any, task: str) -> None:
    """Raises ValueError where a loss is not for the competition's labels."""
    if getattr(loss, "task", task) != task:
        wanted = "BCE or Focal" if task == "multi" else "CrossEntropy"
        raise ValueError(
            f"loss must be {wanted}, or one of your own, for this competition's labels, got {part_name(loss)}"
        )
