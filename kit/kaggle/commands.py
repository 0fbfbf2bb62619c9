"""The command line's way to Kaggle and back: push, status, output, submit, scores."""

import argparse
from pathlib import Path

from kit.kaggle.kernel import NOTEBOOK, Kernel, default_title, write_kernel

UNKNOWN_OWNER = "owner-not-known"


def push(options) -> None:
    title = options.title or default_title(options.notebook, options.competition)
    owner = options.owner or UNKNOWN_OWNER
    kernel = Kernel(owner, title, options.competition, options.dataset, options.kernel, options.gpu)
    folder = options.out / kernel.slug
    bundle = write_kernel(options.notebook, kernel, dict(options.parameter), folder)
    print(f"kit: {len(bundle.files)} files, sha256 {bundle.sha256}, a cell of {len(bundle.cell)} bytes")
    print("\n".join(f"  {name}" for name in bundle.files))
    print(f"{folder / NOTEBOOK}")


def add_commands(command) -> None:
    """Add the subcommands by `command(name, function, help)`, which gives a parser."""
    found = command("push", push, "Send a notebook, with the kit inside, to run as a Kaggle kernel.")
    found.add_argument("notebook", type=Path, help="the notebook, such as notebooks/02_first_submission.ipynb")
    found.add_argument("--competition", required=True, metavar="SLUG", help="its name in Kaggle's addresses")
    found.add_argument("--dataset", action="append", default=[], metavar="OWNER/NAME", help="a dataset to attach")
    found.add_argument("--kernel", action="append", default=[], metavar="OWNER/NAME",
                       help="a kernel whose output to attach")  # fmt: skip
    found.add_argument("--gpu", action=argparse.BooleanOptionalAction, default=False, help="ask for a GPU (no)")
    found.add_argument("--title", help="the kernel's title (the notebook's name and the competition's)")
    found.add_argument("-p", "--parameter", action="append", type=_pair, default=[], metavar="NAME=VALUE",
                       help="a value for the notebook's parameters cell, such as preset=full")  # fmt: skip
    found.add_argument("--owner", help="the Kaggle account (the one signed in)")
    found.add_argument("--out", type=Path, default=Path("runs/kaggle"), help="where its folder goes (runs/kaggle)")
    found.add_argument("--dry-run", action="store_true", help="write the folder and stop")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text!r}")
    return name, value
