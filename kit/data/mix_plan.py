"""The plan of a mixture: (λ, permutation, place), drawn once, applied to what is at the place and to the targets.

h' = λ h + (1 − λ) h[π]. Where the source takes x and x[π] through the first stages one after the other, we permute
what one pass gives. In eval that is the same; in training the two halves see one batch norm, as they would, and an item
keeps its own dropout when it is the other half.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

LABELS = ("shares", "union", "sum")  # how the labels of two halves become one's


@dataclass(frozen=True)
class MixPlan:
    """From `place` on, item i is lam of itself and 1 − lam of item perm[i].

    lam: () for the whole batch, or (B,); perm: (B,). stretch: clips of unequal lengths are brought to the longer one's
    before they are mixed, for the last map, where frames are averaged: see `stretched`. labels: see `mix_labels`.
    Raises ValueError where lam or perm is not so, as far as they are on a CPU.
    """

    lam: Tensor
    perm: Tensor
    place: str
    stretch: bool = False
    labels: str = "shares"

    def __post_init__(self):
        if self.lam.shape not in ((), self.perm.shape):
            raise ValueError(f"lam must be () or {tuple(self.perm.shape)} like perm, got {tuple(self.lam.shape)}")
        if self.lam.device.type != "cpu":  # a look at the values would make the host wait for the card
            return
        if not ((self.lam >= 0) & (self.lam <= 1)).all():
            raise ValueError(f"lam must be in [0, 1], got {self.lam.tolist()}")
        if not torch.equal(self.perm.sort().values, torch.arange(len(self.perm))):
            raise ValueError(f"perm must be a permutation of 0 to {len(self.perm) - 1}, got {self.perm.tolist()}")

    def to(self, device: str | torch.device) -> "MixPlan":
        lam, perm = (value.to(device, non_blocking=True) for value in (self.lam, self.perm))
        return replace(self, lam=lam, perm=perm)

    def repeated(self, times: int) -> "MixPlan":
        """The plan for `times` blocks (times · B, ...) of the items, such as their views, each mixed within itself."""
        blocks = torch.arange(times, device=self.perm.device)[:, None] * len(self.perm)
        lam = self.lam.repeat(times) if self.lam.dim() else self.lam
        return replace(self, lam=lam, perm=(blocks + self.perm).flatten())

    def apply(self, h: Tensor) -> Tensor:
        """The mixture of any (B, ...), of its shape and dtype."""
        return self._lerp(h, h.index_select(0, self.perm))

    def _lerp(self, own: Tensor, other: Tensor) -> Tensor:
        lam = self.lam.to(own.dtype).view(-1, *[1] * (own.dim() - 1))  # (1 or B, 1, ...)
        return torch.lerp(other, own, lam)  # exactly `own` where lam is 1

    def mix(self, place: str, h: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What goes on from a place of a net: the mixture at the plan's own, valid where a half with a share in it is.

        A compiled net has a graph for each place: raise torch._dynamo.config.recompile_limit where there are over 8.
        """
        if place != self.place:
            return h, mask
        if mask is None:
            return self.apply(h), None
        lam = self.lam.view(-1, 1)
        other = mask.index_select(0, self.perm)
        valid = (mask & (lam > 0)) | (other & (lam < 1))
        if not self.stretch:
            return self.apply(h), valid
        halves = stretched(h, mask, valid), stretched(h.index_select(0, self.perm), other, valid)
        return self._lerp(*halves).masked_fill(~valid.unsqueeze(-1), 0.0), valid

    def lengths(self, length: np.ndarray) -> np.ndarray:
        """Lengths (B,) of mixtures: the longer one's, of the halves that have a share in it."""
        lam = self.lam.cpu().numpy()
        other = length[self.perm.cpu().numpy()]
        return np.maximum(np.where(lam > 0, length, 0), np.where(lam < 1, other, 0))

    def target(self, target: Tensor, n_classes: int) -> Tensor:
        """The mixture's shares of classes (B, C), of class numbers (B,) or of labels (B, C).

        Cross-entropy with it is λ·ℓ(p, y) + (1 − λ)·ℓ(p, y[π]), and a head's margin becomes m times the share.
        """
        labels = functional.one_hot(target, n_classes) if target.dim() == 1 else target
        return self.apply(labels.float())

    def mix_labels(self, target: Tensor, weight: Tensor, counts: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The labels of a mixture of labels (B, C) of 1, 0 and NaN where unknown; weight (B, C) is of their positives,
        counts (B, C) of both, None for 1.

        In "shares", each pair is what the halves that know it say: target Σ share·y / Σ share, NaN where neither knows;
        the weight of its positive part Σ share·y·weight / Σ share·y, 1 where y is 0; and known Σ share, how much of the
        mixture knows it, which weighs the pair in a loss.
        In "union" and "sum" it is the maximum, or the sum up to 1, of both, whatever their shares: known wholly where
        both halves know it, or one has it (y = 1), and else NaN, as where one lacks it and nothing is known of the
        other. A half without a share has no say.
        """
        if self.labels != "shares":
            return self._joined(target, weight, torch.ones_like(target) if counts is None else counts)
        lam = self.lam.to(target.dtype).expand(len(target))[:, None]  # (B, 1)
        known, positive, weighted = (torch.zeros_like(target) for _ in range(3))
        share = (lam, 1 - lam) if counts is None else (lam * counts, (1 - lam) * counts[self.perm])
        halves = (share[0], target, weight), (share[1], target[self.perm], weight[self.perm])
        for share, labels, of_positive in halves:
            knows = share * ~labels.isnan()
            known, positive = known + knows, positive + knows * labels.nan_to_num()
            weighted = weighted + knows * labels.nan_to_num() * of_positive
        mixed = torch.where(known > 0, positive / known, torch.nan)
        return mixed, torch.where(positive > 0, weighted / positive, 1.0), known

    def _joined(self, target: Tensor, weight: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        lam = self.lam.to(target.dtype).expand(len(target))[:, None]  # (B, 1)
        share = torch.stack([lam, 1 - lam])  # (2, B, 1)
        labels, weight, counts = (torch.stack([value, value[self.perm]]) for value in (target, weight, counts))
        labels = torch.where(share > 0, labels, 0.0)  # (2, B, C)
        joined = labels.amax(0) if self.labels == "union" else labels.sum(0).clamp(max=1)  # NaN where either is
        joined = torch.where((labels == 1).any(0), 1.0, joined)
        knows, has = share * ~labels.isnan(), share * labels.nan_to_num()
        known = torch.where(joined.isnan(), 0.0, (knows * counts).sum(0) / knows.sum(0).clamp(min=1e-12))
        return joined, torch.where(has.sum(0) > 0, (has * weight).sum(0) / has.sum(0), 1.0), known


def stretched(h: Tensor, mask: Tensor, to_mask: Tensor) -> Tensor:
    """The valid frames of h (B, T, D) spread evenly over those of `to_mask` (B, T), which are as many or more.

    Masks are True, then False. Of a clip as a step function of time a new frame is the mean over its own span, so that
    the mean over all frames stays what it was: λ is then the share of a clip in the mean of a mixture, whatever its
    length. Overlaid as they are, 50 frames of 100 would have half their share. Frames past `to_mask` are anything.
    """
    old, new = mask.sum(1, keepdim=True), to_mask.sum(1, keepdim=True).clamp(min=1)  # (B, 1)
    frame = torch.arange(h.shape[1], device=h.device)
    first = torch.minimum(frame * old // new, old - 1)  # (B, T); whole numbers, so that no rounding moves a frame
    # Frame t spans [t, t + 1)·old/new, in parts of 1/new: `inside` of `old` of them lie in the frame `first`.
    inside = torch.minimum((first + 1) * new - frame * old, old).clamp(min=0)
    after = torch.minimum(first + 1, old - 1)
    one, two = (h.gather(1, index.clamp(min=0).unsqueeze(-1).expand_as(h)) for index in (first, after))
    share = inside.to(torch.promote_types(h.dtype, torch.float32)) / old
    return torch.lerp(two, one, share.to(h.dtype).unsqueeze(-1))
