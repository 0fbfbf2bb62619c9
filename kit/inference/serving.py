"""What one fold's net says of a store's test rows: batch by batch, so that a bar moves and a clock can stop it.

Batches are those of training's own prediction, and so is the number of threads where a fold says it: the same bits come
out, in one process or in several, among which whole batches are shared out.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from kit.data.batch import Batch
from kit.data.features import n_bins
from kit.data.store import Store, open_store
from kit.inference.clock import OutOfTime
from kit.inference.engines import engine_path, load_engine
from kit.inference.nets import FoldNet, fold_nets
from kit.training.checkpoint import load_model
from kit.training.fit import prepare_accelerator
from kit.training.predict import Serving, probability_dtype, probability_of

TASKS = 32  # that each process gets of a fold's batches: none is left waiting long, and a clock that stops loses little

Served = Iterator[tuple[np.ndarray, np.ndarray]]  # positions (n,) in the rows and their probabilities (n, C)


@dataclass(frozen=True)
class Split:
    """Processes, and PyTorch's threads in each."""

    processes: int = 1
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.processes} × {self.threads} threads" if self.processes > 1 else f"{self.threads} threads"


@dataclass(frozen=True)
class FoldServing:
    """A net on a store's test rows, or the first n_rows of them. way: to predict, None is the experiment's own."""

    net: FoldNet
    store: Store
    way: Any = None
    trust: bool = False  # as load_model takes it
    n_rows: int | None = None
    engine: str = "torch"

    @cached_property
    def rows(self) -> np.ndarray:
        return self.store.rows("test")[: self.n_rows]

    @cached_property
    def experiment(self) -> Any:
        return self.net.experiment if self.way is None else self.net.experiment.but(predict=self.way)

    @cached_property
    def accelerator(self) -> Any:
        return prepare_accelerator(self.experiment.loop.precision)

    @cached_property
    def serving(self) -> Serving:
        return Serving(self.store, self.rows, self.experiment, self.accelerator.device)

    @property
    def units(self) -> int:
        """Frames, or samples, that are served of all rows."""
        return int(self.serving.sizes[self.store.index["frames"].to_numpy()[self.rows] > 0].sum())

    def predict(self, split: Split, go_on: Callable[[int], bool] = lambda rows: True) -> tuple[np.ndarray, bool]:
        """Probabilities (N, C) of the net's classes, NaN where a row was not served; and were all batches?

        go_on is told after each batch, or share of them, how many rows it had, and says whether to go on.
        """
        dtype = probability_dtype(self.store.task)
        probability = np.full((len(self.rows), len(self.net.classes)), np.nan, dtype)
        left = sum(map(len, self.serving.batches))  # rows
        if not left:
            return probability, True
        served = self.batches(self.serving.batches, split.threads) if split.processes == 1 else self._shared(split)
        try:
            for positions, value in served:
                probability[positions] = value
                left -= len(positions)
                if not go_on(len(positions)):
                    break
        except OutOfTime:  # what was served stands
            pass
        finally:
            served.close()  # which ends the processes, whatever they do
        return probability, not left

    def batches(self, batches: Sequence[list[int]], threads: int) -> Served:
        """Some of the batches, in this process."""
        with _threads(threads):
            yield from self.serving.serve(self.function(threads), batches, self.accelerator)

    @property
    def told(self) -> tuple:
        """What another process needs to make it again."""
        return (
            self.store.folder.resolve(),
            self.net.run,
            self.net.fold,
            self.way,
            self.trust,
            self.n_rows,
            self.engine,
        )

    def _shared(self, split: Split) -> Served:
        """All batches, shared out over processes."""
        batches = self.serving.batches
        size = -(-len(batches) // (TASKS * split.processes))
        tasks = (joblib.delayed(run_batches)(self.told, batches[first : first + size], split.threads)
                 for first in range(0, len(batches), size))  # fmt: skip
        served = joblib.Parallel(split.processes, return_as="generator_unordered")(tasks)
        try:
            for share in served:
                yield from share
        finally:
            served.close()

    def function(self, threads: int) -> Callable[[Batch], torch.Tensor]:
        """What gives a batch's probabilities, loaded once. Raises ValueError where it does not fit the test files."""
        if threads not in self._loaded:
            bins = n_bins(self.experiment.features, self.store, self.experiment.crop_frames)
            if bins != self.net.n_mels:
                raise ValueError(f"{self.net.path}: takes {self.net.n_mels} mel bins, and the test files have {bins}")
            net = load_net(self.net, self.engine, self.trust, threads)
            net = net.to(self.accelerator.device) if self.engine == "torch" else net
            self._loaded[threads] = probability_of(net, self.store.task, self.experiment)
        return self._loaded[threads]

    @cached_property
    def _loaded(self) -> dict[int, Callable]:
        return {}

    @property
    def exported(self) -> Path:
        """The fold's file for another engine, where export writes it."""
        return _exported(self.net, self.engine)


def load_net(net: FoldNet, engine: str, trust: bool = False, threads: int = 1) -> Callable:
    """(mel, mask) -> (logits, ...) of a fold, by PyTorch on the CPU or by the file that export wrote of it.

    Raises FileNotFoundError where there is none, ValueError where it can't be read or is another fold's.
    """
    if engine == "torch":
        return load_model(net.path, trust=trust)[0]
    exported = load_engine(_exported(net, engine), threads)
    if exported.facts["sha256"] != {f"fold{net.fold}": net.sha256}:
        raise ValueError(f"{exported.path}: was exported from another {net.path.name}; export it again")
    if (exported.facts["takes"], exported.facts["gives"]) != ("mel", "logits"):
        raise ValueError(f'{exported.path}: must be exported with mel "outside" and mean False, to be given log-mels')

    def logits(mel: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor]:
        return (torch.from_numpy(exported(mel.cpu().numpy(), None if mask is None else mask.cpu().numpy())),)

    return logits


def _exported(net: FoldNet, engine: str) -> Path:
    from kit.inference.export import FOLDER  # here, for a prediction by PyTorch needs none of it

    return engine_path(net.run / FOLDER, net.fold, engine)


def run_batches(told: tuple, batches: list[list[int]], threads: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """A share of a fold's batches, in a process of joblib's."""
    return list(_again(*told).batches(batches, threads))


@lru_cache(maxsize=1)
def _again(store: Path, run: Path, fold: int, way: Any, trust: bool, n_rows: int | None, engine: str) -> FoldServing:
    (net,) = fold_nets(run, [fold], trust=trust)
    return FoldServing(net, open_store(store), way, trust, n_rows, engine)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
