"""Does an exported net give what PyTorch gives? On real rows, one and three at a time, at several lengths."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kit.data.batch import Batch
from kit.data.dataset import batch_loader
from kit.data.store import Store
from kit.inference.onnx_nets import probability
from kit.training.predict import Serving

N_ROWS = 10
MOST_ITEMS = 3  # of a batch: a recording's windows may be hundreds
BOUND, BOUND_IN_HALF = 1e-4, 1e-3

Inputs = tuple[Tensor, Tensor | None]  # (B, T, F) log-mels or (B, N) waves, and their mask


@dataclass(frozen=True)
class Difference:
    """The largest differences: of probabilities, and of logits relative to the largest one where that is above 1.

    Each with the class at which it is; logits is None for a mean of folds, which has only probabilities.
    """

    probability: tuple[float, str]
    logits: tuple[float, str] | None
    rows: int

    def __str__(self) -> str:
        parts = [("probabilities", self.probability), ("logits", self.logits)]
        told = [f"{value:.1e} of {what} (class {name})" for what, (value, name) in filter(lambda part: part[1], parts)]
        return f"largest difference from PyTorch on {self.rows} rows: {', '.join(told)}"

    def within(self, bound: float) -> bool:
        """False for NaN too."""
        return all(value[0] <= bound for value in (self.probability, self.logits) if value)


def difference(
    engine: Callable, net: Callable, inputs: list[Inputs], classes: tuple[str, ...], task: str, n_base: int = 0
) -> Difference:
    """Of what an engine and a PyTorch module give for the inputs; net gives logits unless task is "", a mean's."""
    ours, theirs = [], []
    with torch.inference_mode():
        for x, mask in inputs:
            theirs.append(net(x, mask))
            ours.append(torch.from_numpy(engine(x.numpy(), None if mask is None else mask.numpy())))
    theirs, ours = torch.cat(theirs), torch.cat(ours)
    if not task:
        return Difference(_largest(theirs, ours, 1.0, classes), None, len(ours))
    scale = max(1.0, theirs.abs().max().item())
    logits = _largest(theirs, ours, scale, classes)
    theirs, ours = (probability(value, task, n_base) for value in (theirs, ours))
    return Difference(_largest(theirs, ours, 1.0, classes), logits, len(ours))


def _largest(theirs: Tensor, ours: Tensor, scale: float, classes: tuple[str, ...]) -> tuple[float, str]:
    """The largest difference over scale, NaN before all, and its class; of two equal infinities there is none."""
    far = torch.where(theirs == ours, 0.0, (theirs - ours).abs() / scale).amax(0)  # (C,)
    where = int(far.argmax())
    return far[where].item(), classes[where]


def real_inputs(store: Store, experiment: Any, free_length: bool = True) -> list[Inputs]:
    """Log-mels of rows of a store as they are predicted: alone, three together with a mask, and cut to fewer frames.

    Raises ValueError where the store has no row that can be used.
    """
    inputs = [(batch.mel, batch.mask) for batch in _batches(store, experiment)]
    if not free_length:
        return inputs
    whole, _ = inputs[0]
    lengths = {max(1, whole.shape[1] // 2), max(1, whole.shape[1] // 3) | 1, min(7, whole.shape[1])}
    return [*inputs, *((whole[:, :length].clone(), None) for length in sorted(lengths))]


def real_waves(store: Store, experiment: Any) -> list[Inputs]:
    """Waves of rows of a store of waves, likewise; cut, where that is shorter, to five windows of the log-mel."""
    from kit.data.rows import INT16

    longest = experiment.features.mel.n_samples(experiment.crop_frames)
    first, size = (store.index[name].to_numpy() for name in ("start", "frames"))
    rows = _spread(np.flatnonzero(size >= store.mel.window_samples), size)
    waves = [store.stretch(int(first[row]), int(min(size[row], longest)))[:, 0] / INT16 for row in rows]
    inputs: list[Inputs] = [(wave[None], None) for wave in waves[:2]]
    for number in range(0, len(waves), MOST_ITEMS):
        group = waves[number : number + MOST_ITEMS]
        lengths = torch.tensor([len(wave) for wave in group])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        inputs.append((torch.nn.utils.rnn.pad_sequence(group, batch_first=True), mask))
    return [*inputs, (waves[0][None, : 5 * store.mel.window_samples], None)]


def _batches(store: Store, experiment: Any) -> Iterator[Batch]:
    size = store.index["frames"].to_numpy()
    rows = _spread(np.flatnonzero(size > 0), size)
    serving = Serving(store, rows, experiment, torch.device("cpu"))
    groups = [
        [0],
        *(list(range(first, min(first + MOST_ITEMS, len(rows)))) for first in range(0, len(rows), MOST_ITEMS)),
    ]
    for batch in batch_loader(serving.dataset, groups):
        items = slice(0, len(batch.mel) if len(batch.mel) <= MOST_ITEMS else MOST_ITEMS)
        mask = None if batch.mask is None else batch.mask[items]
        yield Batch(batch.mel[items], mask, batch.target[items], batch.row[items])


def _spread(usable: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Rows from the whole of the store, in no order of length: so that a batch holds several."""
    if not len(usable):
        raise ValueError("there must be a row with at least one frame to check an export on, got none")
    return usable[np.linspace(0, len(usable) - 1, min(N_ROWS, len(usable))).round().astype(int)]
