"""An experiment's augmentations at work, in their order: first those of waves, then those of log-mels.

One's own augmentation is an object with draw(lengths (B,), n_bins, generator) -> plan and apply(mel, plan, mask) ->
mel, or a function (mel, mask, generator) -> mel, where mel is (B, T, F) and keeps its shape and dtype. With
`of_wave = True` it is (wave (N,) float32, seed) -> wave, of one wave at a time, which keeps its length.
Where it has `with_rows(store, rows)`, that is given the rows that a fold trains on, and gives what to use.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kit.data.augment import SpecAugment
from kit.data.features import has_waves
from kit.parts import Part, make, part_name


class Augmenters:
    """The parts of `experiment.augment`, made for its features.

    Raises ValueError naming a part that is neither an augmentation nor a function, or of waves where there are none.
    """

    def __init__(
        self, parts: Sequence[Any] = (), features: Any = None, store: Any = None, rows: np.ndarray | Sequence[int] = ()
    ):
        self.of_waves: list[tuple[str, Any]] = []
        self.of_mels: list[tuple[str, Callable[..., Tensor]]] = []
        for part in parts:
            name = part_name(part)
            if is_of_wave(part) and not has_waves(features):
                raise ValueError(f"features must be Wave with {name}, which sees waves")
            worker = make(part, *([features] if hasattr(part, "make") and not isinstance(part, Part) else []))
            if store is not None and hasattr(worker, "with_rows"):
                worker = worker.with_rows(store, rows)
            if is_of_wave(part):
                self.of_waves.append((name, worker))
            else:
                self.of_mels.append((name, _applying(name, worker, not self.of_mels)))

    def waves(self, wave: Tensor, keys: Sequence[Sequence[int]]) -> Tensor:
        """Waves (B, N), each with a seed of its key, such as (seed, epoch, row), for every augmentation."""
        seeds = [np.random.SeedSequence(key).generate_state(len(self.of_waves)) for key in keys]
        changed = []
        for item, own in zip(wave.cpu().numpy(), seeds, strict=True):
            for (name, worker), number in zip(self.of_waves, own.tolist(), strict=True):
                item = _same_wave(name, worker(item, number), item)
            changed.append(item)
        return torch.from_numpy(np.stack(changed)).to(wave.device)

    def mels(
        self, mel: Tensor, mask: Tensor | None, frames: np.ndarray, generator: torch.Generator, n_views: int = 1
    ) -> Tensor:
        """mel (V·B, T, F) augmented, an item's V views alike. It is the caller's own, with frames (B,) valid frames."""
        for name, apply in self.of_mels:
            before = mel.shape, mel.dtype
            mel = apply(mel, mask, frames, generator, n_views)
            if not isinstance(mel, Tensor) or (mel.shape, mel.dtype) != before:
                got = f"{mel.dtype} {tuple(mel.shape)}" if isinstance(mel, Tensor) else type(mel).__name__
                raise ValueError(f"{name} must give a mel of {before[1]} {tuple(before[0])}, as it got, got {got}")
        return mel


def is_of_wave(part: Any) -> bool:
    """Does an augmentation see waves?"""
    return bool(getattr(part.target if isinstance(part, Part) else part, "of_wave", False))


def _applying(name: str, worker: Any, is_first: bool) -> Callable[..., Tensor]:
    """One augmentation as (mel, mask, frames, generator, n_views) -> mel."""
    if hasattr(worker, "draw") and hasattr(worker, "apply"):
        # Padding is an item's own mean until something has changed it, and then counts for nothing in a mean.
        needs_mask = not (is_first and isinstance(worker, SpecAugment))
        in_place = {"in_place": True} if "in_place" in inspect.signature(worker.apply).parameters else {}
        return partial(_applied, worker, partial(worker.apply, **in_place), needs_mask)
    if not callable(worker):
        raise ValueError(f"{name} must have draw and apply, or be a function (mel, mask, generator), and is neither")
    return partial(_called, worker)


def _applied(worker, apply, needs_mask: bool, mel, mask, frames: np.ndarray, generator, n_views: int) -> Tensor:
    plan, mask = worker.draw(torch.from_numpy(frames), mel.shape[2], generator), mask if needs_mask else None
    if hasattr(plan, "to"):
        plan = plan.to(mel.device)
    if n_views == 1 or hasattr(plan, "repeated"):
        return apply(mel, plan.repeated(n_views) if n_views > 1 else plan, mask)
    return torch.cat([apply(view, plan, valid) for view, valid in _views(mel, mask, n_views)])


def _called(worker, mel, mask, frames: np.ndarray, generator: torch.Generator, n_views: int) -> Tensor:
    if n_views == 1:
        return worker(mel, mask, generator)
    state, changed = generator.get_state(), []
    for view, valid in _views(mel, mask, n_views):
        generator.set_state(state)  # each view draws what the first drew
        changed.append(worker(view, valid, generator))
    return torch.cat(changed)


def _views(mel: Tensor, mask: Tensor | None, n_views: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    return zip(mel.chunk(n_views), [None] * n_views if mask is None else mask.chunk(n_views), strict=True)


def _same_wave(name: str, wave: Any, before: np.ndarray) -> np.ndarray:
    if not isinstance(wave, np.ndarray) or wave.shape != before.shape or wave.dtype != before.dtype:
        got = f"{wave.dtype} {wave.shape}" if isinstance(wave, np.ndarray) else type(wave).__name__
        raise ValueError(f"{name} must give a wave of {before.dtype} {before.shape}, as it got, got {got}")
    return wave
