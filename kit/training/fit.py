"""The training loop: one fold of one experiment, with early stopping, and a resume that continues exactly.

Every random draw is a function of (seed, epoch, step, process): nothing is carried from step to step but weights and
optimiser state. So an epoch begun again after a kill is the epoch that was killed, bit for bit on a CPU.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from tqdm.std import tqdm

from kit.competition.metrics import METRICS, Metric
from kit.data.batches import generator_for
from kit.data.features import n_bins
from kit.data.mixup import mix_drawer
from kit.data.store import Store
from kit.parts import make
from kit.training.budget import Budget
from kit.training.checkpoint import average_weights, keep_best, load_checkpoint, save_best, save_checkpoint
from kit.training.faults import memory_told
from kit.training.finish import changes_prototypes, check_base, finish_prototypes
from kit.training.identity import without_weights
from kit.training.loader import train_loader
from kit.training.losses import check_loss
from kit.training.nets import build_net
from kit.training.optim import build_optimizer
from kit.training.predict import predict
from kit.training.step import TrainStep
from kit.training.views import mel_axis_notice

LOOK_EVERY = 50  # steps between looks at the losses: on a GPU, each look makes the host wait for the card


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Fitted:
    """What a fold's training ends with."""

    model: nn.Module  # with the best weights
    score: float
    epoch: int  # of the best score, from 1
    accelerator: Accelerator
    epochs: int  # done
    unfinished: bool  # its minutes were over before its epochs


def fit(
    experiment: Any,
    store: Store,
    train_rows: np.ndarray | Sequence[int],
    valid_rows: np.ndarray | Sequence[int],
    folder: str | Path,
    *,
    metric: Metric = METRICS["accuracy"],
    fold: int = 0,
    begun: Callable[[tuple[dict[str, str], ...]], None] = lambda weights: None,
    progress: bool = True,
) -> Fitted:
    """Train on some rows of a store, stop early on others, and leave log.csv, best.pt and last.pt in `folder`.

    Without rows to validate on, which loop.keep "last" can do without, each score is NaN.

    Where `folder` holds a last.pt of the same experiment, training goes on from there. It stops before an epoch that
    would not end within loop.minutes, after one at least. `fold` picks the weights that experiment.start_from names;
    `begun` is told before the first update what the net started from: line and sha256 of each file.
    Raises DivergedError where the loss turns NaN or infinite, DeviceMemoryError where the device can't hold a batch,
    ValueError where last.pt is another experiment's, or cut short.
    """
    folder, loop, budget = Path(folder), experiment.loop, Budget(experiment.loop.minutes)
    check_loss(experiment.loss, store.task)
    accelerator = prepare_accelerator(loop.precision)
    torch.manual_seed(generator_for(experiment.seed).initial_seed())
    resumes = (folder / "last.pt").exists()
    asked = without_weights(experiment) if resumes else experiment  # last.pt has its own
    raw: Any = build_net(asked, len(store.classes), n_bins(experiment.features, store, experiment.crop_frames))
    loaded = [raw.loaded] if getattr(raw, "loaded", None) else []
    if experiment.start_from and not resumes:
        from kit.models.weights import start_net  # here, for it needs timm, which takes seconds to import

        loaded.append(start_net(raw, experiment.start_from.file(fold)))
    raw.to(accelerator.device)
    capturable = loop.step == "graph" and accelerator.device.type == "cuda"
    model, optimizer = accelerator.prepare(raw, build_optimizer(experiment.optimizer, raw, capturable))
    ema = _ema(raw, loop.ema_decay) if loop.ema_decay else None
    shown = ema.module if ema else raw  # what is validated and kept
    state = load_checkpoint(folder / "last.pt", experiment, raw, shown, optimizer, accelerator)
    check_base(experiment.session, store, train_rows)
    step = TrainStep(experiment, model, raw, optimizer, accelerator)
    if accelerator.is_main_process:
        begun(tuple({"line": one.line, "sha256": one.sha256} for one in loaded))
    mixup = mix_drawer(experiment.mix, raw.mix_places, raw.stage_names, store.kind == "wave")
    loader = train_loader(experiment, store, train_rows, valid_rows, mixup, accelerator)
    judged = np.asarray(valid_rows)[store.counts(valid_rows)]
    target = store.targets(judged)

    def validate() -> tuple[float, float]:
        if not len(judged):  # all rows are trained on
            return math.nan, math.nan
        probability = predict(shown, store, judged, experiment, accelerator)
        return metric(target, probability), METRICS["log_loss"](target, probability)

    bar = tqdm(
        total=loop.epochs * len(loader), initial=state.epoch * len(loader), desc=experiment.name, unit="step",
        disable=not (progress and accelerator.is_main_process),
    )  # fmt: skip
    if not bar.disable and (notice := mel_axis_notice(experiment.views, store)):
        bar.write(notice)
    while not (over := _is_over(state, loop)) and budget.allows(accelerator):
        with memory_told("batch_size", loop.batch_size):
            row = _train_epoch(experiment, state.epoch, step, ema, loader, bar)
        score, loss = validate()
        row |= {"valid_score": score, "valid_loss": loss}
        keep_best(state, row, shown, loop, metric)
        bar.set_postfix(loss=f"{row['loss']:.3f}", score=f"{score:.3f}")
        if accelerator.is_main_process:
            save_checkpoint(folder, experiment, state, raw, shown, optimizer, accelerator, store)
        budget.epoch_ended()
    bar.close()
    shown.load_state_dict(average_weights([weights for _, _, weights in state.best]))
    score, epoch, _ = state.best[0]
    if len(state.best) > 1:
        score, _ = validate()
    if changes_prototypes(experiment):
        finish_prototypes(shown, store, train_rows, experiment, accelerator)
        score, _ = validate()
        if accelerator.is_main_process:
            save_best(folder, experiment, shown.state_dict(), score, epoch, store.classes, raw.n_mels)
    return Fitted(shown.eval(), score, epoch, accelerator, state.epoch, not over)


