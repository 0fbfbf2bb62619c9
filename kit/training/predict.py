"""Predictions and embeddings of a model over whole utterances, evenly spaced crops, or overlapping windows.

One's own way is a part with `crop(units, frames) -> a crop` (kit.data.crops), `pool(value (M, ...), first (N,))` and
`batch_frames`; where it has `of_batch(probability, batch)`, that stands in the place of probability(batch) (B, C).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from kit.data import crops
from kit.data.batch import Batch
from kit.data.batches import length_batches
from kit.data.dataset import SpectrogramDataset, batch_loader
from kit.data.store import Store
from kit.data.windows import POOLS, pool_windows
from kit.parts import at_least, one_of, part
from kit.training.faults import memory_told
from kit.training.features import mels_of

# Padded frames in one batch. On a CPU what a layer gives of so many stays in its caches: 1.5 times as fast as 32,768.
BATCH_FRAMES, BATCH_FRAMES_ON_CPU = 32_768, 4096


@part
class WholeClip:
    """Each clip whole; one of more than `longest` frames as the mean over so long pieces, for memory's sake.

    batch_frames: padded frames in one batch; 0 is what suits the device.
    """

    longest: int = 8192  # the longest utterance of HW4 has 7,193 frames
    batch_frames: int = 0

    def check(self):
        at_least(self, 1, "longest")
        at_least(self, 0, "batch_frames")

    def crop(self, units: Callable[[int], int], frames: int) -> crops.Crop:
        return crops.WholeClips(units(self.longest))

    def pool(self, value: np.ndarray, first: np.ndarray) -> np.ndarray:
        return mean_of_each(value, first)


@part
class Crops:
    """The mean over n crops of an experiment's crop_frames, spaced evenly."""

    n: int = 3
    batch_frames: int = 0

    def check(self):
        at_least(self, 1, "n")
        at_least(self, 0, "batch_frames")

    def check_with(self, experiment: Any):
        if getattr(experiment.features, "channels", 0):
            raise ValueError("predict must be WholeClip with images, got Crops")

    def crop(self, units: Callable[[int], int], frames: int) -> crops.Crop:
        return crops.EvenCrops(units(frames), self.n)

    def pool(self, value: np.ndarray, first: np.ndarray) -> np.ndarray:
        return mean_of_each(value, first)


@part
class Windows:
    """Over windows of an experiment's crop_frames the maximum, "max", or "top", the mean of the `top` highest.

    overlap: frames that neighbouring windows share, at least.
    """

    pooling: str = "max"
    overlap: int = 0
    top: int = 3
    batch_frames: int = 0

    def check(self):
        one_of(self, "pooling", POOLS)
        at_least(self, 0, "overlap", "batch_frames")
        at_least(self, 1, "top")

    def check_with(self, experiment: Any):
        if not self.overlap < experiment.crop_frames:
            raise ValueError(f"overlap must be below crop_frames ({experiment.crop_frames}), got {self.overlap}")

    def crop(self, units: Callable[[int], int], frames: int) -> crops.Crop:
        hop = units(2) - units(1)
        return crops.WindowCrops(units(frames), self.overlap * hop)

    def pool(self, value: np.ndarray, first: np.ndarray) -> np.ndarray:
        return pool_windows(value, first, self.pooling, self.top)


