"""In a kernel: the runs in former kernels' attached output, brought to where this one goes on with them."""

import filecmp
import json
import math
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from kit.atomic import making
from kit.kaggle.inputs import input_root

MOUNT_DEPTH = 3  # of notebooks/owner/name
FOLD = re.compile(r"fold\d+")


def bring_runs(*kernels: str) -> None:
    """Copy the runs that former kernels left, whose output is attached, to where this one goes on with them.

    A fold comes whole from one kernel: from one that finished it, else from the one with the most epochs. The files
    beside a run's folds come from the kernel that most of its folds are of. What is here already stays as it is: folds,
    and the files beside those of a run.
    Raises ValueError in one line where two kernels hold a fold equally far and not the same, or other experiments.
    """
    root = input_root()
    kernel_of = {
        output: kernel for kernel in kernels for output in _named(root, kernel.split("/")[1].lower(), MOUNT_DEPTH)
    }
    sources = {fold: _furthest(fold, outputs) for fold, outputs in _folds(kernel_of).items() if not fold.exists()}
    files = _beside_folds(kernel_of, sources)
    counts = dict.fromkeys(kernels, 0)
    for path, output in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(output / path, path)  # without the mount's mode, which forbids writing
        counts[kernel_of[output]] += 1
    for fold, output in sources.items():
        shown = [path.relative_to(output / fold) for path in _files_below(output / fold)]
        with making(fold) as beside:
            for path in shown:
                (beside / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(output / fold / path, beside / path)
        counts[kernel_of[output]] += len(shown)
    for kernel, count in counts.items():
        print(f"runs of {kernel}: {count} files" if count else f"runs of {kernel}: nothing new in its output")


def _folds(outputs: Iterable[Path]) -> dict[Path, list[Path]]:
    """The folds of the runs by their path in an output, each with the outputs that hold it."""
    folds: dict[Path, list[Path]] = {}
    for output in outputs:
        for path in sorted(output.glob("runs/**/fold*")):
            if path.is_dir() and FOLD.fullmatch(path.name):
                folds.setdefault(path.relative_to(output), []).append(output)
    return folds


def _furthest(fold: Path, outputs: list[Path]) -> Path:
    """The output to take a fold from. Raises ValueError where several are as far, and not the same."""
    epochs = [_epochs(output / fold) for output in outputs]
    first, *others = [output for output, done in zip(outputs, epochs, strict=True) if done == max(epochs)]
    for other in others:
        if not _same(first / fold, other / fold):
            state = "finished it" if max(epochs) == math.inf else f"stopped it after {max(epochs)} epochs"
            raise ValueError(
                f"{fold}: must come from one kernel, got two that {state}, with other files: {first} and {other}; "
                "attach one of them"
            )
    return first


def _epochs(fold: Path) -> float:
    """Epochs done of a fold, infinity where it is finished."""
    if (fold / "metrics.json").is_file():
        return math.inf
    log, so_far = fold / "log.csv", fold / "so_far.json"
    logged = max(0, log.read_bytes().count(b"\n") - 1) if log.is_file() else 0
    return max(logged, json.loads(so_far.read_bytes())["epochs"] if so_far.is_file() else 0)


def _same(folder: Path, other: Path) -> bool:
    names, others = ([path.relative_to(one) for path in _files_below(one)] for one in (folder, other))
    return names == others and all(filecmp.cmp(folder / name, other / name, shallow=False) for name in names)


def _beside_folds(outputs: Iterable[Path], sources: Mapping[Path, Path]) -> dict[Path, Path]:
    """The other files below runs/ that are not here, by their path in an output, each with the output it is of."""
    outputs, files = list(outputs), {}
    folds = _folds(outputs)
    for run in sorted({fold.parent for fold in folds}):
        used = [output for fold, output in sources.items() if fold.parent == run]
        _refuse_another_experiment([run, *(output / run for output in dict.fromkeys(used))])
        if used and not run.exists():
            output = max(dict.fromkeys(used), key=used.count)
            files |= dict.fromkeys(_outside(output, output / run, folds), output)
    runs = {fold.parent for fold in folds}
    for output in outputs:
        for path in _outside(output, output / "runs", runs):
            if not path.exists():
                files.setdefault(path, output)
    return files


def _outside(output: Path, folder: Path, folders: Collection[Path]) -> list[Path]:
    """The files of a folder by their path in the output, but those in `folders`, which are paths in it too."""
    paths = [path.relative_to(output) for path in _files_below(folder)]
    return [path for path in paths if not any(parent in folders for parent in path.parents)]


def _refuse_another_experiment(runs: list[Path]) -> None:
    """Raises ValueError where folds would be put together that were asked for otherwise."""
    from kit.experiment import changes, told  # here, because every part, and torch, comes with it

    first, *others = [path for run in runs if (path := run / "experiment.json").is_file()] or [None]
    for other in others:
        if changed := changes(*(json.loads(path.read_text(encoding="utf-8")) for path in (first, other))):
            raise ValueError(f"{other}: must ask for the same as {first} for folds of both, got {told(changed)}")


def _files_below(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _named(folder: Path, name: str, depth: int) -> list[Path]:
    """The folders of this name, so far down at most."""
    if depth == 0 or not folder.is_dir():
        return []
    below = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
    own = [path for path in below if path.name.lower() == name]
    return own or [folder for path in sorted(below) for folder in _named(path, name, depth - 1)]
