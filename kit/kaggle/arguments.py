"""The options of the commands to Kaggle and back; what they do is in kit/kaggle/commands.py."""

import argparse
import re
from pathlib import Path

COMMANDS = "kit.kaggle.commands"
KINDS = ("dataset", "model")
DOWNLOADED = Path("runs/kaggle/wheels")


def add_commands(command) -> None:
    """Add the subcommands by `command(name, module:function, help)`, which gives a parser."""

    def with_ledger(added: argparse.ArgumentParser) -> None:
        added.add_argument("--submissions", type=Path, default=Path("submissions"),
                           help="where the ledger is (submissions)")  # fmt: skip

    added = command(
        "push",
        f"{COMMANDS}:push",
        "Send a notebook, or with --infer one that only predicts, with the kit inside, to run as a Kaggle kernel.",
    )
    added.add_argument("notebook", type=Path, nargs="?", help="such as notebooks/02_first_submission.ipynb")
    added.add_argument("--competition", required=True, metavar="NAME", help="its name in Kaggle's addresses")
    added.add_argument("--dataset", action="append", default=[], metavar="OWNER/NAME", help="a dataset to attach")
    added.add_argument("--model", action="append", default=[], metavar="OWNER/MODEL/FRAMEWORK/VARIATION/VERSION",
                       help="a model to attach")  # fmt: skip
    added.add_argument("--kernel", action="append", default=[], metavar="OWNER/NAME",
                       help="a kernel whose output to attach; runs in it are gone on with")  # fmt: skip
    added.add_argument("--weights", type=Path, metavar="PATH",
                       help="a file or folder to send and attach, for the notebook's parameter weights")  # fmt: skip
    _add_infer(added)
    added.add_argument("--gpu", action=argparse.BooleanOptionalAction, default=False, help="ask for a GPU (no)")
    added.add_argument("--title", help="the kernel's title (the notebook's name and the competition's)")
    added.add_argument("-p", "--parameter", action="append", type=_pair, default=[], metavar="NAME=VALUE",
                       help="a value for the notebook's parameters cell, such as preset=full")  # fmt: skip
    added.add_argument("--owner", help="the Kaggle account (the one signed in)")
    added.add_argument("--out", type=Path, default=Path("runs/kaggle"), help="where its folder goes (runs/kaggle)")
    added.add_argument("--dry-run", action="store_true", help="write the folder and stop")
    with_ledger(added)

    added = command("status", f"{COMMANDS}:status", "Say how far a kernel is.")
    added.add_argument("kernel", metavar="OWNER/NAME", help="the kernel; a name alone is your own")
    added.add_argument("--wait", action="store_true", help="until it has ended")

    added = command("output", f"{COMMANDS}:output", "Fetch what a kernel left, and add its runs to the ledger.")
    added.add_argument("kernel", metavar="OWNER/NAME", help="the kernel; a name alone is your own")
    added.add_argument("--out", type=Path, help="where its files go (runs/kaggle/NAME/vVERSION)")
    with_ledger(added)

    added = command(
        "submit",
        f"{COMMANDS}:submit",
        "Send a CSV or a kernel's version to a competition, once, and read its score.",
    )
    added.add_argument("file", type=Path, nargs="?", help="the submission CSV")
    added.add_argument("--kernel", type=_version, metavar="OWNER/NAME/VERSION", help="for a code competition")
    added.add_argument("--output", default="submission.csv", help="the kernel's output file (submission.csv)")
    added.add_argument("--competition", required=True, metavar="NAME", help="its name in Kaggle's addresses")
    added.add_argument("--data", type=Path, help="the competition's folder, which a file is checked against")
    added.add_argument("--wait", type=float, default=900.0, metavar="SECONDS", help="for the score (900)")
    with_ledger(added)

    added = command("scores", f"{COMMANDS}:scores", "Bring the scores of what was sent into the ledger.")
    added.add_argument("--competition", metavar="NAME", help="one competition; by default all that the ledger names")
    with_ledger(added)


def _add_infer(added: argparse.ArgumentParser) -> None:
    added.add_argument("--infer", type=Path, nargs="+", default=[], metavar="RUN",
                       help="in the place of a notebook: folders of runs, whose weights are sent")  # fmt: skip
    added.add_argument("--folds", type=_numbers(int), metavar="0,1", help="folds of each run to send (all)")
    added.add_argument("--minutes", type=float, default=90.0, help="the kernel's, for the prediction (90)")
    added.add_argument("--engine", default="torch", help="torch, or the exported files of onnx or openvino (torch)")
    added.add_argument("--how", default="mean", help="how to mix runs: mean, rank mean or geometric mean (mean)")
    added.add_argument("--shares", type=_numbers(float), default=(), metavar="0.3,0.7", help="a share a run (alike)")
    added.add_argument("--post", action="store_true", help="send and apply the first run's post.json, kit.save_post's")
    added.add_argument("--wheels", type=Path, nargs="?", const=DOWNLOADED, metavar="FOLDER",
                       help="send the engine's wheels, which Kaggle lacks: a folder's, or pip's")  # fmt: skip
    added.add_argument("--as", dest="kind", choices=KINDS, default="dataset", help="what weights are sent as (dataset)")


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