def mean_of_each(value: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Values of crops (M, ...) to one a clip (N, ...), their mean; first (N,) is where each clip's begin."""
    if len(first) == len(value):
        return value
    count = np.diff(np.append(first, len(value)))
    return np.add.reduceat(value, first) / count.reshape(-1, *[1] * (value.ndim - 1)).astype(value.dtype)


def predict(
    model: nn.Module, store: Store, rows: np.ndarray | Sequence[int], experiment: Any, accelerator: Accelerator
) -> np.ndarray:
    """Class probabilities (N, C), in the order of `rows`, shared out over the processes there are.

    Of one label a row float32; of several float64, in which a sigmoid keeps apart what in float32 would be 1 alike. Of
    an experiment with n_base classes, the others have probability 0. Of rows without frames all is NaN.
    """
    serving = Serving(store, rows, experiment, accelerator.device)
    if not serving.batches:
        return np.full((len(serving.rows), len(store.classes)), np.nan, dtype=probability_dtype(store.task))
    return _gathered(probability_of(model, store.task, experiment), model, serving, accelerator)


def probability_dtype(task: str) -> type:
    """float64 for several labels a row: a sigmoid in float32 is 1 from a logit of 17 on, which would be ties."""
    return np.float64 if task == "multi" else np.float32


def probability_of(net: Callable, task: str, experiment: Any) -> Callable[[Batch], Tensor]:
    """What gives the class probabilities (B, C) of a batch, by a net `(mel, mask) -> (logits, …)`."""
    n_base = experiment.session.n_base if experiment.session else 0

    def probability(batch: Batch) -> Tensor:
        logits = net(batch.mel, batch.mask)[0].float()
        logits[:, n_base or logits.shape[1] :] = -torch.inf
        return logits.double().sigmoid() if task == "multi" else logits.softmax(1)

    way = experiment.predict
    return partial(way.of_batch, probability) if hasattr(way, "of_batch") else probability


def embed(
    model: nn.Module, store: Store, rows: np.ndarray | Sequence[int], experiment: Any, accelerator: Accelerator
) -> np.ndarray:
    """Embeddings z (N, D) float32 in eval mode, in the order of `rows`; with views those of the three (N, 3, D)."""
    views = experiment.views is not None

    def embedding(batch: Batch) -> Tensor:
        z = model.embed(batch.mel, batch.mask).float()
        return z.unflatten(0, (3, -1)).transpose(0, 1) if views else z

    return _gathered(embedding, model, Serving(store, rows, experiment, accelerator.device, views), accelerator)


class Serving:
    """Rows of a store in the batches in which nets are given them: by like length, the longest first.

    The batches depend on the rows' lengths and on the experiment's features and way to predict, not on weights.
    """

    def __init__(
        self, store: Store, rows: np.ndarray | Sequence[int], experiment: Any, device: torch.device, views: bool = False
    ):
        self.store, self.rows, self.way, self.views = store, np.asarray(rows, dtype=np.int64), experiment.predict, views
        mels = mels_of(experiment, store, device, views)
        crop = self.way.crop(mels.units, experiment.crop_frames)
        self.dataset = SpectrogramDataset(store, self.rows, crop, mels=mels, device=device)
        frames = store.index["frames"].to_numpy()[self.rows]
        usable = np.flatnonzero(frames > 0)
        self.most = self.way.batch_frames or (BATCH_FRAMES_ON_CPU if device.type == "cpu" else BATCH_FRAMES)
        self.sizes, self.hop = crop.units(frames), mels.hop  # (N,) units that are served of each row; of a frame
        batches = length_batches(self.sizes[usable], self.most * mels.hop)
        self.batches = [usable[batch].tolist() for batch in batches]

    @torch.inference_mode()
    def serve(
        self, function: Callable[[Batch], Tensor], batches: Sequence[list[int]], accelerator: Accelerator
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each batch of positions in `rows`: these (n,), and what function gives (n, ...), pooled over crops."""
        loader = iter(batch_loader(self.dataset, batches))
        for positions in batches:
            first, values = positions[0], []  # the longest of the batch
            clip = f"{self.store.index['id'].iat[self.rows[first]]}, {self.sizes[first] // self.hop} frames"
            with memory_told("batch_frames", self.most, clip):
                batch = next(loader)
                for piece in _pieces(batch, 0 if self.views else self.most):
                    with accelerator.autocast():
                        values.append(function(piece).cpu().numpy())
            row = batch.row.numpy()
            first = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
            yield np.asarray(positions), self.way.pool(np.concatenate(values), first)

    def in_order(self, served: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """What was served (N, ...), in the order of `rows`; NaN where a row was not."""
        if not served:
            raise ValueError("there must be a row with at least one frame to predict, got none")
        value = np.concatenate([value for _, value in served])
        ordered = np.full((len(self.rows), *value.shape[1:]), np.nan, dtype=value.dtype)
        ordered[np.concatenate([positions for positions, _ in served])] = value
        return ordered


def _gathered(function: Callable[[Batch], Tensor], model: nn.Module, serving: Serving, accelerator) -> np.ndarray:
    """What function gives of all rows (N, ...), each of the processes there are serving its batches."""
    was_training = model.training
    model.eval()
    batches = serving.batches[accelerator.process_index :: accelerator.num_processes]
    served = list(serving.serve(function, batches, accelerator))
    model.train(was_training)
    return serving.in_order(gather_object(served))


def _pieces(batch: Batch, most: int) -> list[Batch]:
    """The batch, or where one recording's windows are more than `most` frames, parts of it that are not."""
    items, frames = batch.mel.shape[:2]
    size = max(1, most // frames) if most else items
    if size >= items:
        return [batch]
    mask = [None] * items if batch.mask is None else batch.mask.split(size)
    parts = zip(batch.mel.split(size), mask, batch.target.split(size), batch.row.split(size), strict=False)
    return [Batch(mel, valid, target, row) for mel, valid, target, row in parts]


def probability_table(
    store: Store, rows: np.ndarray | Sequence[int], probability: np.ndarray, **columns
) -> pd.DataFrame:
    """Columns id, whatever `columns` adds, and one of probability a class, named by it."""
    facts = pd.DataFrame({"id": store.index["id"].to_numpy()[np.asarray(rows)], **columns})
    return pd.concat([facts, pd.DataFrame(probability, columns=list(store.classes))], axis=1)
