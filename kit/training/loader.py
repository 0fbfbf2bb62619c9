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
from kit.data.row_labels import RowLabels
from kit.data.store import Store
from kit.parts import make
from kit.training.distil import teacher_of
from kit.training.features import mels_of
from kit.training.pseudo import positive_weights, pseudo_rows
from kit.training.soft_labels import SoftLabels, SoftRows, soft_rows


def train_loader(
    experiment: Any,
    store: Store,
    rows: np.ndarray | Sequence[int],
    held_out: np.ndarray | Sequence[int],
    mixup: Any,
    accelerator: Accelerator,
) -> DataLoader:
    """Batches of `rows`, and of their pseudo labels where experiment.pseudo names some; never of `held_out`.

    mixup: what kit.data.mixup.mix_drawer gives. They are on the accelerator's device, or of workers on the CPU.
    """
    loop, pseudo_part = experiment.loop, experiment.pseudo
    is_soft, by = isinstance(pseudo_part, SoftLabels), experiment.folds.by
    soft = soft_rows(pseudo_part, store, rows, held_out, by) if is_soft else None
    labels, pseudo = _labels(experiment, store, rows, held_out, soft)
    device = "cpu" if loop.workers else accelerator.device  # a forked process can't use the GPU of its parent
    mels = mels_of(experiment, store, device)
    segment = mels.units(experiment.crop_frames)
    augment = Augmenters(experiment.augment, experiment.features, store, rows)
    training = Training(
        experiment.seed, augment, mixup and mixup.draw, labels, len(rows),
        pseudo_part.weight if soft else 1.0, teacher_of(experiment.loss, store, rows),
    )  # fmt: skip
    crop: Any
    if experiment.crops:
        crop = experiment.crops.crop(mels.units, experiment.crop_frames)
    else:
        crop = CropsAroundBoxes(segment, labels) if store.boxes is not None else RandomCrops(segment)
    dataset = SpectrogramDataset(store, [*rows, *pseudo], crop, mels=mels, training=training, device=device)
    of_soft: dict[str, Any] = {"share": pseudo_part.share, "pseudo_sampler": soft.order} if soft else {}
    batches = train_batches(
        known_targets(store, rows), len(pseudo), loop.batch_size, sampler=_sampler(experiment, store, rows),
        seed=experiment.seed, steps=loop.epoch_steps * loop.accumulate,
        rank=accelerator.process_index, world=accelerator.num_processes,
        **of_soft,
    )  # fmt: skip
    return batch_loader(dataset, batches, loop.workers)


def _sampler(experiment: Any, store: Store, rows: np.ndarray | Sequence[int]) -> Any:
    """The experiment's, for these rows."""
    sampler = make(experiment.sampler)
    return sampler.with_rows(store.index.iloc[rows]) if hasattr(sampler, "with_rows") else experiment.sampler


def known_targets(store: Store, rows: np.ndarray | Sequence[int]) -> Tensor:
    """Class numbers (N,), or labels (N, C) of 1, 0 and NaN where unknown, as samplers see them."""
    target = torch.from_numpy(np.asarray(store.targets(rows)))
    return torch.where(target == UNKNOWN, torch.nan, target.float()) if target.dim() == 2 else target


def _labels(experiment: Any, store: Store, rows, held_out, soft: SoftRows | None) -> tuple[Any, list[int]]:
    """What serves several labels a row, with pseudo labels where there are some, and the rows that these are of."""
    boxed = None if soft else experiment.pseudo
    weights_at = partial(positive_weights, experiment.loss, boxed)
    if store.boxes is None:
        if boxed:
            raise ValueError("pseudo must be SoftLabels or None where the competition has no boxes, got PseudoLabels")
        soft_labels = (soft.row, soft.target) if soft else None
        labels = RowLabels(store, np.asarray(rows), weights_at, soft_labels) if store.task == "multi" else None
        return labels, soft.row.tolist() if soft else []
    if soft:
        raise ValueError("pseudo must be PseudoLabels or None where the competition has boxes, got SoftLabels")
    pseudo = pseudo_rows(boxed.file, store, rows, held_out, experiment.folds.by) if boxed else None
    sampler = experiment.sampler
    shares = {"true_share": sampler.true_share(known_targets(store, rows))} if hasattr(sampler, "true_share") else {}
    return BoxCrops(store, pseudo, weights_at, **shares), [] if pseudo is None else pseudo["row"].unique().tolist()
