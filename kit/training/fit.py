"""The training loop: one fold of one experiment, with early stopping, and a resume that continues exactly.

Every random draw is a function of (seed, epoch, step, process): nothing is carried from step to step but weights and
optimiser state. So an epoch begun again after a kill is the epoch that was killed, bit for bit on a CPU.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm.std import tqdm

from kit.competition.metrics import METRICS, log_loss
from kit.data.batches import generator_for
from kit.data.mixup import build_mixup
from kit.data.store import Store
from kit.models.build import build_model
from kit.training.checkpoint import average_weights, keep_best, load_checkpoint, save_best, save_checkpoint
from kit.training.config import Config
from kit.training.faults import memory_told
from kit.training.finish import finish_prototypes
from kit.training.loader import train_loader
from kit.training.lpc_losses import mel_axis_notice
from kit.training.multilabel import check_loss
from kit.training.predict import predict
from kit.training.step import TrainStep, build_optimizer

LOOK_EVERY = 50  # steps between looks at the losses: on a GPU, each look makes the host wait for the card


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Fitted:
    model: nn.Module  # with the best weights
    score: float
    epoch: int  # of the best score, from 1
    accelerator: Accelerator


def fit(
    config: Config,
    store: Store,
    train_rows: Sequence[int],
    valid_rows: Sequence[int],
    folder: str | Path,
    *,
    metric: str = "accuracy",
    progress: bool = True,
) -> Fitted:
    """Train on some rows of a store, stop early on others, and leave log.csv, best.pt and last.pt in `folder`.

    Where `folder` holds a last.pt of the same config, training goes on from there. The metric is one where more is
    better. Raises DivergedError where the loss turns NaN or infinite, DeviceMemoryError where the device can't hold a
    batch, ValueError where last.pt is another config's, or cut short.
    """
    folder = Path(folder)
    check_loss(config, store.task)
    accelerator = _accelerator(config)
    torch.manual_seed(generator_for(config.seed).initial_seed())
    raw = build_model(config, len(store.classes), store.n_mels)
    raw.to(accelerator.device)
    model, optimizer = accelerator.prepare(raw, build_optimizer(config, raw))
    ema = ModelEmaV3(raw, config.ema_decay, use_warmup=True) if config.ema_decay else None
    shown = ema.module if ema else raw  # what is validated and kept
    state = load_checkpoint(folder / "last.pt", config, raw, shown, optimizer, accelerator)
    _check_base(config, store, train_rows)
    step = TrainStep(config, model, raw, optimizer, accelerator)
    mixup = build_mixup(config, raw.stage_names, store.kind)
    loader = train_loader(config, store, train_rows, valid_rows, mixup, accelerator)
    target = store.targets(np.asarray(valid_rows))
    bar = tqdm(
        total=config.epochs * len(loader), initial=state.epoch * len(loader), desc=config.name, unit="step",
        disable=not (progress and accelerator.is_main_process),
    )  # fmt: skip
    if not bar.disable and (notice := mel_axis_notice(config, store)):
        bar.write(notice)
    while state.epoch < config.epochs and state.stale < config.patience:
        with memory_told("batch_size", config.batch_size):
            row = _train_epoch(config, state.epoch, step, ema, loader, bar)
        probability = predict(shown, store, valid_rows, config, accelerator)
        row |= {"valid_score": METRICS[metric](target, probability), "valid_loss": log_loss(target, probability)}
        keep_best(state, row, shown, config)
        bar.set_postfix(loss=f"{row['loss']:.3f}", score=f"{row['valid_score']:.3f}")
        if accelerator.is_main_process:
            save_checkpoint(folder, config, state, raw, shown, optimizer, accelerator, store)
    bar.close()
    shown.load_state_dict(average_weights([weights for _, _, weights in state.best]))
    score, epoch, _ = state.best[0]
    if len(state.best) > 1:
        score = METRICS[metric](target, predict(shown, store, valid_rows, config, accelerator))
    if config.replace_prototypes or config.lpc_prototypes:
        finish_prototypes(shown, store, train_rows, config, accelerator)
        score = METRICS[metric](target, predict(shown, store, valid_rows, config, accelerator))
        if accelerator.is_main_process:
            save_best(folder, config, shown.state_dict(), score, epoch, store)
    return Fitted(shown.eval(), score, epoch, accelerator)


def learning_rate(config: Config, step: int, steps: int) -> float:
    """The rate at a step (from 0) of `steps`: linear warm-up, then cosine to zero."""
    warmup = min(config.warmup_steps, steps - 1)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def _check_base(config: Config, store: Store, rows: Sequence[int]) -> None:
    if config.n_base:
        highest, n_classes = int(store.index["target"].to_numpy()[np.asarray(rows)].max()), len(store.classes)
        if not highest < config.n_base <= n_classes:
            raise ValueError(f"n_base must be in [{highest + 1}, {n_classes}] for these rows, got {config.n_base}")


def _accelerator(config: Config) -> Accelerator:
    precision = {"fp32": "no", "auto": _best_precision()}.get(config.precision, config.precision)
    AcceleratorState._reset_state()  # one process may train experiments of different precision, one after another
    return Accelerator(mixed_precision=precision)


def _best_precision() -> str:
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"


def _train_epoch(config, epoch, step: TrainStep, ema, loader, bar) -> dict[str, Any]:
    """One epoch; the log's row without its validation."""
    loader.dataset.set_epoch(epoch)
    loader.batch_sampler.set_epoch(epoch)
    step.model.train()
    steps, accelerator = len(loader), step.accelerator
    losses = torch.zeros(steps, device=accelerator.device)
    right = torch.zeros((), device=accelerator.device)
    seen = 0
    for index, batch in enumerate(loader):
        batch = batch.to(accelerator.device) if config.workers else batch
        number = epoch * steps + index
        lr = learning_rate(config, number, config.epochs * steps)
        torch.manual_seed(generator_for(config.seed, epoch, index, accelerator.process_index).initial_seed())
        losses[index], of_batch = step(batch, number, lr)
        step.optimizer.zero_grad()
        if ema:
            ema.update(accelerator.unwrap_model(step.model), step=number)
        right += of_batch
        seen += len(batch.target)
        if index % LOOK_EVERY == LOOK_EVERY - 1 or index == steps - 1:
            _check_losses(losses[: index + 1], epoch * steps, lr)
        bar.update()
    shared = accelerator.reduce(torch.stack([losses.mean() * seen, right, right.new_tensor(seen)]), "sum").tolist()
    return {
        "epoch": epoch + 1, "step": (epoch + 1) * steps, "lr": lr,
        "loss": shared[0] / shared[2], "train_accuracy": shared[1] / shared[2],
    }  # fmt: skip


def _check_losses(losses: Tensor, first_step: int, lr: float) -> None:
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise DivergedError(
            f"the loss is {losses[bad[0]].item()} at step {first_step + bad[0] + 1}, learning rate {lr:.2e}: "
            "lower lr, lengthen warmup_steps, or lower margin"
        )
