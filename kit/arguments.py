"""The options of the commands; Kaggle's are in kit/kaggle/arguments.py, and what they do in kit/commands.py."""

import argparse
from importlib import import_module
from pathlib import Path

DATA = "the competition's folder, as Kaggle gives it, unpacked"


def add_notebooks(command) -> None:
    def with_notebooks(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--only",
            type=lambda text: text.split(","),
            default=(),
            metavar="02,03",
            help="run just the notebooks of these numbers",
        )
        added.add_argument("--seed", type=int, default=0, help="seed of folds and training (default 0)")
        added.add_argument(
            "--in-place",
            action="store_true",
            help="for the kit's own developers: write the executed notebooks over those in notebooks/",
        )

    added = command(
        "demo",
        "kit.commands:demo",
        "Make a small synthetic competition and run notebooks 01 to 05 on it; no data and no GPU are needed.",
    )
    added.add_argument(
        "--data",
        type=Path,
        default=Path("data/voices"),
        metavar="FOLDER",
        help="where the competition is made (default data/voices)",
    )
    added.add_argument("--all", action="store_true", help="run all notebooks, 06 to 10 on demos of their own")
    added.add_argument(
        "--record",
        action="store_true",
        help="keep how long each notebook took, for the times that this command tells at its start",
    )
    with_notebooks(added)

    added = command("run", "kit.commands:run", "Run the notebooks, top to bottom, on your competition's folder.")
    added.add_argument("--data", type=Path, required=True, metavar="FOLDER", help=DATA)
    added.add_argument(
        "--preset",
        default="quick",
        help="how long to train: tiny, demo, quick or full (default quick: on two CPU cores under an hour for short "
        "clips with one label, hours for recordings; full: for a GPU, and not yet timed)",
    )
    with_notebooks(added)


def add_train(command) -> None:
    added = command("train", "kit.commands:train", "Train one experiment on all its folds and write a submission.")
    added.add_argument(
        "experiment",
        type=Path,
        help="a JSON file that says what differs from a preset, such as "
        '{"preset": "quick", "name": "mine", "optimizer": {"lr": 0.003}}',
    )
    added.add_argument("--data", type=Path, required=True, metavar="FOLDER", help=DATA)
    added.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where the run's folder is made (default runs/ and the data folder's name)",
    )
    _add_cache(added)
    added.add_argument(
        "--submissions",
        type=Path,
        default=Path("submissions"),
        metavar="FOLDER",
        help="where the CSV and the ledger of all submissions go (default submissions)",
    )
    added.add_argument("--folds", type=_numbers, metavar="0,1", help="train just these folds")
    added.add_argument("--resume", action="store_true", help="go on with a run that was cut short")
    added.add_argument("--fresh", action="store_true", help="train a run anew that is already there")
    plain = added.format_help
    added.format_help = lambda: f"{plain()}\n{import_module('kit.experiment_file').parts_listing()}"


def add_predict(command) -> None:
    added = command(
        "predict",
        "kit.commands:predict",
        "Write a submission for any folder's test part with runs that are already trained.",
    )
    added.add_argument(
        "runs",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="folders of finished runs, such as runs/voices-demo/simple-s0; several are mixed",
    )
    added.add_argument(
        "--blend",
        metavar="ROW",
        help="in the place of RUN: a row of the ledger by its run or name; its runs and weights are taken",
    )
    added.add_argument("--data", type=Path, required=True, metavar="FOLDER", help=DATA)
    added.add_argument("--out", type=Path, required=True, metavar="FILE", help="the submission CSV to write")
    added.add_argument("--folds", type=_numbers, metavar="0,1", help="take just these folds of each run")
    added.add_argument(
        "--weights", type=_shares, metavar="0.3,0.7", help="a weight for each RUN (default: all the same)"
    )
    added.add_argument(
        "--how", default="mean", help="how runs are mixed: mean, rank mean or geometric mean (default mean)"
    )
    added.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="write a whole CSV within N minutes: first one of the "
        "class priors, then a better one after each fold; the clock starts when the kit is loaded",
    )
    added.add_argument("--cores", type=int, metavar="N", help="with --minutes: also say how long N cores would take")
    added.add_argument(
        "--drop",
        type=_words,
        metavar="folds,crops",
        default=("folds", "crops"),
        help="with --minutes: what to take fewer of where time is short, in this order",
    )
    added.add_argument(
        "--engine",
        default="torch",
        help="what runs the nets: torch, or onnx or openvino after an export (default torch)",
    )
    added.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="of PyTorch (default: as many as each fold was trained with, which gives the same bits)",
    )
    _add_cache(added)
    added.add_argument(
        "--post",
        nargs="?",
        type=Path,
        const=True,
        default=False,
        metavar="FILE",
        help="also post-process, by FILE or else by the post.json in the first run's folder",
    )
    added.add_argument(
        "--ledger",
        type=Path,
        default=Path("submissions/ledger.csv"),
        metavar="FILE",
        help="where --blend looks (default submissions/ledger.csv)",
    )
    _add_trust(added)


def add_export(command) -> None:
    added = command(
        "export",
        "kit.commands:export",
        "Write a trained run's nets as files for ONNX Runtime or OpenVINO, each checked against PyTorch.",
    )
    added.add_argument("run_folder", type=Path, metavar="RUN", help="a finished run's folder")
    added.add_argument("--to", required=True, choices=("onnx", "openvino"), help="for which engine")
    added.add_argument("--out", type=Path, metavar="FOLDER", help="where the files go (default exported/ in RUN)")
    added.add_argument("--folds", type=_numbers, metavar="0,1", help="export just these folds")
    added.add_argument("--mean", action="store_true", help="write one file that gives the mean of the folds")
    added.add_argument(
        "--mel",
        default="outside",
        help="inside: the file takes waves and computes log-mels itself; outside: it takes log-mels (default outside)",
    )
    added.add_argument("--half", action="store_true", help="keep weights in 16 bits, for half the size")
    added.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="a competition's folder with rows to check on (default: those the run was trained on)",
    )
    _add_cache(added)
    _add_trust(added)


def add_checks(command) -> None:
    for name, help in (
        ("check", "Check a submission file: would Kaggle take it? Every bad row is named."),
        ("score", "Score a submission file where the folder holds the answers (a solution.csv), as the demo's do."),
    ):
        added = command(name, f"kit.commands:{name}", help)
        added.add_argument("file", type=Path, help="the submission CSV")
        added.add_argument("--data", type=Path, required=True, metavar="FOLDER", help=DATA)


def add_bench(command) -> None:
    added = command("bench", "kit.commands:bench", "Measure how fast the kit is beside code as competitors write it.")
    added.add_argument("--gpu", action="store_true", help="also measure what needs a GPU, on the one that is here")
    added.add_argument("--out", metavar="FILE", type=Path, help="write the page to a file too, such as BENCHMARKS.md")


def _add_cache(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--cache",
        type=Path,
        default=Path("cache"),
        metavar="FOLDER",
        help="where computed features are kept (default cache)",
    )


def _add_trust(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--trust",
        action="store_true",
        help="allow a run to bring code of its own (in its sources/ folder); read it first",
    )


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers such as 0.3,0.7, got {text!r}") from None


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers such as 0,1, got {text!r}") from None
