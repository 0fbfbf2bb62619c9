"""The command line: python -m kit demo | run | train | predict | export | check | score | bench, and Kaggle's.

A command is named by its module, which is imported when it runs: `--help` needs none of them.
"""

import argparse
import shlex
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

from kit.kaggle.arguments import add_commands

DISTRIBUTION = "audio-competition-kit"
STOPPED = 130  # the exit code of what Ctrl-C ended
GOES_ON = ("demo", "run", "predict")  # commands that go on where they were when they are given again


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 where it worked, 1 with one clear line where it did not."""
    for stream in (sys.stdout, sys.stderr):
        if (getattr(stream, "encoding", None) or "utf-8").lower() not in ("utf-8", "utf8"):
            stream.reconfigure(errors="replace")  # a terminal that has no Δ gets a question mark
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    module, name = options.run.split(":")
    try:
        getattr(import_module(module), name)(options)
    except KeyboardInterrupt:
        if options.traceback:
            raise
        print(f"\nkit {options.command}: stopped by Ctrl-C; what was finished is kept", file=sys.stderr)
        if again := _again(options.command, list(arguments)):
            print(f"to go on: python -m kit {shlex.join(again)}", file=sys.stderr)
        return STOPPED
    except (ValueError, OSError, RuntimeError) as error:
        if options.traceback:
            raise
        print(f"kit {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def version() -> str:
    """The one in pyproject.toml, which an installed kit has in its metadata."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        project = Path(__file__).parents[1] / "pyproject.toml"
        return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    root = argparse.ArgumentParser("python -m kit", description="The audio competition kit, without a notebook.")
    root.add_argument("--version", action=_Version, nargs=0, help="show the kit's version and stop")
    root.add_argument("--traceback", action="store_true", help="on an error, show where in the code it came from")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: str, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    _add_notebooks(command)
    _add_train(command)
    _add_predict(command)
    _add_export(command)
    for name, help in (
        ("check", "Check a submission CSV against the competition's folder."),
        ("score", "Score a submission CSV against the folder's solution.csv."),
    ):
        added = command(name, f"kit.commands:{name}", help)
        added.add_argument("file", type=Path, help="the submission CSV")
        added.add_argument("--data", type=Path, required=True, help="the competition's folder")
    add_commands(command)
    added = command("bench", "kit.commands:bench", "Measure the kit's speed beside the source's way.")
    added.add_argument("--gpu", action="store_true", help="with the rows of the GPU that is here")
    added.add_argument("--out", metavar="FILE", type=Path, help="write the page to a file too, such as BENCHMARKS.md")
    return root


class _Version(argparse.Action):
    def __call__(self, parser, *_):
        print(f"kit {version()}")
        parser.exit()


def _add_notebooks(command) -> None:
    def with_notebooks(added: argparse.ArgumentParser) -> None:
        added.add_argument("--only", type=lambda text: text.split(","), default=(), metavar="02,03",
                           help="numbers of the notebooks to run; all of the day's by default")  # fmt: skip
        added.add_argument("--seed", type=int, default=0, help="seed of folds and training (0)")
        added.add_argument("--in-place", action="store_true",
                           help="write the executed notebooks, normalised, over those in notebooks/")  # fmt: skip

    added = command("demo", "kit.commands:demo", "Make the demo competition and run the notebooks on it.")
    added.add_argument("--data", type=Path, default=Path("data/voices"), help="where the demo goes (data/voices)")
    with_notebooks(added)

    added = command("run", "kit.commands:run", "Run the notebooks, top to bottom, on a competition's folder.")
    added.add_argument("--data", type=Path, required=True, help="the competition's folder, as Kaggle gives it")
    added.add_argument("--preset", default="quick", help="how long to train: tiny, demo, quick or full (quick)")
    with_notebooks(added)


