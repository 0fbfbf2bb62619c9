"""Negative sampling as RFCX's fifth place did it: all recordings with a call, and a few others, anew each time."""

import torch
from torch import Tensor

from kit.parts import at_least, part


@part
class SampledNegatives:
    """Rounds of each recording with a true box once, and of `n` with a false one, drawn anew for each round.

    Of RFCX's recordings four in five have false boxes alone, so that a pass over all hears a call in few crops. A
    recording with both kinds is drawn for either; `true_share` tells how its crops are shared out. The source
    (github.com/trtd56/RFCX, docs/share_teams_20210115.md) draws 30 an epoch, and counts what nobody checked as absent
    in them, where here the loss leaves it out.
    """

    n: int = 30

    def check(self):
        at_least(self, 0, "n")

    def __call__(self, target: Tensor, generator: torch.Generator) -> Tensor:
        has, lacks = (rows.nonzero().flatten() for rows in _kinds(target))
        rounds, count = [], 0
        while count < len(target):
            drawn = lacks[torch.randperm(len(lacks), generator=generator)[: self.n]]
            both = torch.cat([has, drawn])
            rounds.append(both[torch.randperm(len(both), generator=generator)])
            count += len(both)
        return torch.cat(rounds)[: len(target)]

    def true_share(self, target: Tensor) -> float:
        """How many crops of a recording with both kinds of boxes are around a true one, on average over rounds.

        Of F recordings with a false box, a round draws one with probability n/F for that, and once for its true box.
        """
        false = int(_kinds(target)[1].sum())
        return false / (false + min(self.n, false)) if false else 1.0


def _kinds(target: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows (N,) are known to have a class, and which to lack one. Raises ValueError where none has any."""
    if target.dim() == 1:
        raise ValueError("SampledNegatives is for several labels a row, got one label each")
    has, lacks = (target == 1).any(1), (target == 0).any(1)
    if not has.any():
        raise ValueError(f"SampledNegatives needs a row that has a class, got {len(target)} rows without")
    return has, lacks
