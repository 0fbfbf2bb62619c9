"""How well are words told apart after five examples each: LPC views beside TEEN and a frozen net from ImageNet.

    python -m kit.studies.few_shot --data path/to/keywords40 --out docs/few_shot.md

Half of the words are the base session's. All methods see the same draws of the shots. The field's ways are plain
prototypes of a frozen net with ImageNet's weights, and TEEN's calibration of new prototypes (Wang et al. 2023, arXiv
2312.05229) at the two weights that its authors' scripts have.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from kit import LogMel, LPCViews, Wave, open_competition, pack
from kit.atomic import replacing
from kit.competition.competition import Competition
from kit.data.store import Store
from kit.experiment import Experiment
from kit.results.ledger import to_markdown
from kit.studies.base_nets import base_net, frozen_net, frozen_nets, train_nets
from kit.studies.prototypes import Recipe
from kit.studies.session_draws import Embedded, Method, Sessions, run_methods
from kit.studies.session_protocol import Protocol, Split, half_and_half, in_order, split_rows
from kit.studies.session_scores import confusions, differences_reading, session_differences, session_table

LPC_COST = 2.4  # times of a plain update's, measured: three views of each utterance

# TEEN's temperature is 16 in all its scripts, its weight 0.5 by default and on CUB200, 0.1 on CIFAR-100.
METHODS = (
    Method("plain", "speech net"),
    Method("TEEN 0.1", "speech net", Recipe(calibration=0.1)),
    Method("TEEN 0.5", "speech net", Recipe(calibration=0.5)),
    Method("LPC net", "LPC net"),
    Method("LPC prototypes", "LPC net", Recipe(formant=0.1, residual=0.1)),
    Method("LPC + TEEN 0.1", "LPC net", Recipe(formant=0.1, residual=0.1, calibration=0.1)),
    Method("ImageNet", "ImageNet net"),
    Method("ImageNet + TEEN 0.1", "ImageNet net", Recipe(calibration=0.1)),
)
PAIRS = (
    ("TEEN 0.1", "plain"), ("TEEN 0.5", "plain"), ("LPC net", "plain"), ("LPC prototypes", "LPC net"),
    ("LPC + TEEN 0.1", "LPC prototypes"), ("ImageNet", "plain"), ("ImageNet + TEEN 0.1", "ImageNet"),
)  # fmt: skip
LONGER = Method("plain, as many minutes", "longer net")


def packed(competition: Competition, seed: int, shots: int = 5) -> tuple[Protocol, Store, list[Split], Wave | LogMel]:
    """The protocol on a competition's words, its rows in that order, who trains and who is scored, and the features."""
    features = Wave() if "audio" in competition.train else LogMel()
    protocol = half_and_half(competition.classes, seed, shots)
    store = in_order(pack(competition, kind=features.packs), protocol.seen, competition.solution())
    return protocol, store, split_rows(store, seed=seed), features


def with_views(base: Experiment) -> Experiment:
    """The same net with the formant and the residual view of each utterance to classify beside it."""
    return base.but(name="LPC net", views=LPCViews())


def nets_told(facts: pd.DataFrame) -> pd.DataFrame:
    """How each net was fitted, to read."""
    shares = {name: facts[name].map("{:.3f}".format) for name in ("train_accuracy", "fitted", "valid")}
    told = facts.assign(**shares, minutes=facts["minutes"].map("{:.2f}".format))
    return told.rename(
        columns={
            "minutes": "minutes of a core", "train_accuracy": "training crops right", "fitted": "training rows right",
            "valid": "validation rows right",
        }
    )  # fmt: skip


def page(sessions: Sessions, facts: pd.DataFrame, splits: Sequence[Split], command: str) -> str:
    """The study's tables with what they are of, in Markdown."""
    protocol = sessions.protocol
    speakers = "rows" if sessions.clusters is None else f"{len(set(sessions.clusters))} speakers"
    pairs = [*PAIRS, ("LPC net", LONGER.name)] if LONGER.name in sessions.predicted else PAIRS
    first = next(iter(sessions.predicted))
    n_trainings, n_draws = sessions.predicted[first].shape[:2]
    held = f"of {len(splits)} folds, each by nets that held it out"
    tested = held if len(splits) > 1 else f"({splits[0].source})"
    pieces = [
        f"# Few-shot keywords\n\n{__doc__.splitlines()[0]} Made by\n`python -m kit.studies.few_shot {command}`.\n",
        f"{protocol.n_base} base words, then {protocol.sessions} sessions of {protocol.ways} words with "
        f"{protocol.shots} shots each; {len(sessions.rows):,} test clips {tested}. Of each net "
        f"{n_trainings * len(splits)} trainings, {n_draws} "
        f"draws of the shots. Intervals are 95 % bootstraps over {speakers} of the mean over draws and trainings, not "
        "corrected; p is after Holm's correction for the table.\n",
        "## The nets\n",
        to_markdown(nets_told(facts)),
        "\n## Accuracies\n",
        to_markdown(session_table(sessions)),
    ]
    for measure in ("average", "drop", "new words"):
        pieces += [
            f"\n## Differences in the {measure}\n" if measure != "new words" else "\n## Differences on new words\n"
        ]
        pieces += [to_markdown(differences_reading(session_differences(sessions, pairs, measure)))]
    worst = confusions(sessions, "LPC net", 8)[["word", "taken_for", "share"]].round(3)
    pieces += ["\n## What the LPC net confuses\n", to_markdown(worst.rename(columns={"taken_for": "taken for"}))]
    return "\n".join(pieces) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m kit.studies.few_shot", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of spoken words")
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    parser.add_argument("--preset", default="demo", help="the net that is trained (demo)")
    parser.add_argument("--updates", type=int, default=900, help="of each base session (900)")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each net on each split (1)")
    parser.add_argument("--draws", type=int, default=20, help="of the shots (20)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once (1)")
    options = parser.parse_args(arguments)
    competition = open_competition(options.data)
    protocol, store, splits, features = packed(competition, seed=0)
    base = base_net(options.preset, features, protocol, options.updates)
    longer = base_net(options.preset, features, protocol, round(options.updates * LPC_COST)).but(name=LONGER.net)
    out = Path("runs") / f"{competition.folder.name}-few-shot-{options.preset}-{options.updates}"
    nets, facts = train_nets(
        [base, with_views(base), longer], store, splits, protocol, out, seeds=range(options.seeds), n_jobs=options.jobs
    )
    nets: list[Embedded] = [*nets, *frozen_nets(frozen_net(base), store, splits)]
    target = store.index["target"].to_numpy()
    sessions = run_methods([*METHODS, LONGER], nets, splits, target, protocol, n_draws=options.draws)
    with replacing(options.out) as beside:
        beside.write_text(page(sessions, facts, splits, _command(options)), encoding="utf-8")


def _command(options: argparse.Namespace) -> str:
    """The options again, the data by its folder's name alone."""
    chosen = {name: getattr(options, name) for name in ("preset", "updates", "seeds", "draws")}
    data = f"--data path/to/{options.data.name} --out docs/few_shot.md"
    return " ".join([data, *(f"--{name} {value}" for name, value in chosen.items())])


if __name__ == "__main__":
    main()
