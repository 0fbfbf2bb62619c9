"""Finished runs over any folder's test part: one table of probabilities, and the submission that it makes."""

import errno
import time
import warnings
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.std import tqdm

from kit.competition.competition import Competition, open_competition
from kit.inference.clock import DROPS, Clock, check_drop
from kit.inference.course import Course, Options
from kit.inference.engines import ENGINES
from kit.inference.mixing import WAYS, Mixer
from kit.inference.nets import FoldNet, check_suits, fold_nets, fold_notes
from kit.inference.serving import load_net
from kit.inference.threshold import list_threshold
from kit.parts import at_least, one_of, unknown
from kit.results.post_file import Post, read_post
from kit.results.submission import write_submission
from kit.training.faults import DeviceMemoryError
from kit.training.runs import Run

FULL = (errno.ENOSPC, errno.EDQUOT)  # of a disk, or of what one may use of it


class NothingPredictedWarning(UserWarning):
    """No fold could be predicted, for another reason than time: what was written holds the priors."""


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
    post: bool | str | Path = False,
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
    or a memory that is full then stops the predictions with a warning, and the CSV holds what there was; any other
    error is raised.
    post: also post-process what is mixed, by the post.json that kit.save_post wrote into the first run's folder, or by
    the one of this path; parts are fitted on that run's out-of-fold rows, and a threshold for lists is that file's.
    Raises ValueError or FileNotFoundError naming the run, the file and the rule.
    """
    clock = Clock(minutes)
    options = Options(Path(cache), tuple(drop), engine, threads, cores, progress, trust)
    _check_options(options, how)
    _check_out(out)
    runs = [runs] if isinstance(runs, Run | str | Path) else list(runs)
    competition = data if isinstance(data, Competition) else open_competition(data)
    by_run = [fold_nets(run, folds, trust=trust) for run in runs]
    nets = _in_turns(by_run)
    _check(runs, nets, competition)
    _check_weights(weights, len(runs), how)
    folders = list(dict.fromkeys(net.run for net in nets))
    finish = _post(folders[0] if post is True else post, competition, progress)
    threshold = finish.threshold if finish else None
    if out is not None and threshold is None:
        threshold = list_threshold(folders, competition, weights, how)
    for note in (note for own in by_run for note in fold_notes(own, folds is not None)):
        warnings.warn(note, stacklevel=2)
    mixer, stopped = Mixer(nets, competition, weights, how), ""
    if clock.is_set:  # what can't be loaded is told before anything is written
        for net in nets:
            load_net(net, engine, trust)

    def table() -> pd.DataFrame:
        return finish.change(mixer.table()) if finish else mixer.table()

    if out is not None and clock.is_set:
        started = time.monotonic()
        _write(competition, table(), out, threshold)
        clock.reserve += 2 * (time.monotonic() - started)
    course = Course(nets, competition, clock, options)
    try:
        for net, probability, whole in course.run():
            mixer.add(net, probability, whole)
            if out is not None and clock.is_set:
                _write(competition, table(), out, threshold)
    except (OSError, RuntimeError, MemoryError) as error:
        if not (clock.is_set and _is_full(error)):
            raise
        stopped = str(error) or type(error).__name__
        category = UserWarning if mixer.done else NothingPredictedWarning
        warnings.warn(f"stopped by an error, with what there was by then: {stopped}", category, stacklevel=2)
    for note in mixer.notes(course.stores.packed.values(), stopped):
        warnings.warn(f"{competition.folder}: {note}", stacklevel=2)
    said = table()
    if out is not None and not clock.is_set:
        write_submission(competition, said, out, threshold)
    return said


def _post(path: bool | str | Path, competition: Competition, progress: bool) -> Post | None:
    """What post-processes, None where nothing was asked for."""
    if isinstance(path, bool):
        return None
    post = read_post(path, competition)
    if progress:
        tqdm.write(str(post))
    return post


def _in_turns(runs: list[list[FoldNet]]) -> list[FoldNet]:
    """A fold of each run, then the next of each: whatever a clock leaves out, all runs have a say."""
    most = max(map(len, runs), default=0)
    return [nets[turn] for turn in range(most) for nets in runs if turn < len(nets)]


def _write(competition: Competition, table: pd.DataFrame, out: str | Path, threshold: float | None) -> None:
    """A CSV that a better one replaces; priors alone say the same of every row, which is no news."""
    with warnings.catch_warnings(action="ignore"):
        write_submission(competition, table, out, threshold)


def _is_full(error: BaseException) -> bool:
    """Is it of a disk or a memory that is full? A worker dies of the latter."""
    if isinstance(error, OSError):
        return error.errno in FULL
    return isinstance(error, DeviceMemoryError | MemoryError | BrokenProcessPool)


def _check_out(out: str | Path | None) -> None:
    """Raises ValueError where no CSV can be written there."""
    if out is None:
        return
    if Path(out).is_dir():
        raise ValueError(f"out must be a file, got the folder {out}")
    above = next(folder for folder in Path(out).absolute().parents if folder.exists())
    if not above.is_dir():
        raise ValueError(f"out must be a file in a folder, got {out}, and {above} is a file")


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
        numbers = "1 number" if runs == 1 else f"{runs} numbers"
        raise ValueError(f"weights must be {numbers} from 0, one a run and not all 0, got {list(weights)}")
