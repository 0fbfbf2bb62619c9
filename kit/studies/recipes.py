"""What a training's minutes buy: one thing changed at a time, each for about as long, on one fold.

    python -m kit.studies.recipes --data path/to/speakers240 --out recipes.md

The first rows have as many updates as take the time of 900 of the first; minutes are as measured.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from kit import (
    AdamW,
    AMSoftmax,
    Conformer,
    Experiment,
    Folds,
    Loop,
    Net,
    SelfAttention,
    SpecAugment,
    TimmOptimizer,
    WarmupCosine,
    crossval,
    open_competition,
)
from kit.atomic import replacing
from kit.results.ledger import to_markdown
from kit.training.runs import Run


def trained(name: str, updates: int, width: int = 160, **changes: Any) -> Experiment:
    """The baseline, a Conformer of two layers at this width, changed as told, for so many updates."""
    base = Experiment(
        name=name, folds=Folds(3), crop_frames=96,
        augment=(SpecAugment(time_masks=1, time_mask_frames=8, freq_masks=1, freq_mask_bins=4),),
        net=Net(Conformer(width, ff_width=2 * width, kernel_size=15, dropout=0.0, frame_stack=4),
                SelfAttention(), AMSoftmax(warmup_steps=min(240, updates // 4))),
        optimizer=AdamW(lr=2e-3), schedule=WarmupCosine(min(200, updates // 9)),
        loop=Loop(epochs=3, epoch_steps=updates // 3, patience=3),
    )  # fmt: skip
    return base.but(**changes)


def recipes() -> list[Experiment]:
    """Some two minutes each of one core, as 900 updates of the first take; then long ones; then short ones."""
    stronger = (SpecAugment(time_masks=1, time_mask_frames=16, freq_masks=2, freq_mask_bins=8),)
    return [
        trained("width 160", 900),
        trained("width 96", 1800, 96),
        trained("width 64", 2700, 64),
        trained("eight frames stacked", 1500, net__backbone__frame_stack=8),
        trained("crops of 64", 1248, crop_frames=64),
        trained("width 96, eight stacked", 2700, 96, net__backbone__frame_stack=8),
        trained("width 96, eight stacked, crops of 160", 2199, 96, net__backbone__frame_stack=8, crop_frames=160),
        trained("width 160, longer", 2100),
        trained("width 96, longer, dropout 0.1", 4800, 96, net__backbone__dropout=0.1),
        trained("width 96, longer, more masks", 4800, 96, augment=stronger),
        trained("200 updates", 200),
        trained("200 updates, rate 4e-3", 200, optimizer__lr=4e-3),
        trained("200 updates, no margin", 200, net__head=AMSoftmax(scale=15.0, margin=0.0)),
        trained("200 updates, Muon", 200, optimizer=TimmOptimizer("muon", lr=2e-3)),
    ]


def table(runs: Iterable[Run]) -> pd.DataFrame:
    """A row a run: updates, minutes, training accuracy (masked crops, by the margin) and the fold's score."""
    rows = []
    for run in runs:
        log = pd.read_csv(next(run.folder.glob("fold*/log.csv")))
        last = log.iloc[-1]
        rows.append((run.experiment["name"], int(last["step"]), f"{run.metrics['minutes']:.1f}",
                     f"{last['train_accuracy']:.3f}", f"{run.score:.3f}"))  # fmt: skip
    return pd.DataFrame(rows, columns=["experiment", "updates", "minutes", "training accuracy", "score"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m kit.studies.recipes", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a competition's folder of sounds with one label")
    parser.add_argument("--fold", type=int, default=0, help="of three (0)")
    parser.add_argument("--out", type=Path, required=True, help="the table to write")
    options = parser.parse_args(arguments)
    competition = open_competition(options.data)
    out = Path("runs") / f"{competition.folder.name}-recipes"
    shown = table(crossval(recipes(), competition, out, folds=[options.fold]))
    with replacing(options.out) as beside:
        beside.write_text(to_markdown(shown) + "\n", encoding="utf-8")
    print(to_markdown(shown))


if __name__ == "__main__":
    main()
