"""Mixup: how the plans of kit.data.mix_plan are drawn, and for which places of a net.

At the input (Zhang et al. 2018, arXiv 1710.09412), of waves or of log-mels, or between two stages of the net (Verma et
al. 2019, arXiv 1806.05236), at the source's places: the input and each stage before the last. The last map is mixed as
the last stage ends, so after the activation of a net that has one there: the source mixes before it, but never inside a
residual block.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kit.data.features import has_waves
from kit.data.mix_plan import LABELS, MixPlan
from kit.parts import at_least, fraction, make, one_of, part, part_name, share

# λ ~ Beta(α, α) by the place, 1 and 0.1 being the sources'. The embedding takes the last map's: after a mean over time
# the two are one.
ALPHAS = {"input": 1.0, "wave": 1.0, "manifold": 1.0, "last_layer": 0.1, "embedding": 0.1}
NEEDED = ("place", "mix", "apply", "target", "to", "repeated", "lam", "perm")  # of a plan of one's own


@part
class Mixup:
    """Mixtures of two items of a batch, in epochs `from_epoch` to `until_epoch` (as the log counts them; 0 has no end).

    place: "wave" (of features Wave), "input" (log-mels), "manifold" (one of several places of the net, drawn for each
    batch), "last_layer" (the last map, before pooling) or "embedding" (what pooling gives).
    alpha: of Beta(alpha, alpha), 0 for the place's own. lam: a λ that does not change, 0 for a drawn one.
    per_row: a λ for each item, not one for the batch.
    places: of "manifold", such as ("input", "layer1"); empty for those the net names.
    labels, of several a row: in "shares" of λ, or what either half has, in "union" (the maximum) or "sum" (at most 1).
    """

    place: str = "manifold"
    alpha: float = 0.0
    lam: float = 0.0
    labels: str = "shares"
    probability: float = 1.0  # that a batch is mixed
    per_row: bool = False
    places: tuple = ()
    from_epoch: int = 1
    until_epoch: int = 0

    def check(self):
        one_of(self, "place", ALPHAS)
        one_of(self, "labels", LABELS)
        fraction(self, "lam")
        if self.lam and self.alpha:
            raise ValueError(f"alpha must be 0 with a lam that does not change, got {self.alpha}")
        at_least(self, 0, "alpha", "until_epoch")
        at_least(self, 1, "from_epoch")
        share(self, "probability")
        if self.places and self.place != "manifold":
            raise ValueError(f'places must be empty unless place is "manifold", got {self.places!r}')
        if not all(isinstance(place, str) for place in self.places):
            raise ValueError(f"places must be names of places, got {self.places!r}")
        if len(set(self.places)) < len(self.places):
            raise ValueError(f"places must name each place once, got {self.places!r}")
        if 0 < self.until_epoch < self.from_epoch:
            raise ValueError(
                f"until_epoch must be 0 or at least from_epoch ({self.from_epoch}), got {self.until_epoch}"
            )

    def check_with(self, experiment: Any):
        if "wave" in (self.place, *self.places) and not has_waves(experiment.features):
            raise ValueError(f'features must be Wave with place "wave", got {part_name(experiment.features)}')
        if self.labels != "shares" and getattr(experiment.loss, "task", "multi") == "single":
            raise ValueError(
                f'labels must be "shares" with one label a row, as of {part_name(experiment.loss)}, got "{self.labels}"'
            )
        if self.from_epoch > experiment.loop.epochs:
            raise ValueError(f"from_epoch must be at most epochs ({experiment.loop.epochs}), got {self.from_epoch}")

    def drawer(self, net_places: tuple[str, ...], stage_names: tuple[str, ...], has_waves: bool) -> "MixDrawer":
        """What draws plans for a net of these stages, whose distinct places to mix at are net_places.

        Raises ValueError listing the places where one is asked for that the net, or the store, does not have.
        """
        last = stage_names[-1:]
        known = (*(["wave"] if has_waves else []), "input", *stage_names, *(["embedding"] if stage_names else []))
        named = {"manifold": self.places or net_places, "last_layer": last}
        places = named.get(self.place, (self.place,))
        if not places or (self.place == "manifold" and not self.places and set(places) <= {"input"}):
            raise ValueError(
                f'place "{self.place}" needs a net with stages to mix between, and this one has none; its places are '
                f"{', '.join(known)}"
            )
        for place in places:
            if place not in known:
                field = "places must be among" if self.places else "place must be one of"
                raise ValueError(f"{field} {', '.join(known)} for this net, got {place!r}")
        return MixDrawer(
            places, self.alpha or ALPHAS[self.place], self.probability, self.per_row, self.from_epoch,
            self.until_epoch or math.inf, last, self.lam, self.labels,
        )  # fmt: skip


@dataclass(frozen=True)
class MixDrawer:
    """draw(items, epoch, generator) -> MixPlan | None, at one of `places`, equally likely. `last`: the last map's."""

    places: tuple[str, ...]
    alpha: float = 1.0
    probability: float = 1.0
    per_row: bool = False
    from_epoch: int = 1
    until_epoch: float = math.inf
    last: tuple[str, ...] = ()
    lam: float = 0.0
    labels: str = "shares"

    def draw(self, items: int, epoch: int, generator: torch.Generator) -> MixPlan | None:
        """The plan for a batch of `items` in an epoch (from 1); None where it is not mixed."""
        if not self.from_epoch <= epoch <= self.until_epoch:
            return None
        if torch.rand((), generator=generator).item() >= self.probability:
            return None
        place = self.places[torch.randint(len(self.places), (), generator=generator).item()]
        perm = torch.randperm(items, generator=generator)
        seed = int(torch.randint(2**62, (), generator=generator))  # torch's own Beta takes no generator
        lam = self.lam or np.random.default_rng(seed).beta(self.alpha, self.alpha, items if self.per_row else None)
        return MixPlan(torch.as_tensor(lam, dtype=torch.float32), perm, place, place in self.last, self.labels)


class OwnDrawer:
    """A mixup of one's own: an object with draw(items, epoch, generator) -> plan or None. The plans are checked."""

    def __init__(self, mix: Any):
        self.name, self.mix = part_name(mix), make(mix)
        if not hasattr(self.mix, "draw"):
            raise ValueError(f"mix must have draw(items, epoch, generator), and {self.name} has none")

    def draw(self, items: int, epoch: int, generator: torch.Generator) -> Any:
        plan = self.mix.draw(items, epoch, generator)
        missing = [name for name in NEEDED if plan is not None and not hasattr(plan, name)]
        if missing:
            raise ValueError(f"a plan of {self.name} must have {', '.join(NEEDED)}, and lacks {', '.join(missing)}")
        return plan


def mix_drawer(
    mix: Any, net_places: tuple[str, ...], stage_names: tuple[str, ...], has_waves: bool
) -> MixDrawer | OwnDrawer | None:
    """What draws the plans of an experiment's mix; None where nothing is mixed."""
    if mix is None:
        return None
    return mix.drawer(net_places, stage_names, has_waves) if hasattr(mix, "drawer") else OwnDrawer(mix)


def mixup_accuracy(logits: Tensor, target: Tensor, plan: MixPlan | None) -> Tensor:
    """Each item's λ·[y is the likeliest] + (1 − λ)·[y[π] is], (B,); the accuracy is their mean. target (B,)."""
    likeliest = logits.argmax(1)
    right = (likeliest == target).float()
    if plan is None:
        return right
    return torch.lerp((likeliest == target.index_select(0, plan.perm)).float(), right, plan.lam)
