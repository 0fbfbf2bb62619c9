"""An experiment is tried on a few rows before any training: what does not fit is one line that names the part."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from kit.competition.metrics import METRICS, Metric
from kit.data.augmenters import is_of_wave
from kit.data.features import n_bins
from kit.data.mixup import mix_drawer
from kit.data.store import Store
from kit.models.trial import check_net
from kit.parts import Part, make, part_name, walk
from kit.sources import walk_experiment
from kit.training.fit import prepare_accelerator
from kit.training.loader import train_loader
from kit.training.losses import check_loss
from kit.training.nets import build_net
from kit.training.optim import build_optimizer
from kit.training.step import TrainStep

ROWS = 4  # of the batch that is tried
CALLED = {  # what a part of one's own is called with
    "loss": ("logits", "batch"), "schedule": ("step", "steps"), "sampler": ("target", "generator"),
    "optimizer": ("groups",),
}  # fmt: skip
PREDICTS = ("crop", "pool", "batch_frames")  # of a way to predict


def try_experiment(experiment: Any, store: Store, metric: str) -> None:
    """One small update on the store's first training rows; nothing of it stays, the random state included.

    Raises ValueError naming the field and the part that failed, with its own error.
    """
    with torch.random.fork_rng():
        check_loss(experiment.loss, store.task)
        check_calls(experiment)
        _try_metric(experiment.metric or METRICS[metric], len(store.classes), store.task)
        _try_schedule(experiment)
        with named("features", *_own(experiment.features)):
            bins = n_bins(experiment.features, store, experiment.crop_frames)
        net = build_net(experiment, len(store.classes), bins)
        if not getattr(experiment.features, "channels", 0):
            check_net(net, experiment.net, bins, len(store.classes), experiment.crop_frames)
        if any(_is_own(value) for value in walk_experiment(experiment)):
            _try_update(experiment, store, net)


def check_calls(experiment: Any) -> None:
    """Raises ValueError naming a part of one's own that does not take what it is called with."""
    for field, names in CALLED.items():
        value = getattr(experiment, field)
        is_made_of_groups = isinstance(value, Part) and inspect.isclass(value.target) and field == "optimizer"
        if _is_own(value) and not hasattr(value, "build") and not is_made_of_groups:
            _takes(f"{field} {part_name(value)}", make(value), *names)
    if hasattr(experiment.mix, "draw"):
        _takes(f"mix {part_name(experiment.mix)}: draw", experiment.mix.draw, "items", "epoch", "generator")
    for value in filter(_is_own, experiment.augment):
        what = f"augment {part_name(value)}"
        worker = make(value, *([experiment.features] if hasattr(value, "make") and not isinstance(value, Part) else []))
        if is_of_wave(value):
            _takes(what, worker, "wave", "seed")
        elif hasattr(worker, "draw") and hasattr(worker, "apply"):
            _takes(f"{what}: draw", worker.draw, "lengths", "n_bins", "generator")
            _takes(f"{what}: apply", worker.apply, "mel", "plan", "mask")
        elif callable(worker):
            _takes(what, worker, "mel", "mask", "generator")
    if lacks := [name for name in PREDICTS if not hasattr(experiment.predict, name)]:
        raise ValueError(
            f"predict {part_name(experiment.predict)} must have {', '.join(PREDICTS)}, and lacks {', '.join(lacks)}"
        )


def _takes(what: str, function: Callable, *names: str) -> None:
    if not callable(function):
        raise ValueError(f"{what} must be called with ({', '.join(names)}), got {function!r}, which can't be called")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none
        return
    try:
        signature.bind(*names)
    except TypeError:
        raise ValueError(f"{what} must take ({', '.join(names)}), got {signature}") from None


def _try_update(experiment: Any, store: Store, net: Any) -> None:
    """A real batch of a few rows through augmentations, mixup, net, loss and optimiser."""
    rows = store.rows("train")
    small = experiment.but(
        loop__batch_size=min(len(rows), max(2, ROWS)), loop__workers=0, loop__step="eager", loop__precision="fp32",
        loop__epoch_steps=1, pseudo=None,
    )  # fmt: skip
    accelerator = prepare_accelerator("fp32")
    net.to(accelerator.device)
    with named("optimizer", experiment.optimizer):
        optimizer = build_optimizer(small.optimizer, net)
    with named("batches", *_own(small.augment), *_own(small.sampler), *_own(small.mix), *_own(small.features)):
        mixup = mix_drawer(small.mix, net.mix_places, net.stage_names, store.kind == "wave")
        batch = next(iter(train_loader(small, store, rows, rows[:0], mixup, accelerator)))
    net.train()
    with named("loss", experiment.loss):
        TrainStep(small, net, net, optimizer, accelerator)(batch.to(accelerator.device), 0, 1.0)


def _try_metric(metric: Metric, n_classes: int, task: str) -> None:
    """On two rows a class, each class there once at least, with unequal probabilities."""
    classes = np.arange(2 * n_classes) % n_classes
    target = np.eye(n_classes, dtype=int)[classes] if task == "multi" else classes
    probability = np.random.default_rng(0).dirichlet(np.ones(n_classes), 2 * n_classes)
    with named("metric", metric):
        metric(target, probability)


def _try_schedule(experiment: Any) -> None:
    """At the first, the middle and the last of 100 updates."""
    with named("schedule", experiment.schedule):
        for step in (0, 50, 99):
            share = make(experiment.schedule)(step, 100)
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < float("inf"):
                raise ValueError(f"must give a finite share of the rate of at least 0, got {share!r}")


@contextmanager
def named(field: str, *parts: Any) -> Iterator[None]:
    """Errors of a part that is tried, as one line that names it."""
    try:
        yield
    except Exception as error:  # a part of one's own may raise anything
        names = ", ".join(dict.fromkeys(getattr(part, "name", None) or part_name(part) for part in parts))
        text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        if names and names in text and isinstance(error, ValueError):
            raise ValueError(text) from error
        raise ValueError(f"{field}{f' {names}' if names else ''}: {text}") from error


def _own(value: Any) -> list[Any]:
    return [inner for inner in walk(value) if _is_own(inner)]


def _is_own(value: Any) -> bool:
    target = value.target if isinstance(value, Part) else type(value)
    return target.__module__.split(".")[0] != "kit"
