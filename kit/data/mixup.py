"""Mixup: a plan (λ, permutation, place), drawn once, applied to what is at the place and to the targets.

h' = λ h + (1 − λ) h[π], λ ~ Beta(α, α), at the input (Zhang et al. 2018, arXiv 1710.09412) or between two stages of
the net (Verma et al. 2019, arXiv 1806.05236). Where the source takes x and x[π] through the first stages one after
the other, we permute what one pass gives. In eval that is the same; in training the two halves see one batch norm, as
they would, and an item keeps its own dropout when it is the other half. The last map is mixed as the last stage ends,
so after the activation of a net that has one there: the source mixes before it, but never inside a residual block.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# mix: the places its λ is for (None: `mix_places`, or every one from the input to the last stage), and its own α.
# 1 and 0.1 are the sources'. The embedding takes the last map's, for after a mean over time the two are one.
MIXES = {
    "none": ((), 0.0),
    "input": (("input",), 1.0),
    "wave": (("wave",), 1.0),
    "manifold": (None, 1.0),
    "last_layer": (("final",), 0.1),
    "embedding": (("embedding",), 0.1),
}


@dataclass(frozen=True)
class MixPlan:
    """From `place` on, item i is lam of itself and 1 − lam of item perm[i].

    lam: () for the whole batch, or (B,); perm: (B,). Raises ValueError where they are not, as far as they are on a CPU.
    """

    lam: Tensor
    perm: Tensor
    place: str

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
        return MixPlan(self.lam.to(device, non_blocking=True), self.perm.to(device, non_blocking=True), self.place)

    def repeated(self, times: int) -> "MixPlan":
        """The plan for `times` blocks (times · B, ...) of the items, such as their views, each mixed within itself."""
        blocks = torch.arange(times, device=self.perm.device)[:, None] * len(self.perm)
        lam = self.lam.repeat(times) if self.lam.dim() else self.lam
        return MixPlan(lam, (blocks + self.perm).flatten(), self.place)

    def apply(self, h: Tensor) -> Tensor:
        """The mixture of any (B, ...), of its shape and dtype."""
        lam = self.lam.to(h.dtype).view(-1, *[1] * (h.dim() - 1))  # (1 or B, 1, ...)
        return torch.lerp(h.index_select(0, self.perm), h, lam)  # exactly h where lam is 1

    def mix(self, place: str, h: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What goes on from a place of a Net: the mixture at the plan's own, valid where either half is.

        A compiled net has a graph for each place: raise torch._dynamo.config.recompile_limit where there are over 8.
        """
        if place != self.place:
            return h, mask
        return self.apply(h), None if mask is None else mask | mask.index_select(0, self.perm)

    def target(self, target: Tensor, n_classes: int) -> Tensor:
        """The mixture's shares of classes (B, C), of class numbers (B,) or of labels (B, C).

        Cross-entropy with it is λ·ℓ(p, y) + (1 − λ)·ℓ(p, y[π]), and a head's margin becomes m times the share.
        """
        labels = functional.one_hot(target, n_classes) if target.dim() == 1 else target
        return self.apply(labels.float())


@dataclass(frozen=True)
class Mixup:
    """How plans are drawn: λ ~ Beta(alpha, alpha) for a batch or for each of its items, the place one of `places`.

    A batch is mixed with `probability`, in epochs `from_epoch` to `until_epoch` (from 1; 0 has no end).
    """

    places: tuple[str, ...]
    alpha: float = 1.0
    probability: float = 1.0
    per_row: bool = False
    from_epoch: int = 1
    until_epoch: int = 0

    def __post_init__(self):
        if not self.places or len(set(self.places)) < len(self.places):
            raise ValueError(f"places must name one place or more, each once, got {self.places!r}")
        if not 0 < self.alpha < float("inf"):
            raise ValueError(f"alpha must be above 0 and finite, got {self.alpha}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {self.probability}")
        if self.from_epoch < 1:
            raise ValueError(f"from_epoch must be at least 1, got {self.from_epoch}")
        if self.until_epoch and self.until_epoch < self.from_epoch:
            raise ValueError(
                f"until_epoch must be 0 or at least from_epoch ({self.from_epoch}), got {self.until_epoch}"
            )

    def draw(self, items: int, epoch: int, generator: torch.Generator) -> MixPlan | None:
        """The plan for a batch of `items` in an epoch (from 1); None where it is not mixed."""
        if epoch < self.from_epoch or self.until_epoch and epoch > self.until_epoch:
            return None
        if torch.rand((), generator=generator).item() >= self.probability:
            return None
        place = self.places[torch.randint(len(self.places), (), generator=generator).item()]
        perm = torch.randperm(items, generator=generator)
        seed = torch.randint(2**62, (), generator=generator).item()  # torch's own Beta takes no generator
        lam = np.random.default_rng(seed).beta(self.alpha, self.alpha, items if self.per_row else None)
        return MixPlan(torch.as_tensor(lam, dtype=torch.float32), perm, place)


def build_mixup(config, stage_names: tuple[str, ...], features: str) -> Mixup | None:
    """The mixup of a config's mix fields, for a net of these stages; None where none is drawn.

    Raises ValueError listing the places where one is asked for that the net, or features "mel", does not have.
    """
    if config.drawn_mix == "none":
        return None
    places, alpha = MIXES[config.drawn_mix]
    places = places or config.mix_places or ("input", *stage_names)
    known = (*(["wave"] if features == "wave" else []), "input", *stage_names, "embedding")
    for place in places:
        if place not in known:
            raise ValueError(f"mix_places must be among {', '.join(known)}, got {place!r}")
    return Mixup(
        places, config.mix_alpha or alpha, config.mix_probability, config.mix_per_row,
        config.mix_from_epoch, config.mix_until_epoch,
    )  # fmt: skip


def mixup_accuracy(logits: Tensor, target: Tensor, plan: MixPlan | None) -> Tensor:
    """Each item's λ·[y is the likeliest] + (1 − λ)·[y[π] is], (B,); the accuracy is their mean. target (B,)."""
    likeliest = logits.argmax(1)
    right = (likeliest == target).float()
    if plan is None:
        return right
    return torch.lerp((likeliest == target.index_select(0, plan.perm)).float(), right, plan.lam)
