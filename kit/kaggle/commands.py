"""The command line's way to Kaggle and back: push, status, output, submit, scores."""

import argparse
import re
import time
from pathlib import Path

from kit.competition.competition import open_competition
from kit.kaggle.client import Kaggle, KaggleError, KaggleFailure, Submission
from kit.kaggle.kernel import NOTEBOOK, Kernel, default_title, write_kernel
from kit.kaggle.rows import Row, adopt_output, bring_scores, newest_version, record_push, row_of_file, row_of_kernel
from kit.kaggle.sending import facts_of, mark, send_once
from kit.results.check import check_submission
from kit.results.ledger import read_ledger, to_markdown

UNKNOWN_OWNER = "owner-not-known"  # of a dry run, which asks nobody
POLL_SECONDS = 20.0
WAIT_SECONDS = 12 * 3600  # the longest that a kernel may run
MISSES = 5  # answers that may fail one after another while waiting
SHOWN = ["name", "cv", "public", "private", "status", "ref", "kernel"]


def push(options) -> None:
    kaggle = None if options.dry_run else Kaggle()
    owner = options.owner or (kaggle.username if kaggle else UNKNOWN_OWNER)
    title = options.title or default_title(options.notebook, options.competition)
    kernel = Kernel(owner, title, options.competition, options.dataset, options.kernel, options.gpu)
    folder = options.out / kernel.slug
    bundle = write_kernel(options.notebook, kernel, dict(options.parameter), folder)
    print(f"kit: {len(bundle.files)} files, sha256 {bundle.sha256}, a cell of {len(bundle.cell)} bytes")
    print(" ".join(bundle.files))
    if kaggle is None:
        print(f"not pushed: {folder / NOTEBOOK}")
        return
    pushed = kaggle.push(folder)
    record_push(_ledger(options), kernel, pushed.version, folder)
    print(f"pushed {kernel.ref}, version {pushed.version}: {pushed.url}")
    if pushed.refused:
        refused = ", ".join(pushed.refused)
        raise KaggleFailure(f"version {pushed.version} runs without what Kaggle refused to attach: {refused}")


def status(options) -> None:
    kaggle = Kaggle()
    kernel = _full(options.kernel, kaggle)

    def ask() -> str | None:
        state, reason = kaggle.status(kernel)
        if state == "error" or state.startswith("cancel"):
            raise KaggleFailure(f"{kernel}: {state}: {reason or 'see its log: kit output'}")
        return state if state == "complete" or not options.wait else None

    print(f"{kernel}: {_waited(ask, WAIT_SECONDS if options.wait else 0)}")


def output(options) -> None:
    kaggle = Kaggle()
    kernel, ledger = _full(options.kernel, kaggle), _ledger(options)
    version = newest_version(ledger, kernel)
    number = version.rpartition("/")[2]
    folder = options.out or Path("runs/kaggle") / kernel.split("/")[1] / (f"v{number}" if number else "newest")
    for file in kaggle.output(kernel, folder):
        print(file)
    for run in adopt_output(ledger, folder, version):
        print(f"{ledger}: {run}")


def submit(options) -> None:
    ledger = _ledger(options)
    if (options.file is None) == (options.kernel is None):
        raise ValueError("submit needs a file, or --kernel OWNER/NAME/VERSION, and not both")
    row = _row(options, ledger)
    kaggle = Kaggle()

    def send(message: str) -> str | None:
        if options.file:
            return kaggle.submit_file(options.file, message, options.competition)
        return kaggle.submit_kernel(*options.kernel, options.output, message, options.competition)

    submission, now = send_once(kaggle, options.competition, row, send, ledger)
    print(f"{'sent' if now else 'was there already, and not sent again'}: {row['run']} as {submission.ref}")
    _report(kaggle, options, row, submission.ref, ledger)


def scores(options) -> None:
    ledger = _ledger(options)
    rows = read_ledger(ledger)
    competitions = [options.competition] if options.competition else sorted(set(rows["sent_to"]) - {""})
    if not competitions:
        raise ValueError(f"{ledger}: nothing was sent yet; --competition names one to look at all the same")
    kaggle = Kaggle()
    for competition in competitions:
        count = bring_scores(kaggle, competition, ledger)
        print(f"{competition}: {count} of the ledger's rows\n")
        rows = read_ledger(ledger)
        print(to_markdown(rows[rows["sent_to"] == competition][SHOWN]))