def _is_over(state: Any, loop: Any) -> bool:
    return state.epoch >= loop.epochs or state.stale >= loop.patience


def _ema(net: nn.Module, decay: float) -> Any:
    from timm.utils import ModelEmaV3  # here, for timm takes seconds to import

    return ModelEmaV3(net, decay, use_warmup=True)


def prepare_accelerator(precision: str) -> Accelerator:
    """Accelerate for "auto", "fp32", "bf16" or "fp16"."""
    mixed = {"fp32": "no", "auto": _best_precision()}.get(precision, precision)
    AcceleratorState._reset_state()  # one process may train experiments of different precision, one after another
    return Accelerator(mixed_precision=mixed)


def _best_precision() -> str:
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"


def _train_epoch(experiment, epoch, step: TrainStep, ema, loader, bar) -> dict[str, Any]:
    """One epoch; the log's row without its validation."""
    loop, schedule = experiment.loop, make(experiment.schedule)
    loader.dataset.set_epoch(epoch)
    loader.batch_sampler.set_epoch(epoch)
    _set_training(step.model, step.raw, epoch < loop.frozen_epochs)
    batches, accelerator = len(loader), step.accelerator
    updates = -(-batches // loop.accumulate)  # of an epoch
    losses = torch.zeros(batches, device=accelerator.device)
    right = torch.zeros((), device=accelerator.device)
    seen = 0
    for index, batch in enumerate(loader):
        batch = batch.to(accelerator.device) if loop.workers else batch
        number, update = epoch * batches + index, epoch * updates + index // loop.accumulate
        share = schedule(update, loop.epochs * updates)
        torch.manual_seed(generator_for(experiment.seed, epoch, index, accelerator.process_index).initial_seed())
        parts = min(loop.accumulate, batches - index // loop.accumulate * loop.accumulate)
        last = index % loop.accumulate == parts - 1
        losses[index], of_batch = step(batch, number, share, last=last, parts=parts)
        if last:
            step.optimizer.zero_grad()
            if ema:
                ema.update(accelerator.unwrap_model(step.model), step=update)
        right += of_batch
        seen += len(batch.target)
        if index % LOOK_EVERY == LOOK_EVERY - 1 or index == batches - 1:
            _check_losses(losses[: index + 1], epoch * batches, share)
        bar.update()
    shared = accelerator.reduce(torch.stack([losses.mean() * seen, right, right.new_tensor(seen)]), "sum").tolist()
    return {
        "epoch": epoch + 1, "step": (epoch + 1) * updates, "lr": share * _top_rate(step.optimizer),
        "loss": shared[0] / shared[2], "train_accuracy": shared[1] / shared[2],
    }  # fmt: skip


def _set_training(model: nn.Module, raw: Any, frozen: bool) -> None:
    """Training mode; of a frozen backbone neither weights nor the statistics of its norms change."""
    model.train()
    stages = getattr(raw, "stages", None)
    if stages is None or not (frozen or getattr(raw, "was_frozen", None)):
        return
    if frozen and not getattr(raw, "was_frozen", None):
        raw.was_frozen = [parameter for parameter in stages.parameters() if parameter.requires_grad]
    for parameter in raw.was_frozen:
        parameter.requires_grad_(not frozen)
        parameter.grad = None
    stages.train(not frozen)


def _top_rate(optimizer) -> float:
    return max(float(group["initial_lr"]) for group in optimizer.param_groups)


def _check_losses(losses: Tensor, first_step: int, share: float) -> None:
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise DivergedError(
            f"the loss is {losses[bad[0]].item()} at step {first_step + bad[0] + 1}, at {share:.3g} of the learning "
            "rate: lower lr, lengthen warmup_steps, or lower margin"
        )
