"""What a fold leaves on disk, log.csv, best.pt and last.pt: kept as copies, written whole, read as data."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from kit.atomic import replacing
from kit.competition.metrics import Metric
from kit.experiment import changes, told
from kit.training.identity import rebuilt, without_weights
from kit.training.nets import build_net


@dataclass
class Progress:
    """What last.pt holds beside the model and the optimiser."""

    epoch: int = 0  # epochs done
    best: list[tuple[float, int, dict[str, Tensor]]] = field(default_factory=list)  # score, epoch, weights
    stale: int = 0  # validations since the best score
    log: list[dict[str, Any]] = field(default_factory=list)


def average_weights(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several state dicts; whole numbers, such as counters, are the first's."""
    first = states[0]
    if len(states) == 1:
        return first
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in first.items()
    }


def keep_best(state: Progress, row: dict, model: nn.Module, loop: Any, metric: Metric) -> None:
    """Count the epoch; keep a copy (not an alias) of the weights where they are among the best, or the newest."""
    score, state.epoch = row["valid_score"], state.epoch + 1
    if loop.keep == "last":
        state.best = []
    better = not state.best or metric.better(score, state.best[0][0])
    state.stale = 0 if better else state.stale + 1
    state.log.append(row)
    if better or len(state.best) < loop.average_best or metric.better(score, state.best[-1][0]):
        weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        state.best = sorted([*state.best, (score, state.epoch, weights)], key=lambda kept: -metric.sign * kept[0])
        state.best = state.best[: loop.average_best]


def save_checkpoint(folder, experiment, state: Progress, raw, shown, optimizer, accelerator, store) -> None:
    """Write best.pt where the epoch is among the best, log.csv, and last.pt, from which training goes on exactly."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(epoch == state.epoch for _, epoch, _ in state.best):
        score, epoch, _ = state.best[0]
        weights = average_weights([weights for _, _, weights in state.best])
        save_best(folder, experiment, weights, score, epoch, store.classes, raw.n_mels)
    with replacing(folder / "log.csv") as path:
        pd.DataFrame(state.log).to_csv(path, index=False)
    facts = {
        "experiment": experiment.to_dict(),
        "progress": vars(state),
        "model": raw.state_dict(),
        "ema": shown.state_dict() if shown is not raw else None,
        "optimizer": optimizer.state_dict(),
        "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
    }
    _save(facts, folder / "last.pt")


def save_best(folder, experiment, weights: dict[str, Tensor], score: float, epoch: int, classes, n_mels: int) -> None:
    """Write best.pt, from which load_model makes the net again."""
    facts = {"experiment": experiment.to_dict(), "classes": list(classes), "n_mels": n_mels}
    _save({"model": weights, "score": score, "epoch": epoch, **facts}, folder / "best.pt")


def _save(value: dict[str, Any], path: Path) -> None:
    """By way of memory, since torch.save's own error does not tell that a disk is full."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with replacing(path) as beside:
        beside.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path, experiment: Any, raw, shown, optimizer, accelerator) -> Progress:
    """The state of a last.pt, put into model and optimiser; a fresh one where there is no file."""
    if not path.exists():
        return Progress()
    content = io.BytesIO(path.read_bytes())
    try:
        saved = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler that is fed a part may raise anything
        raise ValueError(f"{path}: not a whole checkpoint; delete it, and the fold starts anew") from error
    if changed := changes(saved["experiment"], experiment.to_dict()):
        raise ValueError(
            f"{path}: was trained as another experiment ({told(changed)}); use another name, or delete the run"
        )
    raw.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    if shown is not raw:
        shown.load_state_dict(saved["ema"])
    if accelerator.scaler:
        accelerator.scaler.load_state_dict(saved["scaler"])
    return Progress(**saved["progress"])


def load_model(path: str | Path, *, trust: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a best.pt, in eval mode, and what else the file holds (experiment, classes, n_mels, score, epoch).

    Weights are read as data. Parts that are not the kit's are code, in the `sources` folder of the run: Raises
    ValueError where there are some, unless trust=True says that it may be run.
    """
    path = Path(path)
    saved = torch.load(path, map_location="cpu", weights_only=True)
    experiment = rebuilt(saved["experiment"], path.parent.parent / "sources", trust=trust)
    model = build_net(without_weights(experiment), len(saved["classes"]), saved["n_mels"])
    model.load_state_dict(saved.pop("model"))
    return model.eval(), saved
