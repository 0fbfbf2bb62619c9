"""The training loop: one fold of one experiment, with early stopping, and a resume that continues exactly.

Every random draw is a function of (seed, epoch, step, process): nothing is carried from step to step but weights and
optimiser state. So an epoch begun again after a kill is the epoch that was killed, bit for bit on a CPU.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm.std import tqdm

from kit.data.atomic import replacing
from kit.data.augment import SpecAugment
from kit.data.dataset import Batch, EpochBatches, SpectrogramDataset, batch_loader, generator_for
from kit.data.store import Store
from kit.models.build import build_model
from kit.training.config import Config
from kit.training.losses import classification_loss
from kit.training.metrics import METRICS, log_loss
from kit.training.predict import predict

LOOK_EVERY = 50  # steps between looks at the losses: on a GPU, each look makes the host wait for the card


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass
class Progress:
    """What last.pt holds beside the model and the optimiser."""

    epoch: int = 0  # epochs done
    best: list[tuple[float, int, dict[str, Tensor]]] = field(default_factory=list)  # score, epoch, weights
    stale: int = 0  # validations since the best score
    log: list[dict[str, Any]] = field(default_factory=list)


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
    better. Raises DivergedError where the loss turns NaN or infinite, ValueError where last.pt is another config's.
    """
    folder = Path(folder)
    accelerator = _accelerator(config)
    torch.manual_seed(generator_for(config.seed).initial_seed())
    raw = build_model(config, len(store.classes), store.n_mels)
    optimizer = torch.optim.AdamW(raw.parameters(), config.lr, weight_decay=config.weight_decay)
    model, optimizer = accelerator.prepare(raw, optimizer)
    ema = ModelEmaV3(raw, config.ema_decay, use_warmup=True) if config.ema_decay else None
    shown = ema.module if ema else raw  # what is validated and kept
    state = _load(folder / "last.pt", config, raw, shown, optimizer, accelerator)
    loader = _train_loader(config, store, train_rows, accelerator)
    target = store.index["target"].to_numpy()[np.asarray(valid_rows)]
    bar = tqdm(
        total=config.epochs * len(loader), initial=state.epoch * len(loader), desc=config.name, unit="step",
        disable=not (progress and accelerator.is_main_process),
    )  # fmt: skip
    while state.epoch < config.epochs and state.stale < config.patience:
        row = _train_epoch(config, state.epoch, model, raw.head, optimizer, ema, loader, accelerator, bar)
        probability = predict(shown, store, valid_rows, config, accelerator)
        row |= {"valid_score": METRICS[metric](target, probability), "valid_loss": log_loss(target, probability)}
        _keep(state, row, shown, config)
        bar.set_postfix(loss=f"{row['loss']:.3f}", score=f"{row['valid_score']:.3f}")
        if accelerator.is_main_process:
            _save(folder, config, state, raw, shown, optimizer, accelerator, store)
    bar.close()
    shown.load_state_dict(average_weights([weights for _, _, weights in state.best]))
    score, epoch, _ = state.best[0]
    if len(state.best) > 1:
        score = METRICS[metric](target, predict(shown, store, valid_rows, config, accelerator))
    return Fitted(shown, score, epoch, accelerator)


def learning_rate(config: Config, step: int, steps: int) -> float:
    """The rate at a step (from 0) of `steps`: linear warm-up, then cosine to zero."""
    warmup = min(config.warmup_steps, steps - 1)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def margin_at(config: Config, step: int) -> float:
    """The head's margin at a step: grows linearly over the warm-up."""
    return config.margin * min(1.0, step / config.margin_warmup_steps) if config.margin_warmup_steps else config.margin


def average_weights(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several state dicts; whole numbers, such as counters, are the first's."""
    first = states[0]
    if len(states) == 1:
        return first
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in first.items()
    }


def _accelerator(config: Config) -> Accelerator:
    precision = {"fp32": "no", "auto": _best_precision()}.get(config.precision, config.precision)
    AcceleratorState._reset_state()  # one process may train experiments of different precision, one after another
    return Accelerator(mixed_precision=precision)


def _best_precision() -> str:
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"


def _train_loader(config: Config, store: Store, rows: Sequence[int], accelerator: Accelerator):
    augment = SpecAugment(
        config.time_masks, config.time_mask_frames, config.freq_masks, config.freq_mask_bins, config.mask_fill
    )
    dataset = SpectrogramDataset(
        store, rows, config.segment_frames, train=True, seed=config.seed, augment=augment, device=accelerator.device
    )
    batches = EpochBatches(
        len(dataset), config.batch_size, seed=config.seed, steps=config.epoch_steps,
        rank=accelerator.process_index, world=accelerator.num_processes,
    )  # fmt: skip
    return batch_loader(dataset, batches, config.workers)