def _add_train(command) -> None:
    added = command("train", "kit.commands:train", "Train one experiment over its folds, and write its submission.")
    added.add_argument("experiment", type=Path,
                       help='a JSON file of what differs from the defaults, or from a "preset"')  # fmt: skip
    added.add_argument("--data", type=Path, required=True, help="the competition's folder")
    added.add_argument("--out", type=Path, help="where the run's folder goes (runs/<the data folder's name>)")
    added.add_argument("--cache", type=Path, default=Path("cache"), help="where packed features go (cache)")
    added.add_argument("--submissions", type=Path, default=Path("submissions"), help="CSVs and ledger (submissions)")
    added.add_argument("--folds", type=_numbers, metavar="0,1", help="folds to train; all by default")
    added.add_argument("--resume", action="store_true", help="go on with a run that was cut short")
    added.add_argument("--fresh", action="store_true", help="train a run anew, whatever is there of it")
    plain = added.format_help
    added.format_help = lambda: f"{plain()}\n{import_module('kit.experiment_file').parts_listing()}"


def _add_predict(command) -> None:
    added = command("predict", "kit.commands:predict", "Predict a folder's test part with finished runs.")
    added.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="a finished run's folder")
    added.add_argument("--blend", metavar="ROW", help="a row of the ledger in the place of runs: its runs and weights")
    added.add_argument("--data", type=Path, required=True, help="the competition's folder")
    added.add_argument("--out", type=Path, required=True, metavar="FILE", help="the submission CSV to write")
    added.add_argument("--folds", type=_numbers, metavar="0,1", help="folds of each run; all finished ones by default")
    added.add_argument("--weights", type=_shares, metavar="0.3,0.7", help="a weight a run; alike by default")
    added.add_argument("--how", default="mean", help="how to mix runs: mean, rank mean or geometric mean (mean)")
    added.add_argument("--minutes", type=float, help="a whole CSV is there before so many minutes are over, "
                       "from when the kit is loaded, seconds after the start")  # fmt: skip
    added.add_argument("--cores", type=int, help="tell how long it would take on so many cores, too")
    added.add_argument("--drop", type=_words, metavar="folds,crops", default=("folds", "crops"),
                       help="what to take fewer of where time is short, in this order (folds,crops)")  # fmt: skip
    added.add_argument("--engine", default="torch", help="torch, onnx or openvino (torch)")
    added.add_argument("--threads", type=int, help="PyTorch's; by default the number that a fold was trained with")
    added.add_argument("--cache", type=Path, default=Path("cache"), help="where features and finished folds go (cache)")
    added.add_argument("--post", nargs="?", type=Path, const=True, default=False, metavar="FILE",
                       help="post-process by the post.json of the first run, or by this one")  # fmt: skip
    added.add_argument("--ledger", type=Path, default=Path("submissions/ledger.csv"), help="the ledger of --blend")
    added.add_argument("--trust", action="store_true", help="run the code of parts that a run brings along")


def _add_export(command) -> None:
    added = command("export", "kit.commands:export", "Write a run's nets for ONNX Runtime or OpenVINO.")
    added.add_argument("run_folder", type=Path, metavar="RUN", help="a finished run's folder")
    added.add_argument("--to", required=True, choices=("onnx", "openvino"), help="for which engine")
    added.add_argument("--out", type=Path, help="where the files go (exported/ in the run's folder)")
    added.add_argument("--folds", type=_numbers, metavar="0,1", help="folds to export; all finished ones by default")
    added.add_argument("--mean", action="store_true", help="one file of the folds' mean")
    added.add_argument("--mel", default="outside", help="inside: the file takes waves, not log-mels (outside)")
    added.add_argument("--half", action="store_true", help="weights in 16 bits, for half the size")
    added.add_argument("--data", type=Path, help="a folder with rows to check on; the run's own store by default")
    added.add_argument("--cache", type=Path, default=Path("cache"), help="where packed features are (cache)")
    added.add_argument("--trust", action="store_true", help="run the code of parts that the run brings along")


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


def _again(command: str, arguments: list[str]) -> list[str] | None:
    """The command line that goes on with what was stopped, None where nothing does."""
    if command == "train":
        kept = [argument for argument in arguments if argument != "--fresh"]
        return kept if "--resume" in kept else [*kept, "--resume"]
    return arguments if command in GOES_ON else None


if __name__ == "__main__":
    sys.exit(main())
