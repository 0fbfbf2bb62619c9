"""The command line: `python -m kit --help` tells what there is.

A command is named by its module, which is imported when it runs: `--help` needs none of them.
"""

import argparse
import shlex
import sys
import time
import tomllib
from importlib import import_module, metadata
from pathlib import Path

from kit.arguments import add_bench, add_checks, add_export, add_notebooks, add_predict, add_train
from kit.kaggle.arguments import add_commands

DISTRIBUTION = "audio-competition-kit"
STOPPED = 130  # the exit code of what Ctrl-C ended
ABOUT = """Audio classification competitions: train, compare, predict and submit from a terminal.

The same is done in notebooks/, step by step."""
BEGIN = """To begin: python -m kit demo
Then:     python -m kit run --data FOLDER         (what Kaggle gave you, unpacked)
Each command has a --help of its own."""
GOES_ON = ("demo", "run", "predict")  # commands that go on where they were when they are given again


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 where it worked, 1 with one clear line where it did not."""
    for stream in (sys.stdout, sys.stderr):
        if (getattr(stream, "encoding", None) or "utf-8").lower() not in ("utf-8", "utf8"):
            stream.reconfigure(errors="replace")  # a terminal that has no Δ gets a question mark
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments, argparse.Namespace(begun=time.time()))
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
    root = argparse.ArgumentParser(
        "python -m kit", description=ABOUT, epilog=BEGIN, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root.add_argument("--version", action=_Version, nargs=0, help="show the kit's version and stop")
    root.add_argument("--traceback", action="store_true", help="on an error, show where in the code it came from")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")

    def command(name: str, run: str, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    for add in (add_notebooks, add_train, add_predict, add_export, add_checks, add_commands, add_bench):
        add(command)
    return root


class _Version(argparse.Action):
    def __call__(self, parser, *_):
        print(f"kit {version()}")
        parser.exit()


def _again(command: str, arguments: list[str]) -> list[str] | None:
    """The command line that goes on with what was stopped, None where nothing does."""
    if command == "train":
        kept = [argument for argument in arguments if argument != "--fresh"]
        return kept if "--resume" in kept else [*kept, "--resume"]
    return arguments if command in GOES_ON else None


if __name__ == "__main__":
    sys.exit(main())
