"""Which items make a batch: a sampler's passes cut into epochs, real beside pseudo items, or by like length."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from kit.data.samplers import SHUFFLED
from kit.parts import make, part_name


def generator_for(*key: int) -> torch.Generator:
    """A CPU generator that is a function of the key, such as (seed, epoch, step)."""
    state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


class Drawn(list):
    """A batch's indices; `before`, one an index, tells how often each was drawn earlier in the epoch.

    A sampler that draws with replacement repeats rows, which must not repeat their crops and augmentations.
    """

    def __init__(self, indices: Sequence[int], before: Sequence[int]):
        super().__init__(indices)
        self.before = list(before)


class EpochBatches(Sampler):
    """Batches of indices: endless passes over the rows of a target, cut into epochs of `steps` (0: one pass an epoch).

    target (N,) class numbers, or (N, C) labels with NaN where unknown. sampler: `(target, generator) -> order (N,)` of
    a pass, the generator being one of (seed, pass). Each process takes every `world`-th index of a batch, so that all
    of them together see a pass once. A last batch too small to share joins the one before it.
    """

    def __init__(
        self, target: Tensor, batch_size: int, *, sampler: Any = SHUFFLED, seed: int = 0, steps: int = 0,
        rank: int = 0, world: int = 1,
    ):  # fmt: skip
        n = len(target)
        if not batch_size >= 1 or batch_size < world:
            raise ValueError(f"batch_size must be at least 1 and the number of processes ({world}), got {batch_size}")
        if n < world:
            raise ValueError(f"there must be at least one item for each of {world} processes, got {n}")
        self.target, self.n, self.batch_size, self.seed, self.rank, self.world = (
            target, n, batch_size, seed, rank, world
        )  # fmt: skip
        self.name, self.sampler = part_name(sampler), make(sampler)
        short = n % batch_size
        # A batch of one item has no variance for batch norm, and one smaller than `world` leaves a process idle.
        joins = n > batch_size and 0 < short < max(2, world)
        self.passes = max(1, n // batch_size if joins or not short else n // batch_size + 1)
        self.steps = steps or self.passes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Drawn]:
        order, drawn, times = None, -1, Counter()  # times: of each index in this epoch, in all processes
        for batch in range(self.epoch * self.steps, (self.epoch + 1) * self.steps):
            number, nth = divmod(batch, self.passes)
            if number != drawn:
                order, drawn = self._order(generator_for(self.seed, number)), number
            end = self.n if nth == self.passes - 1 else (nth + 1) * self.batch_size
            indices, before = order[nth * self.batch_size : end], []
            for index in indices:
                before.append(times[index])
                times[index] += 1
            yield Drawn(indices[self.rank :: self.world], before[self.rank :: self.world])

    def _order(self, generator: torch.Generator) -> list[int]:
        order = torch.as_tensor(self.sampler(self.target, generator))
        if order.shape != (self.n,) or order.is_floating_point() or not ((order >= 0) & (order < self.n)).all():
            raise ValueError(f"{self.name} must give {self.n} rows' numbers from 0 to {self.n - 1}, got {order}")
        return order.tolist()


class SideBySide(Sampler):
    """The batches of two samplers side by side; the second's indices come after the first's n items."""

    def __init__(self, real: EpochBatches, pseudo: EpochBatches):
        self.real, self.pseudo = real, pseudo

    def set_epoch(self, epoch: int) -> None:
        self.real.set_epoch(epoch)
        self.pseudo.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.real)

    def __iter__(self) -> Iterator[Drawn]:
        for real, pseudo in zip(self.real, self.pseudo, strict=True):
            yield Drawn(real + [self.real.n + index for index in pseudo], real.before + pseudo.before)


def train_batches(
    target: Tensor,
    n_pseudo: int,
    batch_size: int,
    *,
    sampler: Any = SHUFFLED,
    seed: int,
    steps: int,
    rank: int,
    world: int,
    share: float = 0.5,
    pseudo_sampler: Any = SHUFFLED,
) -> EpochBatches | SideBySide:
    """Batches over the real items of a target; where there are pseudo items, `share` of each batch is of those, each
    part in passes of its own sampler's.

    An epoch of 0 steps is one pass over the real items. Raises ValueError where a part is smaller than `world`.
    """
    shares = {"seed": seed, "rank": rank, "world": world}
    if not n_pseudo:
        return EpochBatches(target, batch_size, sampler=sampler, steps=steps, **shares)
    if batch_size < 2 * world or n_pseudo < world:
        raise ValueError(
            f"batch_size must be at least {2 * world}, a real and a pseudo item a process, and so many pseudo items be "
            f"there ({world}), got {batch_size} and {n_pseudo}"
        )
    n_real = int(batch_size * (1 - share) + 1e-9)  # down, but for what a share loses in binary: 10 * (1 - 0.9) is 1
    n_real = min(max(n_real, world), batch_size - world)
    real = EpochBatches(target, n_real, sampler=sampler, steps=steps, **shares)
    pseudo = EpochBatches(
        torch.zeros(n_pseudo), batch_size - n_real, sampler=pseudo_sampler, steps=len(real), **shares
    )  # fmt: skip
    return SideBySide(real, pseudo)


def length_batches(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Indices in batches of like length, the longest first, each padded to at most `most` in all (or one item)."""
    batches: list[list[int]] = []
    for index in np.argsort(-np.asarray(sizes), kind="stable").tolist():
        if not batches or (len(batches[-1]) + 1) * sizes[batches[-1][0]] > most:
            batches.append([])
        batches[-1].append(index)
    return batches
