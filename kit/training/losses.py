"""Losses: `loss(logits (B, C), batch) -> scalar`, where batch.target and batch.weight are those of a mixture already.

A target is class numbers (B,) or shares of classes (B, C); with several labels a row, 1, 0, shares between them, and
NaN where unknown. Focal: Lin et al. 2017 (arXiv 1708.02002), without its balancing α, and for soft targets the sum of
both parts. Asymmetric: Ridnik et al. 2021 (arXiv 2009.14119), their equations 4 to 6. `task` says which labels a loss
is for; one of your own without it is for both. Losses of other losses are in kit.training.loss_sums.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kit.parts import above, at_least, fraction, part, part_name, share


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
        BCE.check(self)  # pyrefly: ignore[bad-argument-type]
        at_least(self, 0, "gamma")

    def __call__(self, logits: Tensor, batch: Any) -> Tensor:
        return multilabel_loss(
            logits, batch.target, batch.weight, batch.known, gamma=self.gamma, label_smoothing=self.label_smoothing
        )


@part
class Asymmetric:
    """As BCE, positive pairs weighted by (1 − p)^gamma_positive, negative ones by q^gamma_negative, where q = p − shift
    stands for p: a negative below `shift` counts nothing.
    """

    gamma_positive: float = 0.0
    gamma_negative: float = 4.0
    shift: float = 0.05
    positive_weight: float = 1.0
    positive_decay: float = 1.0
    task = "multi"
    positive_at = BCE.positive_at

    def check(self):
        share(self, "positive_decay")
        at_least(self, 0, "positive_weight", "gamma_positive", "gamma_negative")
        fraction(self, "shift")
        if 0 < self.gamma_negative < 1:  # its slope at q = 0 has no bound
            raise ValueError(f"gamma_negative must be 0 or at least 1, got {self.gamma_negative}")

    def __call__(self, logits: Tensor, batch: Any) -> Tensor:
        logits = logits.float()
        log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        of_hits = (self.gamma_positive * log_q).exp()
        of_misses = (torch.sigmoid(logits) - self.shift).clamp(min=0) ** self.gamma_negative
        if self.shift:
            log_q = (torch.sigmoid(-logits) + self.shift).clamp(max=1).log()
        gain, known = _weights(batch.target, batch.weight, batch.known)
        return _mean_of_known(log_p, log_q, batch.target.nan_to_num(), gain, known, of_hits, of_misses)


@part
class SoftAUC:
    """log(1 + exp(−gamma (s⁺ − s⁻))), the mean over a batch's pairs of a row with logit s⁺, which has a class, and one
    with s⁻, which lacks it: ROC-AUC's count of pairs in order, made smooth.

    Of soft labels y a pair weighs y⁺ (1 − y⁻); unknown labels are in no pair. Only ranks within a class matter to it:
    its probabilities are no shares, for which `Sum` sets it beside BCE. RankNet's loss (Burges et al. 2005), taken
    up in BirdCLEF+ 2025 and 2026. Needs memory for B² C numbers.
    """

    gamma: float = 1.0
    task = "multi"

    def check(self):
        above(self, 0, "gamma")

    def __call__(self, logits: Tensor, batch: Any) -> Tensor:
        gain, known = _weights(batch.target, batch.weight, batch.known)
        y, scores = batch.target.nan_to_num(), logits.float()
        has, lacks = gain * y * known, (1 - y) * known  # (B, C)
        others = ~torch.eye(len(y), dtype=torch.bool, device=y.device)
        pairs = has[:, None] * lacks * others[..., None]  # (B, B, C)
        outranked = functional.softplus(-self.gamma * (scores[:, None] - scores))
        return (outranked * pairs).sum() / pairs.sum().clamp(min=torch.finfo(pairs.dtype).eps)


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
    logits = logits.float()
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    focus = ((gamma * log_q).exp(), (gamma * log_p).exp()) if gamma else ()
    y = target.nan_to_num() * (1 - label_smoothing) + label_smoothing / 2
    return _mean_of_known(log_p, log_q, y, *_weights(target, positive, known), *focus)


def _weights(target: Tensor, positive: Tensor | None, known: Tensor | None) -> tuple[Tensor | float, Tensor]:
    """The weight of positive parts, and how much each pair counts (B, C), 0 where it is unknown."""
    seen = ~target.isnan()
    return 1.0 if positive is None else positive.nan_to_num(1.0), seen.float() if known is None else known * seen


def _mean_of_known(log_p, log_q, y, gain, known, of_hits=1.0, of_misses=1.0) -> Tensor:
    """−[gain y log p of_hits + (1 − y) log q of_misses], (B, C) each, the mean over what is known."""
    likelihood = gain * y * log_p * of_hits + (1 - y) * log_q * of_misses
    return -(likelihood * known).sum() / known.sum().clamp(min=torch.finfo(known.dtype).eps)


def known_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Each item's share of known pairs on the right side of a half (B,); 1 where none is known."""
    known = ~target.isnan()
    right = ((logits > 0) == (target > 0.5)) & known
    return torch.where(known.any(1), right.sum(1) / known.sum(1).clamp(min=1), 1.0)


def check_loss(loss: Any, task: str) -> None:
    """Raises ValueError where a loss is not for the competition's labels."""
    if getattr(loss, "task", task) != task:
        wanted = "BCE, Focal, Asymmetric or SoftAUC" if task == "multi" else "CrossEntropy"
        raise ValueError(
            f"loss must be {wanted}, or one of your own, for this competition's labels, got {part_name(loss)}"
        )
