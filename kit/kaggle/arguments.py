"""The options of the commands to Kaggle and back; what they do is in kit/kaggle/commands.py."""

import argparse
import re
from pathlib import Path

COMMANDS = "kit.kaggle.commands"
KINDS = ("dataset", "model")
COMPETITION = "the competition's name in its address, kaggle.com/competitions/NAME"
DOWNLOADED = Path("runs/kaggle/wheels")


def add_commands(command) -> None:
    """Add the subcommands by `command(name, module:function, help)`, which gives a parser."""

    def with_ledger(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--submissions",
            type=Path,
            default=Path("submissions"),
            metavar="FOLDER",
            help="where the ledger of all submissions is (default submissions)",
        )

    added = command(
        "push",
        f"{COMMANDS}:push",
        "Run a notebook on Kaggle, with the kit inside; with --infer, one that only predicts with runs of yours.",
    )
    added.add_argument("notebook", type=Path, nargs="?", help="such as notebooks/02_first_submission.ipynb")
    added.add_argument("--competition", required=True, metavar="NAME", help=COMPETITION)
    added.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="OWNER/NAME",
        help="a dataset to attach; more by giving it again",
    )
    added.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="OWNER/MODEL/FRAMEWORK/VARIATION/VERSION",
        help="a model to attach; more by giving it again",
    )
    added.add_argument(
        "--kernel",
        action="append",
        default=[],
        metavar="OWNER/NAME",
        help="a kernel whose output to attach; trainings that it left unfinished go on",
    )
    added.add_argument(
        "--weights",
        type=Path,
        metavar="PATH",
        help="a file or folder to send and attach, for the notebook's parameter weights",
    )
    _add_infer(added)
    added.add_argument("--gpu", action=argparse.BooleanOptionalAction, default=False, help="ask for a GPU (default no)")
    added.add_argument("--title", help="the kernel's title (default: the notebook's name and the competition's)")
    added.add_argument(
        "-p",
        "--parameter",
        action="append",
        type=_pair,
        default=[],
        metavar="NAME=VALUE",
        help="a value for the notebook's parameters cell, such as preset=full",
    )
    added.add_argument("--owner", help="the Kaggle account (default: the one signed in)")
    added.add_argument(
        "--out",
        type=Path,
        default=Path("runs/kaggle"),
        metavar="FOLDER",
        help="where what is sent is written (default runs/kaggle)",
    )
    added.add_argument("--dry-run", action="store_true", help="write what would be sent, and send nothing")
    with_ledger(added)

    added = command("status", f"{COMMANDS}:status", "Say whether a kernel is queued, running, complete or failed.")
    added.add_argument("kernel", metavar="OWNER/NAME", help="the kernel; a name alone is your own")
    added.add_argument("--wait", action="store_true", help="wait until it has ended")

    added = command(
        "output", f"{COMMANDS}:output", "Fetch the files that a kernel left, and add its runs to the ledger."
    )
    added.add_argument("kernel", metavar="OWNER/NAME", help="the kernel; a name alone is your own")
    added.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where its files go (default runs/kaggle/NAME/vVERSION)"
    )
    with_ledger(added)

    added = command(
        "submit",
        f"{COMMANDS}:submit",
        "Send a CSV, or a kernel's version, to a competition, never twice, and wait for its score.",
    )
    added.add_argument("file", type=Path, nargs="?", help="the submission CSV")
    added.add_argument(
        "--kernel",
        type=_version,
        metavar="OWNER/NAME/VERSION",
        help="the kernel to send, where the competition takes code",
    )
    added.add_argument(
        "--output",
        default="submission.csv",
        metavar="FILE",
        help="with --kernel: its output to be scored (default submission.csv)",
    )
    added.add_argument("--competition", required=True, metavar="NAME", help=COMPETITION)
    added.add_argument("--data", type=Path, metavar="FOLDER", help="the competition's folder, to check the CSV first")
    added.add_argument(
        "--wait", type=float, default=900.0, metavar="SECONDS", help="how long to wait for the score (default 900)"
    )
    with_ledger(added)

    added = command(
        "scores", f"{COMMANDS}:scores", "Fetch the public and private scores of what was sent, into the ledger."
    )
    added.add_argument("--competition", metavar="NAME", help="of just this competition")
    with_ledger(added)


def _add_infer(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--infer",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="in the place of a notebook: folders of finished runs, whose weights are sent with it",
    )
    added.add_argument(
        "--folds", type=_numbers(int), metavar="0,1", help="with --infer: send just these folds of each run"
    )
    added.add_argument(
        "--minutes",
        type=float,
        default=90.0,
        metavar="N",
        help="with --infer: a whole CSV is there within N minutes (default 90)",
    )
    added.add_argument(
        "--engine", default="torch", help="with --infer: torch, or onnx or openvino after an export (default torch)"
    )
    added.add_argument(
        "--how", default="mean", help="with --infer: mix runs by mean, rank mean or geometric mean (default mean)"
    )
    added.add_argument(
        "--shares",
        type=_numbers(float),
        default=(),
        metavar="0.3,0.7",
        help="with --infer: a share for each RUN (default: all the same)",
    )
    added.add_argument(
        "--post",
        action="store_true",
        help="with --infer: also post-process, by the post.json in the first run's folder",
    )
    added.add_argument(
        "--wheels",
        type=Path,
        nargs="?",
        const=DOWNLOADED,
        metavar="FOLDER",
        help="with --engine: also send its packages, which Kaggle lacks, from FOLDER or else from pip",
    )
    added.add_argument(
        "--as", dest="kind", choices=KINDS, default="dataset", help="what weights are sent as (default dataset)"
    )


def _numbers(kind: type):
    def numbers(text: str) -> tuple:
        return tuple(kind(part) for part in text.split(","))

    return numbers


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text!r}")
    return name, value


def _version(text: str) -> tuple[str, int]:
    if not (match := re.fullmatch(r"([\w-]+/[\w-]+)/([0-9]+)", text)):
        raise argparse.ArgumentTypeError(f"must be OWNER/NAME/VERSION, got {text!r}")
    return match[1], int(match[2])
