"""The training batches of an experiment: crops or boxes, augmentation, mixup plans, what share of a batch is real."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from kit.competition.labels import UNKNOWN
from kit.data.augmenters import Augmenters
from kit.data.batches import train_batches
from kit.data.boxes import BoxCrops
from kit.data.crops import CropsAroundBoxes, RandomCrops
from kit.data.dataset import SpectrogramDataset, Training, batch_loader
from kit.data.store import Store
from kit.training.features import mels_of
from kit.training.pseudo import positive_weights, pseudo_rows


def train_loader(
    experiment: Any,
    store: Store,
    rows: Sequence[int],
    held_out: Sequence[int],
    mixup: Any,
    accelerator: Accelerator,
) -> DataLoader:
    """Batches of `rows`, and of their pseudo labels where experiment.pseudo names some; never of `held_out`.

    mixup: what kit.data.mixup.mix_drawer gives. They are on the accelerator's device, or of workers on the CPU.
    """
    loop = experiment.loop
    boxes, pseudo = _boxes(experiment, store, rows, held_out)
    device = "cpu" if loop.workers else accelerator.device  # a forked process can't use the GPU of its parent
    mels = mels_of(experiment, store, device)
    segment = mels.units(experiment.crop_frames)
    training = Training(
        experiment.seed, Augmenters(experiment.augment, experiment.features), mixup and mixup.draw, boxes, len(rows)
    )
    dataset = SpectrogramDataset(
        store, [*rows, *pseudo], CropsAroundBoxes(segment, boxes) if boxes else RandomCrops(segment),
        mels=mels, training=training, device=device,
    )  # fmt: skip
    batches = train_batches(
        known_targets(store, rows), len(pseudo), loop.batch_size, sampler=experiment.sampler, seed=experiment.seed,
        steps=loop.epoch_steps * loop.accumulate, rank=accelerator.process_index, world=accelerator.num_processes,
    )  # fmt: skip
    return batch_loader(dataset, batches, loop.workers)


def known_targets(store: Store, rows: Sequence[int]) -> Tensor:
    """Class numbers (N,), or labels (N, C) of 1, 0 and NaN where unknown, as samplers see them."""
    target = torch.from_numpy(np.asarray(store.targets(rows)))
    return torch.where(target == UNKNOWN, torch.nan, target.float()) if target.dim() == 2 else target


def _boxes(experiment: Any, store: Store, rows, held_out) -> tuple[BoxCrops | None, list[int]]:
    """A store's boxes, with pseudo labels where there are some, and the rows that these are of."""
    pseudo = pseudo_rows(experiment.pseudo.file, store, rows, held_out) if experiment.pseudo else None
    if store.boxes is None:
        if experiment.pseudo:
            raise ValueError("pseudo must be None where the competition has no boxes")
        return None, []
    boxes = BoxCrops(store, pseudo, partial(positive_weights, experiment.loss, experiment.pseudo))
    return boxes, [] if pseudo is None else pseudo["row"].unique().tolist()
