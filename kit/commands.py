"""What the commands do. Each imports what it needs when it runs: a check of a CSV need not wait for PyTorch."""

import sys
import time
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.competition.competition import Competition

WIDE = ("display.width", 160)
SHOWN = ["name", "mix", "backbone", "CV", "Δ CV", "precision", "public", "noise", "private", "CV rank", "public rank"]
SHOWN += ["private rank"]
BENCHMARKS = """# Benchmarks

Each row is the kit's way, beside it the source's: as competitors write it today, kept small in `tests/bench/`. *ratio*
is of the medians of one run on one thread, *best* of the quickest rounds, *reach* what was aimed at. *limit* is the
time that what bounds the row takes by itself, *gap* how many times that the kit's way takes: what lies near 1 can't be
had faster. The kit's way, its peer's and the limit take turns, so that a slower spell of the machine touches all alike.
"""


def demo(options) -> None:
    """The notebooks on the voices, or on a demo of their own where they are about something else."""
    from kit import durations
    from kit.competition.competition import open_competition
    from kit.demos.demo import make_voices
    from kit.notebooks import DEMO, numbered

    numbers = options.only or (() if options.all else DEMO)
    paths = numbered(numbers)
    print(f"The demo: a small competition of synthetic speakers, made in {options.data}, and on it the notebooks")
    print(durations.plan(paths), flush=True)
    took = run_notebooks(open_competition(make_voices(options.data)), "demo", paths, options)
    if options.record:
        durations.keep(took)


def run(options) -> None:
    """The notebooks that are about such a folder; a study only by its number."""
    from kit.competition.competition import open_competition
    from kit.notebooks import STUDIES, numbered, subject_of, suits
    from kit.parts import unknown
    from kit.presets import NAMES

    if options.preset not in NAMES:
        raise ValueError(unknown("no preset", options.preset, NAMES))
    competition = open_competition(options.data)
    subject = subject_of(competition)
    paths = [path for path in numbered(options.only) if suits(path, subject)]
    paths = [path for path in paths if options.only or path.name[:2] not in STUDIES]
    if not paths:
        told = ", ".join(options.only) or "none: no notebook is about such a folder; see python -m kit train"
        raise ValueError(f"only must name a notebook for a folder of {subject!r}, got {told}")
    run_notebooks(competition, options.preset, paths, options)


def run_notebooks(competition: "Competition", preset: str, paths: list[Path], options) -> dict[str, float]:
    """Run them in order, then print the ledger of what they made; the seconds that each took."""
    from kit import notebooks

    runs = Path("runs") / f"{competition.folder.name}-{preset}"
    values = {"data": str(competition.folder), "preset": preset, "seed": options.seed}
    subject = notebooks.subject_of(competition)
    took: dict[str, float] = {}
    scored: list[str] = []

    def done(copy: Path, seconds: float) -> None:
        took[copy.stem] = seconds
        if not scored and (row := first_scored(runs.name, options.begun)):
            scored.append(row)
            print(f"  the first scored submission, {time.time() - options.begun:.0f} s after the start: {row}")
            print(f"  its figures: {copy}", flush=True)

    notebooks.run_notebooks(paths, values, runs / "notebooks", subject=subject, in_place=options.in_place, done=done)
    print_ledger(runs.name, competition)
    print(f"\nThe notebooks as they ran, with their figures: {runs}/notebooks/")
    return took


def first_scored(runs: str, since: float) -> str:
    """The first submission of `<runs>/…` that was written since and has a public score; "" where there is none."""
    from kit.results.ledger import LEDGER, read_ledger

    if LEDGER.exists():
        rows = read_ledger(LEDGER)
        for row in rows[rows["run"].str.startswith(f"{runs}/") & rows["public"].notna()].itertuples():
            if Path(row.file).exists() and Path(row.file).stat().st_mtime >= since:
                return f"{row.file}, {row.metric} {row.public:.4f} on the public part"
    return ""


def print_ledger(runs: str, competition: "Competition") -> None:
    """CV and leaderboard of the submissions of `<runs>/…`, as Markdown."""
    from kit.results.lb import lb_table
    from kit.results.ledger import LEDGER, read_ledger, to_markdown

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


