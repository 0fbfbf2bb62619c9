"""Options that no notebook changes, each tried once against the same experiment without it.

    python -m kit.studies.variants --sounds data/voices --recordings data/rainforest --out docs/variants.md

Sounds: the Conformer's order of modules and its norm, and what LPC views can add. Recordings with partial labels: the
focal loss, and a weight of positive pairs that fades. Each row changes what its name says and nothing else. The default
budget is for one core and some 15 minutes on the demos' data: two folds, two seeds, two of the preset's epochs.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from kit import (
    BCE,
    AMSoftmax,
    Experiment,
    Focal,
    LogMel,
    LPCViews,
    SelfAttention,
    Wave,
    compare,
    crossval,
    open_competition,
    preset,
    recording_preset,
)
from kit.atomic import replacing
from kit.results.ledger import to_markdown
from kit.results.reading import compare_reading

READING = """Scores are out of fold, the mean over seeds. Δ is the difference from the first row on the same rows,
with its 95 % interval, not corrected; p is corrected for the table's comparisons (Holm), and the verdict follows it.
So short a training shows what is plainly better or worse, and no more.
"""


def sound_experiments(start: Experiment, has_audio: bool) -> dict[str, list[Experiment]]:
    """By what they are about, a baseline and its variants."""
    base = start.but(
        name="attention first, batch norm", features=Wave() if has_audio else LogMel(), net__pooling=SelfAttention(),
        net__head=AMSoftmax(warmup_steps=2 * start.schedule.warmup_steps),
    )  # fmt: skip
    views = base.but(name="LPC views", views=LPCViews())
    return {
        "The Conformer's layer": [
            base,
            base.but(name="convolution first", net__backbone__convolution_first=True),
            base.but(name="group norm", net__backbone__conv_norm="group"),
        ],
        "LPC views": [
            views,
            views.but(name="residual weight 1", views__residual=1.0),
            views.but(name="recombination", views__recombination=1.0),
            views.but(name="shuffled recombination", views__shuffled=1.0),
            views.but(name="swap, least similar", views__swap="least"),
            views.but(name="swap, most similar", views__swap="most"),
        ],
    }


def recording_experiments(start: Experiment) -> dict[str, list[Experiment]]:
    base = start.but(name="binary cross-entropy", loss=BCE())
    return {
        "Losses for partial labels": [
            base,
            base.but(name="focal, gamma 2", loss=Focal()),
            base.but(name="positive weight 4", loss=BCE(positive_weight=4.0)),
            base.but(name="positive weight 4, decay 0.25", loss=BCE(positive_weight=4.0, positive_decay=0.25)),
        ]
    }


def shortened(start: Experiment, epochs: int, folds: int) -> Experiment:
    """The same for so many epochs and folds, warmed up over a fifth of its updates; epochs of steps only."""
    warmup = epochs * start.loop.epoch_steps // 5
    return start.but(folds__n=folds, loop__epochs=epochs, schedule__warmup_steps=warmup)


def measured(folder: Path, tables: dict[str, list[Experiment]], seeds: Sequence[int]) -> str:
    """Train them all and set each beside the first of its table; Markdown."""
    competition, pieces = open_competition(folder), []
    for title, group in tables.items():
        out = Path("runs") / f"{competition.folder.name}-variants"
        table = compare(crossval(group, competition, out, seeds=seeds), group[0].name)
        loop, folds = group[0].loop, group[0].folds.n
        pieces.append(f"## {title}\n\n{competition.metric}, {folds} folds, {len(seeds)} seeds, {loop.epochs} epochs of "
                      f"{loop.epoch_steps} updates, {len(competition.train)} training rows.\n")  # fmt: skip
        pieces.append(to_markdown(compare_reading(table)) + "\n")
    return "\n".join(pieces)


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser("python -m kit.studies.variants", description=__doc__.splitlines()[0])
    parser.add_argument("--sounds", type=Path, help="a folder of sounds with one label")
    parser.add_argument("--recordings", type=Path, help="a folder of RFCX's layout")
    parser.add_argument("--preset", default="demo", help="nets and the length of an epoch (demo)")
    parser.add_argument("--epochs", type=int, default=2, help="how many (2)")
    parser.add_argument("--folds", type=int, default=2, help="how many (2)")
    parser.add_argument("--seeds", type=int, default=2, help="how many (2)")
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    options = parser.parse_args(arguments)
    pages, seeds = [], range(options.seeds)
    if options.sounds:
        has_audio = "audio" in open_competition(options.sounds).train
        start = shortened(preset(options.preset), options.epochs, options.folds)
        pages.append(measured(options.sounds, sound_experiments(start, has_audio), seeds))
    if options.recordings:
        start = shortened(recording_preset(options.preset), options.epochs, options.folds)
        pages.append(measured(options.recordings, recording_experiments(start), seeds))
    command = f"python -m kit.studies.variants {shlex.join(arguments)}"
    head = f"# Variants\n\n    {command}\n\n{__doc__.splitlines()[0]} Made by that command.\n\n{READING}"
    with replacing(options.out) as beside:
        beside.write_text("\n".join([head, *pages]), encoding="utf-8")


if __name__ == "__main__":
    main()
