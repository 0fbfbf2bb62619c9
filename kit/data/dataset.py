"""Whole batches from the packed store, on the device: cut, read, made log-mels, padded, augmented.

Each step has its module: kit.data.crops, reader, mels, augmenters; this one puts them in order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kit.data.augmenters import Augmenters
from kit.data.batch import Batch
from kit.data.batches import generator_for
from kit.data.boxes import BoxCrops
from kit.data.crops import Crop, Items
from kit.data.mels import Mels, pad_with_mean
from kit.data.reader import FeatureReader
from kit.data.row_labels import RowLabels
from kit.data.store import Store

MIX_DRAWS = 0x6D6978  # "mix": keeps a plan's draws apart from a batch's others, which are the same without it


@dataclass(frozen=True)
class Training:
    """What only training batches have. Its draws are functions of (seed, epoch, the batch's first row), those of waves
    of each item's own row; a row that is drawn again in an epoch, or for its pseudo labels, has other draws.

    draw_mix(items, epoch, generator) -> plan | None plans a batch's mixup (epoch from 1). Waves are mixed here, before
    they are log-mels, where the plan's place is "wave"; other places are the net's.
    labels: BoxCrops or RowLabels, whose `serve` says what is known of a crop; None where a row has one label.
    n_real: the first so many rows are not there for pseudo labels; pseudo_weight is how much each other one counts.
    teacher(row) gives what another net says of rows (B, D), NaN where nothing.
    """

    seed: int = 0
    augment: Augmenters = Augmenters()
    draw_mix: Callable[[int, int, torch.Generator], Any] | None = None
    labels: BoxCrops | RowLabels | None = None
    n_real: int | None = None
    pseudo_weight: float = 1.0
    teacher: Callable[[np.ndarray], Tensor] | None = None


class SpectrogramDataset(Dataset):
    """Utterances of a store, served by the batch: the crops that `crop` cuts, as the log-mels that `mels` makes.

    Shorter ones are padded with their own mean and masked. Without `training` nothing is drawn.
    """

    def __init__(
        self,
        store: Store,
        rows: np.ndarray | Sequence[int],
        crop: Crop,
        *,
        mels: Mels | None = None,
        training: Training | None = None,
        device: str | torch.device = "cpu",
    ):
        self.store, self.crop, self.training, self.device = store, crop, training, torch.device(device)
        # A batch's few numbers are NumPy's, whose calls on 32 of them cost a tenth of torch's.
        self.rows = np.asarray(rows, dtype=np.int64)
        self.start = store.index["start"].to_numpy(np.int64, copy=True)
        self.size = store.index["frames"].to_numpy(np.int64, copy=True)  # frames, or samples
        self.target = store.index["target"].to_numpy(np.int64, copy=True)
        self.reader, self.mels = FeatureReader(store, self.device), mels or Mels(store, device=self.device)
        self.n_real = len(self.rows) if training is None or training.n_real is None else training.n_real
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: np.ndarray | Sequence[int]) -> Batch:
        before = np.broadcast_to(getattr(indices, "before", 0), len(indices))
        indices = np.asarray(indices)
        row, is_pseudo = self.rows[indices], indices >= self.n_real
        training, keys = self.training, _draw_keys(row, before, is_pseudo)
        generator = generator_for(training.seed, self.epoch, *keys[0]) if training else None
        cut = self.crop.cut(Items(row, self.start[row], self.size[row], is_pseudo), generator)
        row, is_pseudo, keys = row.repeat(cut.times), is_pseudo.repeat(cut.times), _of_crops(keys, cut.times)
        plan = self._plan(len(row), keys[0])
        change = self._change_waves(keys) if training and training.augment.of_waves else None
        mel, frames = self.mels(self.reader.read(cut.start, cut.length, cut.longest), cut.length, change, plan)
        n_views = self.mels.n_views
        mel, mask = pad_with_mean(mel, np.tile(frames, n_views) if n_views > 1 else frames)
        if training and generator:
            mel = training.augment.mels(mel, mask, frames, generator, n_views)
        target, weight = torch.from_numpy(self.target[row]), None
        if training and training.labels:
            target, weight = training.labels.serve(row, is_pseudo, cut.start - self.start[row], cut.length, self.epoch)
            weight = weight if weight is None else weight.to(self.device, non_blocking=True)
        known = teacher = None
        if training and training.pseudo_weight != 1:
            counts = torch.where(torch.from_numpy(is_pseudo), training.pseudo_weight, 1.0)
            known = counts[:, None].expand_as(target).to(self.device, non_blocking=True)
        if training and training.teacher:
            teacher = training.teacher(row).to(self.device, non_blocking=True)
        target = target.to(self.device, non_blocking=True)
        plan = plan and plan.to(self.device)
        return Batch(mel, mask, target, torch.from_numpy(row), plan, weight, known, teacher)

    def _plan(self, items: int, first: tuple[int, ...]) -> Any:
        if not (self.training and self.training.draw_mix):
            return None
        generator = generator_for(self.training.seed, self.epoch, *first, MIX_DRAWS)
        return self.training.draw_mix(items, self.epoch + 1, generator)

    def _change_waves(self, keys: list[tuple[int, ...]]) -> Callable[[Tensor], Tensor]:
        training, epoch = self.training, self.epoch
        return lambda wave: training.augment.waves(wave, [(training.seed, epoch, *key) for key in keys])


def _draw_keys(row: np.ndarray, before: np.ndarray, is_pseudo: np.ndarray) -> list[tuple[int, ...]]:
    """What draws of each item are a function of, beside seed and epoch: its row alone where that is drawn once."""
    items = zip(row.tolist(), before.tolist(), is_pseudo.tolist(), strict=True)
    return [(one, times, int(pseudo)) if times or pseudo else (one,) for one, times, pseudo in items]


def _of_crops(keys: list[tuple[int, ...]], times: int | list[int]) -> list[tuple[int, ...]]:
    """Keys of crops, of which each item has so many."""
    if times == 1:
        return keys
    counts = [times] * len(keys) if isinstance(times, int) else times
    return [(*key, number) for key, count in zip(keys, counts, strict=True) for number in range(count)]


def batch_loader(dataset: SpectrogramDataset, batches, workers: int = 0) -> DataLoader:
    """A plain DataLoader that hands on what `__getitems__` serves; that of workers lies ready for a GPU to fetch."""
    pinned = workers > 0 and torch.cuda.is_available()
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, collate_fn=_as_served, pin_memory=pinned)


def _as_served(batch: Any) -> Batch:
    return batch