def train(options) -> None:
    """One experiment over its folds, and its submission."""
    import pandas as pd

    from kit.competition.competition import open_competition
    from kit.experiment_file import importable, read_experiment
    from kit.results.compare import cv_table
    from kit.results.record import record
    from kit.training.crossval import crossval

    with importable(options.experiment.absolute().parent, Path.cwd()):
        opened = cache(lambda: open_competition(options.data))
        experiment = read_experiment(options.experiment, opened, options.cache)
        competition = opened()
        out = options.out or Path("runs") / competition.folder.name
        folder = out / f"{experiment.name}-s{experiment.seed}"
        if folder.exists() and not (options.resume or options.fresh):
            ways = "--resume goes on with it, --fresh trains it anew, another name or --out starts another"
            raise ValueError(f"{folder}: exists; {ways}")
        for note in competition.notes:
            print(f"kit train: {note}", file=sys.stderr)
        runs = crossval([experiment], competition, out, folds=options.folds, cache=options.cache, fresh=options.fresh)
        if experiment.folds.n > 1:
            with pd.option_context(*WIDE):
                print(cv_table(runs).to_string(index=False))
        for run in runs:
            print(f"submission: {record(run, competition, options.submissions)['file']}")


def predict(options) -> None:
    """A folder's test part by finished runs, or by those of a blend."""
    from tqdm.std import tqdm

    from kit.inference.blend_row import read_blend
    from kit.inference.predict import NothingPredictedWarning, predict

    if bool(options.runs) == bool(options.blend):
        raise ValueError("predict needs RUN folders or --blend, one of the two")
    chosen = {"runs": options.runs, "weights": options.weights, "how": options.how}
    if options.blend:
        chosen = read_blend(options.blend, options.ledger)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        said = []

        def show(message, category, *_, **__):
            said.append(category)
            tqdm.write(f"kit predict: {message}", file=sys.stderr)

        warnings.showwarning = show
        table = predict(
            **chosen, data=options.data, out=options.out, folds=options.folds, minutes=options.minutes,
            cores=options.cores, drop=options.drop, engine=options.engine, threads=options.threads,
            cache=options.cache, trust=options.trust, post=options.post,
        )  # fmt: skip
    print(f"{options.out}: {len(table)} rows")
    if NothingPredictedWarning in said:
        raise RuntimeError(f"no fold was predicted; {options.out} holds the class priors")


def export(options) -> None:
    """A run's nets as files of another engine."""
    from kit.inference.export import export

    paths = export(
        options.run_folder, options.to, out=options.out, folds=options.folds, mean=options.mean, mel=options.mel,
        half=options.half, data=options.data, cache=options.cache, trust=options.trust,
    )  # fmt: skip
    for path in paths:
        print(path)


def check(options) -> None:
    """Is a submission fit to send?"""
    from kit.competition.competition import open_competition
    from kit.results.check import check_submission

    competition = open_competition(options.data)
    check_submission(options.file, competition)
    print(f"{options.file}: accepted, {len(competition.test)} rows")


def score(options) -> None:
    """The local leaderboard."""
    from kit.competition.competition import open_competition
    from kit.competition.metrics import as_metric
    from kit.results.submission import score_submission

    competition = open_competition(options.data)
    scores, metric = score_submission(options.file, competition), as_metric(competition.metric)
    lower = "" if metric.higher_is_better else ", lower is better"
    for usage in ("public", "private"):
        print(f"{usage:8} {metric.name} {scores[usage]:.5f}  ({scores[f'{usage}_rows']} rows{lower})")


def bench(options) -> None:
    """The benchmarks as a page."""
    from kit import benchmarks
    from kit.atomic import replacing

    command = "python -m kit bench" + (" --gpu" if options.gpu else "")
    page = benchmarks.report(benchmarks.run_benchmarks(options.gpu), command)
    print(f"\n{page}")
    if options.out:
        with replacing(options.out) as beside:
            beside.write_text(f"{BENCHMARKS}\n{page}", encoding="utf-8")
