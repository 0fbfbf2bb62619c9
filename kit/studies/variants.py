"""Options that no notebook changes, each tried once against the same experiment without it.

    python -m kit.studies.variants --sounds path/to/folder --recordings path/to/rainforest --out docs/variants.md

Sounds: the Conformer's order of modules and its norm, and what LPC views can add. Recordings with partial labels: the
focal loss, and a weight of positive pairs that fades. Each row changes what its name says and nothing else.
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

COLUMNS = ["name", "score", "delta", "low", "high", "p_holm", "verdict"]


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
            base.but(name="positive weight 4, decaying", loss=BCE(positive_weight=4.0, positive_decay=0.8)),
        ]
    }


def measured(folder: Path, tables: dict[str, list[Experiment]], seeds: Sequence[int]) -> str:
    """Train them all and set each beside the first of its table; Markdown."""
    competition, pieces = open_competition(folder), []
    for title, group in tables.items():
        out = Path("runs") / f"{competition.folder.name}-variants"
        table = compare(crossval(group, competition, out, seeds=seeds), group[0].name)
        epochs, folds = group[0].loop.epochs, group[0].folds.n
        pieces.append(f"## {title}\n\n{len(table) - 1} changes, {folds} folds, {len(seeds)} seeds, {epochs} epochs of "
                      f"{group[0].loop.epoch_steps} updates; {competition.metric}.\n")  # fmt: skip
        pieces.append(to_markdown(table[COLUMNS].round(3)))
    return "\n".join(pieces)


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser("python -m kit.studies.variants", description=__doc__.splitlines()[0])
    parser.add_argument("--sounds", type=Path, help="a folder of sounds with one label")
    parser.add_argument("--recordings", type=Path, help="a folder of RFCX's layout")
    parser.add_argument("--preset", default="demo", help="how long to train (demo)")
    parser.add_argument("--seeds", type=int, default=2, help="how many (2)")
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    options = parser.parse_args(arguments)
    pages, seeds = [], range(options.seeds)
    if options.sounds:
        has_audio = "audio" in open_competition(options.sounds).train
        pages.append(measured(options.sounds, sound_experiments(preset(options.preset), has_audio), seeds))
    if options.recordings:
        pages.append(measured(options.recordings, recording_experiments(recording_preset(options.preset)), seeds))
    head = (
        f"# Variants\n\n{__doc__.splitlines()[0]} Made by\n`python -m kit.studies.variants {shlex.join(arguments)}`.\n"
    )
    with replacing(options.out) as beside:
        beside.write_text("\n".join([head, *pages]), encoding="utf-8")


if __name__ == "__main__":
    main()
