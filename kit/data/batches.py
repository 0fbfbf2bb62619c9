"""Which items make a batch: shuffled passes cut into epochs, half and half with pseudo labels, or by like length."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler


def generator_for(*key: int) -> torch.Generator:
    """A CPU generator that is a function of the key, such as (seed, epoch, step)."""
    state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


class EpochBatches(Sampler):
    """Batches of indices: endless shuffled passes over n items, cut into epochs of `steps` (0: one pass an epoch).

    A pass is a permutation drawn from (seed, pass); each process takes every `world`-th index of a batch, so that all
    of them together see each item once a pass. A last batch too small to share joins the one before it.
    """

    def __init__(self, n: int, batch_size: int, *, seed: int = 0, steps: int = 0, rank: int = 0, world: int = 1):
        if not batch_size >= 1 or batch_size < world:
            raise ValueError(f"batch_size must be at least 1 and the number of processes ({world}), got {batch_size}")
        if n < world:
            raise ValueError(f"there must be at least one item for each of {world} processes, got {n}")
        self.n, self.batch_size, self.seed, self.rank, self.world = n, batch_size, seed, rank, world
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

    def __iter__(self) -> Iterator[list[int]]:
        order, drawn = None, -1
        for batch in range(self.epoch * self.steps, (self.epoch + 1) * self.steps):
            number, place = divmod(batch, self.passes)
            if number != drawn:
                order, drawn = torch.randperm(self.n, generator=generator_for(self.seed, number)).tolist(), number
            end = self.n if place == self.passes - 1 else (place + 1) * self.batch_size
            yield order[place * self.batch_size : end][self.rank :: self.world]


class HalfReal(Sampler):
    """The batches of two samplers side by side; the second's indices come after the first's n items."""

    def __init__(self, real: EpochBatches, pseudo: EpochBatches):
        self.real, self.pseudo = real, pseudo

    def set_epoch(self, epoch: int) -> None:
        self.real.set_epoch(epoch)
        self.pseudo.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.real)

    def __iter__(self) -> Iterator[list[int]]:
        for real, pseudo in zip(self.real, self.pseudo, strict=True):
            yield real + [self.real.n + index for index in pseudo]


def train_batches(
    n_real: int, n_pseudo: int, batch_size: int, *, seed: int, steps: int, rank: int, world: int
) -> EpochBatches | HalfReal:
    """Batches over n_real items, or where there are pseudo items half and half, each half in passes of its own.

    An epoch of 0 steps is one pass over the real items. Raises ValueError where a half is smaller than `world`.
    """
    if not n_pseudo:
        return EpochBatches(n_real, batch_size, seed=seed, steps=steps, rank=rank, world=world)
    if batch_size < 2 * world or n_pseudo < world:
        raise ValueError(
            f"batch_size must be at least {2 * world}, a real and a pseudo item a process, and so many pseudo items be "
            f"there ({world}), got {batch_size} and {n_pseudo}"
        )
    real = EpochBatches(n_real, batch_size // 2, seed=seed, steps=steps, rank=rank, world=world)
    pseudo = EpochBatches(n_pseudo, batch_size - batch_size // 2, seed=seed, steps=len(real), rank=rank, world=world)
    return HalfReal(real, pseudo)


def length_batches(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Indices in batches of like length, the longest first, each padded to at most `most` in all (or one item)."""
    batches: list[list[int]] = []
    for index in np.argsort(-np.asarray(sizes), kind="stable").tolist():
        if not batches or (len(batches[-1]) + 1) * sizes[batches[-1][0]] > most:
            batches.append([])
        batches[-1].append(index)
    return batches
