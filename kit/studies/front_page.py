"""One picture of what the kit does, of the demo's finished runs: a sound, its folds, the differences, the leaderboard.

    python -m kit.studies.front_page --data data/voices --runs runs/voices-demo --out docs/demo.png

Made after `make demo`, whose notebooks leave the runs and the ledger.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit import LogMel, compare_steps, load_run, load_wave, open_competition, read_ledger
from kit.atomic import replacing
from kit.competition.competition import Competition
from kit.results.figures.sounds import frequency_axis
from kit.results.figures.style import run_styles, styled
from kit.training.runs import Run

LADDER = ("simple", "conformer", "attention", "margin", "longer", "masks", "spread")  # notebook 03's


def front_page(competition: Competition, runs: Sequence[Run], ledger: pd.DataFrame) -> Figure:
    """Four panels: an utterance, each rung's folds, each rung against the one before, CV against the public score."""
    steps = compare_steps(runs)
    with styled():
        figure, axes = plt.subplots(2, 2, figsize=(10, 6.4))
        _sound(competition, axes[0, 0])
        _folds(runs, axes[0, 1], competition.metric)
        _steps(steps[1:], axes[1, 0], competition.metric)
        _leaderboard(ledger, axes[1, 1], competition.metric)
    return figure


def _sound(competition: Competition, axes: Axes) -> None:
    row, mel = competition.train.iloc[0], LogMel()
    values = mel.make()(load_wave(competition.folder / row["audio"], mel.sample_rate_hz)[None])[0]
    seconds = len(values) * mel.hop_seconds
    axes.imshow(values.T, origin="lower", aspect="auto", extent=(0, seconds, -0.5, values.shape[1] - 0.5))
    frequency_axis(axes, mel)
    axes.set(title=f"A training utterance of {row['label']}", xlabel="seconds")


def _folds(runs: Sequence[Run], axes: Axes, metric: str) -> None:
    styles = run_styles(run.experiment["name"] for run in runs)
    names = list(styles)
    for run in runs:
        name = run.experiment["name"]
        scores = list(run.metrics["folds"].values())
        axes.plot([names.index(name)] * len(scores), scores, ls="", alpha=0.8, **styles[name])
    axes.set_xticks(range(len(names)), names, rotation=20)
    axes.set(title="Every rung on every fold, by seed", ylabel=f"{metric}, better →")


def _steps(steps: pd.DataFrame, axes: Axes, metric: str) -> None:
    styles = run_styles(steps["name"])
    for height, row in enumerate(steps.iloc[::-1].itertuples()):
        axes.hlines(height, row.low, row.high, lw=2.5, alpha=0.6, color=styles[row.name]["color"])
        axes.plot(row.delta, height, **styles[row.name])
    axes.axvline(0, color="0.4", lw=1)
    axes.set_yticks(range(len(steps)), steps["name"].iloc[::-1])
    axes.set(title="Each rung against the one before (95 %)", xlabel=f"difference in {metric}    better →")


def _leaderboard(ledger: pd.DataFrame, axes: Axes, metric: str) -> None:
    ledger = ledger.dropna(subset=["cv", "public"])
    for row, style in zip(ledger.itertuples(), run_styles(ledger["name"]).values(), strict=True):
        reach = [[row.cv - row.cv_low], [row.cv_high - row.cv]]
        axes.errorbar(row.cv, row.public, xerr=reach, lw=1.2, ls="", label=row.name, **style)
    ends = ledger[["cv", "public"]].stack().agg(["min", "max"])
    axes.plot(ends, ends, "--", color="0.6", lw=1)
    axes.set(title="Cross-validation against the leaderboard", xlabel=f"out-of-fold {metric} (95 %)")
    axes.set_ylabel(f"public {metric}, better →")
    axes.legend(fontsize=7, loc="lower right")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m kit.studies.front_page", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the demo's folder")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of its runs")
    parser.add_argument("--ledger", type=Path, default=Path("submissions/ledger.csv"), help="(submissions/ledger.csv)")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write")
    options = parser.parse_args(arguments)
    folders = [path for name in LADDER for path in sorted(options.runs.glob(f"{name}-s*"))]
    ledger = read_ledger(options.ledger)
    ledger = ledger[ledger["run"].str.startswith(f"{options.runs.name}/")]
    figure = front_page(open_competition(options.data), [load_run(folder) for folder in folders], ledger)
    with replacing(options.out) as beside:
        figure.savefig(beside, format="png", dpi=110)


if __name__ == "__main__":
    main()