def _row(options, ledger: Path) -> Row:
    """The ledger's row of what is to be sent; a file is checked first."""
    if options.kernel:
        return row_of_kernel(ledger, *options.kernel)
    if options.data is None:
        raise ValueError("--data must be the competition's folder, which a file is checked against")
    competition = open_competition(options.data)
    check_submission(options.file, competition)
    return row_of_file(ledger, options.file, competition)


def _report(kaggle: Kaggle, options, row: Row, ref: str, ledger: Path) -> None:
    """Wait for the score, write it down and print it."""

    def ask() -> Submission | None:
        found = next((found for found in kaggle.submissions(options.competition) if found.ref == ref), None)
        return found if found and found.status != "pending" else None

    found = _waited(ask, options.wait)
    if found is None:
        print(f"no score yet; later: python -m kit scores --competition {options.competition}")
        return
    mark(ledger, row, **facts_of(found))
    if found.status == "error":
        raise KaggleFailure(f"{ref}: Kaggle could not score it: {found.error or 'it does not say why'}")
    print(f"public {found.public}" + ("" if found.private is None else f", private {found.private}"))


def _waited(ask, seconds: float):
    """What `ask` gives as soon as it is not None; None after so many seconds. Answers may fail for a while."""
    end, misses = time.monotonic() + seconds, 0
    while True:
        try:
            found, misses = ask(), 0
        except KaggleError as error:
            misses += 1
            if misses > MISSES or seconds == 0 or not error.passing:
                raise
            print(f"… {error}")
            found = None
        if found is not None or time.monotonic() + POLL_SECONDS > end:
            return found
        time.sleep(POLL_SECONDS)


def _ledger(options) -> Path:
    return options.submissions / "ledger.csv"


def _full(kernel: str, kaggle: Kaggle) -> str:
    return kernel if "/" in kernel else f"{kaggle.username}/{kernel}"


def add_commands(command) -> None:
    """Add the subcommands by `command(name, function, help)`, which gives a parser."""

    def with_ledger(found: argparse.ArgumentParser) -> None:
        found.add_argument("--submissions", type=Path, default=Path("submissions"),
                           help="where the ledger is (submissions)")  # fmt: skip

    found = command("push", push, "Send a notebook, with the kit inside, to run as a Kaggle kernel.")
    found.add_argument("notebook", type=Path, help="the notebook, such as notebooks/02_first_submission.ipynb")
    found.add_argument("--competition", required=True, metavar="NAME", help="its name in Kaggle's addresses")
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
    with_ledger(found)

    found = command("status", status, "Say how far a kernel is.")
    found.add_argument("kernel", metavar="OWNER/NAME", help="the kernel; a name alone is your own")
    found.add_argument("--wait", action="store_true", help="until it has ended")

    found = command("output", output, "Fetch what a kernel left, and add its runs to the ledger.")
    found.add_argument("kernel", metavar="OWNER/NAME", help="the kernel; a name alone is your own")
    found.add_argument("--out", type=Path, help="where its files go (runs/kaggle/NAME/vVERSION)")
    with_ledger(found)

    found = command("submit", submit, "Send a CSV or a kernel's version to a competition, once, and read its score.")
    found.add_argument("file", type=Path, nargs="?", help="the submission CSV")
    found.add_argument("--kernel", type=_version, metavar="OWNER/NAME/VERSION", help="for a code competition")
    found.add_argument("--output", default="submission.csv", help="the kernel's output file (submission.csv)")
    found.add_argument("--competition", required=True, metavar="NAME", help="its name in Kaggle's addresses")
    found.add_argument("--data", type=Path, help="the competition's folder, which a file is checked against")
    found.add_argument("--wait", type=float, default=900.0, metavar="SECONDS", help="for the score (900)")
    with_ledger(found)

    found = command("scores", scores, "Bring the scores of what was sent into the ledger.")
    found.add_argument("--competition", metavar="NAME", help="one competition; by default all that the ledger names")
    with_ledger(found)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text!r}")
    return name, value


def _version(text: str) -> tuple[str, int]:
    if not (match := re.fullmatch(r"([\w-]+/[\w-]+)/([0-9]+)", text)):
        raise argparse.ArgumentTypeError(f"must be OWNER/NAME/VERSION, got {text!r}")
    return match[1], int(match[2])
