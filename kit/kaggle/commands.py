"""The command line's way to Kaggle and back: push, status, output, submit, scores."""

import time
from dataclasses import replace
from pathlib import Path

from kit.competition.competition import open_competition
from kit.kaggle.arguments import DOWNLOADED
from kit.kaggle.bundle import Bundle
from kit.kaggle.client import Kaggle, KaggleError, KaggleFailure, Submission
from kit.kaggle.infer import ENGINES, Inference, write_inference
from kit.kaggle.kernel import NOTEBOOK, Kernel, Sent, default_title, write_kernel
from kit.kaggle.rows import Row, adopt_output, bring_scores, newest_version, record_push, row_of_file, row_of_kernel
from kit.kaggle.sending import facts_of, mark, send_once
from kit.kaggle.sent import send_weights
from kit.kaggle.uploads import name_of_weights
from kit.kaggle.weights import files_of_runs, files_of_weights, files_of_wheels
from kit.kaggle.wheels import download
from kit.results.check import check_submission
from kit.results.ledger import read_ledger, to_markdown

UNKNOWN_OWNER = "owner-not-known"  # of a dry run, which asks nobody
POLL_SECONDS = 20.0
WAIT_SECONDS = 12 * 3600  # the longest that a kernel may run
MISSES = 5  # answers that may fail one after another while waiting
SHOWN = ["name", "cv", "public", "private", "status", "ref", "kernel"]


def push(options) -> None:
    if (options.notebook is None) == (not options.infer):
        raise ValueError("push needs a notebook, or --infer RUN, and not both")
    kaggle = None if options.dry_run else Kaggle()
    owner = options.owner or (kaggle.username if kaggle else UNKNOWN_OWNER)
    title = options.title or default_title(options.notebook or Path("infer"), options.competition)
    kernel = Kernel(
        owner, title, options.competition, options.dataset, options.kernel, options.gpu, models=options.model
    )
    folder = options.out / kernel.slug
    bundle = (_infer if options.infer else _train)(options, kaggle, kernel, folder)
    own = f" and {', '.join(bundle.own)}" if bundle.own else ""
    kit_files = len(bundle.files) - len(bundle.own)
    print(f"kit: {kit_files} files, sha256 {bundle.sha256}{own}, in a cell of {len(bundle.cell)} bytes")
    if kaggle is None:
        print(f"not pushed: {folder / NOTEBOOK}")
        return
    pushed = kaggle.push(folder)
    record_push(_ledger(options), kernel, pushed.version, folder)
    print(f"pushed {kernel.ref}, version {pushed.version}: {pushed.url}")
    if pushed.refused:
        refused = ", ".join(pushed.refused)
        raise KaggleFailure(f"version {pushed.version} runs without what Kaggle refused to attach: {refused}")


def _train(options, kaggle: Kaggle | None, kernel: Kernel, folder: Path) -> Bundle:
    """The kernel of a notebook, with weights that it may start from."""

    def write(kernel: Kernel) -> Bundle:
        return write_kernel(options.notebook, kernel, dict(options.parameter), folder)

    if options.weights is None:
        return write(kernel)
    files = files_of_weights(options.weights)
    return _with_weights(options, kaggle, kernel, files, name_of_weights(options.weights.stem), write)


def _infer(options, kaggle: Kaggle | None, kernel: Kernel, folder: Path) -> Bundle:
    """The kernel that only predicts, with the runs' weights."""
    if options.weights or options.parameter:
        raise ValueError("--weights and -p are for a notebook that trains, and not with --infer")
    inference = Inference(options.minutes, options.engine, options.how, options.shares, options.post)
    files = files_of_runs(options.infer, options.folds, options.engine, options.post)
    package = ENGINES[options.engine]
    if options.wheels:
        if not package:
            raise ValueError("--wheels are for --engine onnx or openvino: Kaggle's image has PyTorch")
        files |= files_of_wheels(download(package, DOWNLOADED) if options.wheels == DOWNLOADED else options.wheels)
    elif package:
        print(f"Kaggle's image is not known to have {package}; --wheels sends it along")
    runs = [run.resolve().name for run in options.infer]

    def write(kernel: Kernel) -> Bundle:
        return write_inference(inference, kernel, runs, bool(options.wheels), folder)

    return _with_weights(options, kaggle, kernel, files, name_of_weights(kernel.slug), write)


def _with_weights(options, kaggle: Kaggle | None, kernel: Kernel, files: dict[str, Path], name: str, write) -> Bundle:
    """Send the files as `name`, and write the kernel that finds them; nothing is sent before it passes all checks."""
    ref = f"{kernel.owner}/{name}"
    write(replace(kernel, weights=Sent("0" * 64, ref)))
    sent = send_weights(kaggle, options.kind, files, options.out / name, ref)
    return write(replace(kernel, weights=sent))


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
        name, version = options.kernel
        return kaggle.submit_kernel(name, version, options.output, message, options.competition)

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
        submission = next((one for one in kaggle.submissions(options.competition) if one.ref == ref), None)
        return submission if submission and submission.status != "pending" else None

    scored = _waited(ask, options.wait)
    if scored is None:
        print(f"no score yet; later: python -m kit scores --competition {options.competition}")
        return
    mark(ledger, row, **facts_of(scored))
    if scored.status == "error":
        raise KaggleFailure(f"{ref}: Kaggle could not score it: {scored.error or 'it does not say why'}")
    print(f"public {scored.public}" + ("" if scored.private is None else f", private {scored.private}"))


def _waited(ask, seconds: float):
    """What `ask` gives as soon as it is not None; None after so many seconds. Answers may fail for a while."""
    end, misses = time.monotonic() + seconds, 0
    while True:
        try:
            answer, misses = ask(), 0
        except KaggleError as error:
            misses += 1
            if misses > MISSES or seconds == 0 or not error.passing:
                raise
            print(f"… {error}")
            answer = None
        if answer is not None or time.monotonic() + POLL_SECONDS > end:
            return answer
        time.sleep(POLL_SECONDS)


def _ledger(options) -> Path:
    return options.submissions / "ledger.csv"


def _full(kernel: str, kaggle: Kaggle) -> str:
    return kernel if "/" in kernel else f"{kaggle.username}/{kernel}"
