"""Which rows a pass draws: `(target, generator) -> order (N,)`, of N rows N numbers.

target is (N,) class numbers, or (N, C) labels with NaN where unknown. A sampler that must know more of the rows than
their labels has `with_rows(table)`, which is given their part of the store's index and gives the sampler to ask.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kit.parts import above, as_part, at_least, make, part, share


@part
class Shuffled:
    """A permutation of all rows: each row once a pass."""

    def __call__(self, target: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(target), generator=generator)


SHUFFLED = Shuffled()


@part
class Balanced:
    """Rows drawn with replacement, as many as there are, in proportion to their class's count ** −power.

    power 0 draws all rows alike, 1 all classes. A row of several labels counts as the rarest class that it is known to
    have; rows that are known to have none are a class of their own.
    least, most: how often a class is drawn a pass, on average, at least and at most, 0 for no limit; what that takes or
    gives the others is shared in proportion.
    """

    power: float = 0.5
    least: int = 0
    most: int = 0

    def check(self):
        at_least(self, 0, "power", "least", "most")
        if 0 < self.most < self.least:
            raise ValueError(f"most must be 0 or at least least ({self.least}), got {self.most}")

    def __call__(self, target: Tensor, generator: torch.Generator) -> Tensor:
        number, count = row_classes(target)
        weight = count.double() ** -self.power
        if self.least or self.most:
            draws = torch.bincount(number, weight)  # (K,), 0 where a class is the rarest of no row
            limited = self._limited(draws[draws > 0].numpy(), len(target))
            weight = weight * torch.zeros_like(draws).masked_scatter(draws > 0, torch.from_numpy(limited))[number]
        return torch.multinomial(weight, len(target), replacement=True, generator=generator)

    def _limited(self, draws: np.ndarray, n: int) -> np.ndarray:
        """What draws (K,), in proportion to which classes are drawn, are multiplied by for n in all, within limits."""
        k = len(draws)
        if self.least * k > n:
            raise ValueError(f"least must be at most {n // k} for {n} rows of {k} classes, got {self.least}")
        if 0 < self.most * k < n:
            raise ValueError(f"most must be 0 or at least {-(-n // k)} for {n} rows of {k} classes, got {self.most}")

        def drawn(scale: float) -> np.ndarray:
            return np.clip(scale * draws, self.least, self.most or np.inf)

        low, high = 0.0, 1.0
        while drawn(high).sum() < n:
            low, high = high, 2 * high
        for _ in range(60):  # halvings, to the last bit
            middle = (low + high) / 2
            low, high = (middle, high) if drawn(middle).sum() < n else (low, middle)
        return drawn(high) / draws


@part
class SomeRows:
    """A part of each class's rows, always the same, in passes as long as one of all rows: what fewer rows would score.

    Of a class's n rows it keeps ceil(share · n).
    """

    share: float = 0.5
    seed: int = 0

    def check(self):
        above(self, 0, "share")
        share(self, "share")
        at_least(self, 0, "seed")

    def __call__(self, target: Tensor, generator: torch.Generator) -> Tensor:
        rows = self.kept(target)
        passes = -(-len(target) // len(rows))
        orders = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(passes)]
        return torch.cat(orders)[: len(target)]

    def kept(self, target: Tensor) -> Tensor:
        """The rows that are ever drawn, in ascending order."""
        number, count = row_classes(target)
        order = torch.randperm(len(target), generator=torch.Generator().manual_seed(self.seed))
        seen: dict[int, int] = {}
        rows = []
        for row in order.tolist():
            name = int(number[row])
            seen[name] = seen.get(name, 0) + 1
            if seen[name] <= math.ceil(self.share * int(count[row])):
                rows.append(row)
        return torch.tensor(sorted(rows))


def row_classes(target: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's class as Balanced counts them (N,), by a number, and how many rows have that class (N,)."""
    if target.dim() == 1:
        _, number, counts = target.unique(return_inverse=True, return_counts=True)
        return number, counts[number]
    has = target == 1  # unknown ones are not 1
    none = ~has.any(1)
    count, number = torch.where(has, has.sum(0), len(target) + 1).min(1)
    return torch.where(none, target.shape[1], number), torch.where(none, none.sum(), count)


@part
class SourceShare:
    """`share` of each pass are rows of one source, such as a contest's "soundscape", the rest rows of all others.

    Either part is drawn by `sampler`, in as many of its passes as it takes. A layout says what the sources are.
    """

    source: str = "soundscape"
    share: float = 0.25
    sampler: Any = Balanced()

    def check(self):
        object.__setattr__(self, "sampler", as_part(self.sampler))
        if not 0 < self.share < 1:
            raise ValueError(f"share must be in (0, 1), got {self.share}")

    def with_rows(self, table: pd.DataFrame) -> "SideBySource":
        """Raises ValueError where the rows tell no sources, or not this one beside others."""
        if "source" not in table:
            raise ValueError("SourceShare needs a layout that tells the source of its rows, and this one does not")
        there = table["source"].to_numpy() == self.source
        if there.all() or not there.any():
            sources = ", ".join(sorted(set(table["source"])))
            raise ValueError(f"source must be one of several of the training rows' ({sources}), got {self.source!r}")
        return SideBySource(torch.from_numpy(there), self.share, make(self.sampler))


@dataclass(frozen=True)
class SideBySource:
    """SourceShare at work, on the rows whose places `there` (N,) tells."""

    there: Tensor
    share: float
    sampler: Any

    def __call__(self, target: Tensor, generator: torch.Generator) -> Tensor:
        n = len(target)
        n_there = min(max(1, round(self.share * n)), n - 1)
        parts = ((self.there, n_there), (~self.there, n - n_there))
        order = torch.cat([self._drawn(target, rows, count, generator) for rows, count in parts])
        return order[torch.randperm(n, generator=generator)]

    def _drawn(self, target: Tensor, rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` numbers of some rows, of as many passes over them as it takes."""
        number = rows.nonzero().flatten()
        passes = -(-count // len(number))
        drawn = [torch.as_tensor(self.sampler(target[number], generator)) for _ in range(passes)]
        return number[torch.cat(drawn)[:count]]