def _train_epoch(config, epoch, model, head, optimizer, ema, loader, accelerator, bar) -> dict[str, Any]:
    """One epoch; the log's row without its validation."""
    loader.dataset.set_epoch(epoch)
    loader.batch_sampler.set_epoch(epoch)
    model.train()
    steps = len(loader)
    losses = torch.zeros(steps, device=accelerator.device)
    right = torch.zeros((), device=accelerator.device)
    seen = 0
    for index, batch in enumerate(loader):
        step = epoch * steps + index
        lr = learning_rate(config, step, config.epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        torch.manual_seed(generator_for(config.seed, epoch, index, accelerator.process_index).initial_seed())
        loss, logits = _step(config, step, batch, model, head, optimizer, accelerator)
        if ema:
            ema.update(accelerator.unwrap_model(model), step=step)
        losses[index] = loss
        right += (logits.argmax(1) == batch.target).sum()
        seen += len(batch.target)
        if index % LOOK_EVERY == LOOK_EVERY - 1 or index == steps - 1:
            _check_losses(losses[: index + 1], epoch * steps, lr)
        bar.update()
    shared = accelerator.reduce(torch.stack([losses.mean() * seen, right, right.new_tensor(seen)]), "sum").tolist()
    return {
        "epoch": epoch + 1, "step": (epoch + 1) * steps, "lr": lr,
        "loss": shared[0] / shared[2], "train_accuracy": shared[1] / shared[2],
    }  # fmt: skip


def _step(config, step, batch: Batch, model, head, optimizer, accelerator) -> tuple[Tensor, Tensor]:
    """One update. Returns the loss, and the logits without margin, so that the log's accuracy is the model's."""
    with accelerator.autocast():
        logits, _ = model(batch.mel, batch.mask)
        with_margin = head.with_margin(logits, batch.target, margin_at(config, step))
        loss = classification_loss(with_margin, batch.target, config.label_smoothing)
    accelerator.backward(loss)
    if config.clip_norm:
        accelerator.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach(), logits.detach()


def _check_losses(losses: Tensor, first_step: int, lr: float) -> None:
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise DivergedError(
            f"the loss is {losses[bad[0]].item()} at step {first_step + bad[0] + 1}, learning rate {lr:.2e}: "
            "lower lr, lengthen warmup_steps, or lower margin"
        )


def _keep(state: Progress, row: dict, model: nn.Module, config: Config) -> None:
    """Count the epoch; keep a copy (not an alias) of the weights where they are among the best."""
    score, state.epoch = row["valid_score"], state.epoch + 1
    better = not state.best or score > state.best[0][0]
    state.stale = 0 if better else state.stale + 1
    state.log.append(row)
    if better or len(state.best) < config.average_best or score > state.best[-1][0]:
        weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        state.best = sorted([*state.best, (score, state.epoch, weights)], key=lambda kept: -kept[0])
        state.best = state.best[: config.average_best]


def _save(folder, config, state: Progress, raw, shown, optimizer, accelerator, store) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(epoch == state.epoch for _, epoch, _ in state.best):
        score, epoch, _ = state.best[0]
        weights = average_weights([weights for _, _, weights in state.best])
        facts = {"config": config.to_dict(), "classes": list(store.classes), "n_mels": store.n_mels}
        with replacing(folder / "best.pt") as path:
            torch.save({"model": weights, "score": score, "epoch": epoch, **facts}, path)
    with replacing(folder / "log.csv") as path:
        pd.DataFrame(state.log).to_csv(path, index=False)
    with replacing(folder / "last.pt") as path:
        torch.save(
            {
                "config": config.to_dict(),
                "progress": vars(state),
                "model": raw.state_dict(),
                "ema": shown.state_dict() if shown is not raw else None,
                "optimizer": optimizer.state_dict(),
                "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
            },
            path,
        )


def _load(path: Path, config: Config, raw, shown, optimizer, accelerator) -> Progress:
    if not path.exists():
        return Progress()
    saved = torch.load(path, map_location="cpu", weights_only=True)
    changed = [key for key, value in config.to_dict().items() if saved["config"].get(key, value) != value]
    if changed:
        told = ", ".join(f"{key} {saved['config'][key]!r} -> {getattr(config, key)!r}" for key in changed)
        raise ValueError(f"{path}: was trained with another config ({told}); use another name, or delete the run")
    raw.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    if shown is not raw:
        shown.load_state_dict(saved["ema"])
    if accelerator.scaler:
        accelerator.scaler.load_state_dict(saved["scaler"])
    return Progress(**saved["progress"])


def load_model(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a best.pt, in eval mode, and what else the file holds (config, classes, n_mels, score, epoch)."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model = build_model(Config.from_dict(saved["config"]), len(saved["classes"]), saved["n_mels"])
    model.load_state_dict(copy.copy(saved.pop("model")))
    return model.eval(), saved
