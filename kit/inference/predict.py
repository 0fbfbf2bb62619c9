"""Finished runs over any folder's test part: one table of probabilities, and the submission that it makes."""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.competition.competition import Competition, open_competition
from kit.inference.clock import DROPS, Clock, check_drop
from kit.inference.course import Course, Options
from kit.inference.engines import ENGINES
from kit.inference.mixing import WAYS, Mixer
from kit.inference.nets import FoldNet, check_suits, fold_nets
from kit.inference.threshold import list_threshold
from kit.parts import at_least, one_of, unknown
from kit.results.submission import write_submission
from kit.training.runs import Run


def predict(
    runs: Run | str | Path | Sequence[Run | str | Path],
    data: Competition | str | Path,
    *,
    out: str | Path | None = None,
    folds: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
    how: str = "mean",
    minutes: float | None = None,
    cores: int | None = None,
    drop: Sequence[str] = DROPS,
    engine: str = "torch",
    threads: int | None = None,
    cache: str | Path = "cache",
    progress: bool = True,
    trust: bool = False,
) -> pd.DataFrame:
    """Columns id and a probability a class, of a folder's test part; with `out` also its submission.

    runs: folders of finished runs, or what crossval gave. Of each the mean over its finished folds (or `folds`) is
    taken; of several their mean, "rank mean" or "geometric mean" (`how`), or by `weights`. Classes are matched by name.
    Where a submission lists labels, those with at least a threshold are named that was chosen on out-of-fold rows.
    A test file that can't be used costs its own row, which gets the priors of the folds' training parts.
    On rows that a run's training predicted, the numbers are the same in the last bit where processor, PyTorch and
    number of threads are; threads None is the number that each fold was trained with. trust: run the code of parts that
    are not the kit's. Finished folds are kept in `cache`, and a later call goes on from there. engine "onnx" or
    "openvino" takes the files that kit.inference.export wrote into the runs' folders.
    minutes: a clock, by which the whole CSV is there before so many are over. First it holds the priors; each fold that
    is done replaces it. Where time is too short, `drop` says in which order to take fewer of what ("folds", "crops"),
    and rows that are left hold the priors, and are counted. What all takes is told, also for so many `cores`. A disk
    or a memory that is full then stops the predictions with a warning, and the CSV holds what there was.
    Raises ValueError or FileNotFoundError naming the run, the file and the rule.
    """
    clock = Clock(minutes)
    options = Options(Path(cache), tuple(drop), engine, threads, cores, progress, trust)
    _check_options(options, how)
    runs = [runs] if isinstance(runs, Run | str | Path) else list(runs)
    competition = data if isinstance(data, Competition) else open_competition(data)
    nets = _in_turns([fold_nets(run, folds, trust=trust) for run in runs])
    _check(runs, nets, competition)
    _check_weights(weights, len(runs), how)
    folders = list(dict.fromkeys(net.run for net in nets))
    threshold = None if out is None else list_threshold(folders, competition, weights, how)
    mixer = Mixer(nets, competition, weights, how)
    if out is not None and clock.is_set:
        started = time.monotonic()
        _write(competition, mixer.table(), out, threshold)
        clock.reserve += 2 * (time.monotonic() - started)
    course = Course(nets, competition, clock, options)
    try:
        for net, probability, whole in course.run():
            mixer.add(net, probability, whole)
            if out is not None and clock.is_set:
                _write(competition, mixer.table(), out, threshold)
    except (OSError, RuntimeError) as error:  # of a disk or a memory that is full
        if not clock.is_set:
            raise
        warnings.warn(f"stopped by an error, with what there was by then: {error}", stacklevel=2)
    for note in mixer.notes(course.stores.values()):
        warnings.warn(f"{competition.folder}: {note}", stacklevel=2)
    table = mixer.table()
    if out is not None and not clock.is_set:
        write_submission(competition, table, out, threshold)
    return table


def _in_turns(runs: list[list[FoldNet]]) -> list[FoldNet]:
    """A fold of each run, then the next of each: whatever a clock leaves out, all runs have a say."""
    most = max(map(len, runs), default=0)
    return [nets[turn] for turn in range(most) for nets in runs if turn < len(nets)]


def _write(competition: Competition, table: pd.DataFrame, out: str | Path, threshold: float | None) -> None:
    """A CSV that a better one replaces; priors alone say the same of every row, which is no news."""
    with warnings.catch_warnings(action="ignore"):
        write_submission(competition, table, out, threshold)


def _check_options(options: Options, how: str) -> None:
    check_drop(options.drop)
    one_of(options, "engine", ("torch", *ENGINES))
    for name in ("threads", "cores"):
        if getattr(options, name) is not None:
            at_least(options, 1, name)
    if how not in WAYS:
        raise ValueError(unknown("how must be a way to mix runs, got", how, WAYS))


def _check(runs: list[Any], nets: list[FoldNet], competition: Competition) -> None:
    if not runs:
        raise ValueError("runs must name at least one run, got none")
    folders = {net.run for net in nets}
    if len(folders) < len(runs):
        raise ValueError(f"runs must be named once each, got {len(runs)} names of {len(folders)} runs")
    for net in nets:
        check_suits(net, competition)


def _check_weights(weights: Sequence[float] | None, runs: int, how: str) -> None:
    if weights is None:
        return
    if how != "mean":
        raise ValueError(f'weights must be None where how is not "mean", got how {how!r}')
    if not (len(weights) == runs and np.isfinite(weights).all() and min(weights) >= 0 and sum(weights) > 0):
        raise ValueError(f"weights must be {runs} numbers from 0, one a run, got {list(weights)}")
