"""Each mixup against none, where the unmixed net has fitted its rows: by training size, at equal updates and minutes.

A regulariser can only help a net that knows its rows by heart, so how well the unmixed net fits them is told beside the
table. Smaller sizes train on a part of each class's rows; all are judged on the same out-of-fold rows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from kit import (
    AMSoftmax,
    Competition,
    Experiment,
    LogMel,
    LPCViews,
    Mixup,
    SelfAttention,
    Wave,
    compare,
    crossval,
    cv_table,
)
from kit.data.samplers import SomeRows
from kit.training.runs import Run

EPOCHS = 10  # at most
DEARER = 1.15  # times none's minutes, from which a mixup is tried at none's minutes too


def mixups(start: Experiment, has_audio: bool, order: int = 16) -> list[Experiment]:
    """`none` and the ways to mix, alike in all else: a Conformer, self-attention pooling, AM-softmax.

    With audio, LPC is of the waves; without, it runs along the mel axis.
    """
    none = start.but(
        name="none", features=Wave() if has_audio else LogMel(), net__pooling=SelfAttention(),
        net__head=AMSoftmax(warmup_steps=2 * start.schedule.warmup_steps),
    )  # fmt: skip
    views = LPCViews(order)
    return [
        none,
        none.but(name="input", mix=Mixup("input")),
        none.but(name="manifold", mix=Mixup("manifold")),
        none.but(name="last_layer", mix=Mixup("last_layer")),
        none.but(name="lpc", views=views),
        none.but(name="lpc_input", views=views, mix=Mixup("input")),
    ]


def budget(start: Experiment, updates: int, width: int = 96) -> Experiment:
    """The preset's Conformer at this width, without masks or dropout, for so many updates and no early stopping."""
    epochs = min(EPOCHS, max(2, updates // 100))
    return start.but(
        augment=(), net__backbone__width=width, net__backbone__ff_width=2 * width, net__backbone__frame_stack=4,
        net__backbone__dropout=0.0, loop__epochs=epochs, loop__epoch_steps=updates // epochs, loop__patience=epochs,
        schedule__warmup_steps=updates // 15,
    )  # fmt: skip


def of_size(experiment: Experiment, size: float) -> Experiment:
    """The same, trained on this part of each class's rows."""
    return experiment if size == 1 else experiment.but(sampler=SomeRows(size))


def at_equal_minutes(runs: Sequence[Run], experiments: Sequence[Experiment]) -> list[Experiment]:
    """Those that took plainly longer than the first, with as many updates as fit into its minutes."""
    minutes = {name: group["minutes"].iloc[0] for name, group in cv_table(runs).groupby("name")}
    shorter = []
    for experiment in experiments[1:]:
        ratio = minutes[experiment.name] / minutes[experiments[0].name]
        if ratio > DEARER:
            steps = max(1, round(experiment.loop.epoch_steps / ratio))
            shorter.append(experiment.but(name=f"{experiment.name}, equal minutes", loop__epoch_steps=steps))
    return shorter


class Fit(NamedTuple):
    """How well a net has fitted, the mean over folds and seeds.

    train_accuracy: of the last epoch's training crops, masked and by the head's margin. late_rise: of the validation
    score over the last quarter of the epochs.
    """

    train_accuracy: float
    late_rise: float


def fitted(runs: Sequence[Run]) -> Fit:
    """The fit of runs of one experiment, from their logs."""
    logs = [pd.read_csv(path) for run in runs for path in sorted(run.folder.glob("fold*/log.csv"))]
    late = [log["valid_score"].iloc[-1] - log["valid_score"].iloc[-1 - max(1, len(log) // 4)] for log in logs]
    return Fit(sum(log["train_accuracy"].iloc[-1] for log in logs) / len(logs), sum(late) / len(late))


def trial(
    experiments: Sequence[Experiment], competition: Competition, out: Path, size: float, seeds: Sequence[int] = (0,)
) -> tuple[pd.DataFrame, Fit]:
    """All of them on a part of each class's rows: the table of differences from the first, and how well that fitted."""
    sized = [of_size(experiment, size) for experiment in experiments]
    runs = crossval(sized, competition, out, seeds=seeds)
    runs += crossval(at_equal_minutes(runs, sized), competition, out, seeds=seeds)
    table = compare(runs, experiments[0].name)
    table["minutes"] = table["name"].map(cv_table(runs).set_index("name")["minutes"])
    table.insert(0, "size", size)
    return table, fitted([run for run in runs if run.experiment["name"] == experiments[0].name])
