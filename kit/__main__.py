"""The command line: python -m kit demo | run | train | check | score | bench, and to Kaggle and back."""

import argparse
import sys
from pathlib import Path

import pandas as pd

from kit import benchmarks, notebooks
from kit.competition.competition import Competition, open_competition
from kit.data.atomic import replacing
from kit.demos.demo import make_voices
from kit.kaggle.commands import add_commands
from kit.results.compare import cv_table, load_run
from kit.results.lb import lb_table
from kit.results.ledger import LEDGER, read_ledger, to_markdown
from kit.results.record import record
from kit.results.submission import check_submission, score_submission
from kit.training.config import Config
from kit.training.crossval import crossval
from kit.training.presets import PRESETS

SHOWN = ["name", "mix", "backbone", "CV", "Δ CV", "precision", "public", "noise", "private", "CV rank", "public rank"]
SHOWN += ["private rank"]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 where it worked, 1 with one clear line where it did not."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, RuntimeError) as error:
        if options.traceback:
            raise
        print(f"kit {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def demo(options) -> None:
    """Every notebook: on the voices, or on a demo of its own where it is about something else."""
    run_notebooks(open_competition(make_voices(options.data)), "demo", notebooks.numbered(options.only), options)


def run(options) -> None:
    """The notebooks that are about such a folder; a study only by its number."""
    competition = open_competition(options.data)
    paths = [path for path in notebooks.numbered(options.only) if notebooks.suits(path, competition.layout)]
    paths = [path for path in paths if options.only or path.name[:2] not in notebooks.STUDIES]
    if not paths:
        raise ValueError(f"only must name a notebook for a folder of layout {competition.layout!r}, got {options.only}")
    run_notebooks(competition, options.preset, paths, options)


def run_notebooks(competition: Competition, preset: str, paths: list[Path], options) -> None:
    runs = Path("runs") / f"{competition.folder.name}-{preset}"
    values = {"data": str(competition.folder), "preset": preset, "seed": options.seed}
    notebooks.run_notebooks(paths, values, runs / "notebooks", layout=competition.layout, in_place=options.in_place)
    _print_ledger(runs.name, competition)
    print(f"\nThe notebooks as they ran: {runs}/notebooks/")


def train(options) -> None:
    config, competition = Config.load(options.config), open_competition(options.data)
    out = options.out or Path("runs") / competition.folder.name
    folder = out / f"{config.name}-s{config.seed}"
    if folder.exists() and not options.resume:
        raise ValueError(f"{folder}: exists; --resume goes on with it, another name or --out starts anew")
    for note in competition.notes:
        print(f"kit train: {note}", file=sys.stderr)
    folders = crossval([config], competition, out, folds=options.folds, cache=options.cache)
    print(cv_table([load_run(folder) for folder in folders]).to_string(index=False))
    for folder in folders:
        row = record(folder, competition, options.submissions)
        print(f"submission: {row['file']}")


def check(options) -> None:
    competition = open_competition(options.data)
    check_submission(options.file, competition)
    print(f"{options.file}: accepted, {len(competition.test)} rows")


def score(options) -> None:
    competition = open_competition(options.data)
    found = score_submission(options.file, competition)
    for part in ("public", "private"):
        print(f"{part:8} {competition.metric} {found[part]:.5f}  ({found[f'{part}_rows']} rows)")


BENCHMARKS = """# Benchmarks

Each row is the kit's way, beside it the source's: as competitors write it today, kept small in `tests/bench/`. *ratio*
is of the medians of one run on one thread, *best* of the quickest rounds, *reach* what was aimed at. *limit* is the
time that what bounds the row takes by itself, *gap* how many times that the kit's way takes: what lies near 1 can't be
had faster. The kit's way, its peer's and the limit take turns, so that a slower spell of the machine touches all alike.
"""


def bench(options) -> None:
    command = "python -m kit bench" + (" --gpu" if options.gpu else "")
    page = benchmarks.report(benchmarks.run_benchmarks(options.gpu), command)
    print(f"\n{page}")
    if options.out:
        with replacing(options.out) as beside:
            beside.write_text(f"{BENCHMARKS}\n{page}", encoding="utf-8")


def _print_ledger(runs: str, competition: Competition) -> None:
    if not LEDGER.exists():
        return
    rows, solution = read_ledger(LEDGER), competition.solution()
    rows = rows[rows["run"].str.startswith(f"{runs}/")].drop_duplicates("run", keep="last")
    if rows.empty:  # as after notebooks that send nothing
        return
    public_rows = None if solution is None else int((solution["usage"] == "Public").sum())
    print(f"\nCV and leaderboard, {runs}\n")
    table = lb_table(rows, public_rows)
    print(to_markdown(table[SHOWN + ["note"] * bool(table["note"].any())]))
    print("\nSubmissions:")
    for file in rows["file"]:
        print(f"  {file}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m kit", description="The audio competition kit, without a notebook.")
    parser.add_argument("--traceback", action="store_true", help="on an error, show where in the code it came from")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function, help: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=help, description=help)
        found.set_defaults(run=function)
        return found

    def with_notebooks(found: argparse.ArgumentParser) -> None:
        found.add_argument("--only", type=lambda text: text.split(","), default=(), metavar="02,03",
                           help="numbers of the notebooks to run; all of the day's by default")  # fmt: skip
        found.add_argument("--seed", type=int, default=0, help="seed of folds and training (0)")
        found.add_argument("--in-place", action="store_true",
                           help="write the executed notebooks, normalised, over those in notebooks/")  # fmt: skip

    found = command("demo", demo, "Make the demo competition and run the notebooks on it, top to bottom.")
    found.add_argument("--data", type=Path, default=Path("data/voices"), help="where the demo goes (data/voices)")
    with_notebooks(found)

    found = command("run", run, "Run the notebooks, top to bottom, on a competition's folder.")
    found.add_argument("--data", type=Path, required=True, help="the competition's folder, as Kaggle gives it")
    found.add_argument("--preset", choices=list(PRESETS), default="quick", help="how long to train (quick)")
    with_notebooks(found)

    found = command("train", train, "Train one experiment over its folds, and write its submission.")
    found.add_argument(
        "config", type=Path, help="a JSON file of config fields; python -m kit train --fields lists them"
    )
    found.add_argument("--data", type=Path, required=True, help="the competition's folder")
    found.add_argument("--out", type=Path, help="where the run's folder goes (runs/<the data folder's name>)")
    found.add_argument("--cache", type=Path, default=Path("cache"), help="where packed features go (cache)")
    found.add_argument("--submissions", type=Path, default=Path("submissions"), help="CSVs and ledger (submissions)")
    found.add_argument("--folds", type=_numbers, metavar="0,1", help="folds to train; all by default")
    found.add_argument("--resume", action="store_true", help="go on with a run that was cut short")

    for name, function, help in (
        ("check", check, "Check a submission CSV against the competition's folder."),
        ("score", score, "Score a submission CSV against the folder's solution.csv."),
    ):
        found = command(name, function, help)
        found.add_argument("file", type=Path, help="the submission CSV")
        found.add_argument("--data", type=Path, required=True, help="the competition's folder")

    add_commands(command)

    commands.choices["train"].epilog = "config fields and their defaults: " + ", ".join(
        f"{name} {value!r}" for name, value in Config().to_dict().items()
    )
    added = command("bench", bench, "Measure the kit's speed beside the source's way, and print the ratios.")
    added.add_argument("--gpu", action="store_true", help="with the rows of the GPU that is here")
    added.add_argument("--out", metavar="FILE", type=Path, help="write the page to a file too, such as BENCHMARKS.md")
    return parser


if __name__ == "__main__":
    pd.set_option("display.width", 160)
    sys.exit(main())
