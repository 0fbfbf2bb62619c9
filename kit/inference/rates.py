"""How fast a net predicts, measured on the first rows, in one process or several: what a clock's plan is made of."""

import time
from multiprocessing import TimeoutError as ProcessesTimeoutError  # joblib's, and not the built-in one

import joblib

from kit.inference.serving import FoldServing, Split, run_batches

WORTH_SECONDS = 60.0  # of work before more processes are tried, each of which takes seconds to start
NEVER = float("inf")


def given_threads(serving: FoldServing, threads: int | None) -> int | None:
    """The threads that were asked for, or that PyTorch had when it trained the fold; None where any number will do."""
    return threads or (serving.net.threads if serving.engine == "torch" else None)


def default_split(serving: FoldServing, threads: int | None) -> Split:
    """One process with the threads that are given, or as many as there are cores."""
    return Split(1, given_threads(serving, threads) or joblib.cpu_count())


def candidates(cores: int, threads: int | None) -> list[Split]:
    """Ways to fill the cores: with a number of threads that is given, or by one process, two threads each, one each."""
    if threads:
        return list(dict.fromkeys([Split(1, threads), Split(max(1, cores // threads), threads)]))
    pairs = [Split(cores // 2, 2)] if cores >= 4 else []
    return list(dict.fromkeys([Split(1, cores), *pairs, Split(cores, 1)]))


def unit_seconds(serving: FoldServing, split: Split, most: float = NEVER) -> float:
    """Seconds a frame, or sample, of the serving's rows; each of several processes predicts them all.

    most: seconds that measuring may take. One process stops after the batch in which they end, and has measured the
    batches until then; of several that are not done by then the rate is infinite.
    """
    if not serving.serving.batches:
        return 0.0
    return _alone(serving, split, most) if split.processes == 1 else _together(serving, split, most)


def fastest(serving: FoldServing, splits: list[Split], most: float = NEVER) -> dict[Split, float]:
    """Seconds a unit of each split that there was time to measure within `most` seconds, the fastest first."""
    rates, end = {}, time.monotonic() + most
    for split in splits:
        if (left := end - time.monotonic()) > 0:
            rates[split] = unit_seconds(serving, split, left)
    return dict(sorted(rates.items(), key=lambda item: item[1]))


def _alone(serving: FoldServing, split: Split, most: float) -> float:
    batches, started = serving.serving.batches, time.monotonic()
    for _ in serving.batches(batches[-1:], split.threads):  # weights are loaded, and libraries warm up
        pass
    begun = now = time.monotonic()
    if now - started >= most:
        return (now - started) / serving.serving.sizes[batches[-1]].sum()
    units = 0
    for positions, _ in serving.batches(batches, split.threads):
        units, now = units + serving.serving.sizes[positions].sum(), time.monotonic()
        if now - started >= most:
            break
    return (now - begun) / units


def _together(serving: FoldServing, split: Split, most: float) -> float:
    end = time.monotonic() + most
    work = joblib.delayed(run_batches)(serving.told, serving.serving.batches, split.threads)
    for _ in range(2):  # processes are started and load the weights, then they are measured
        started = time.monotonic()
        timeout = None if most == NEVER else max(1e-3, end - started)
        try:
            joblib.Parallel(split.processes, timeout=timeout)([work] * split.processes)
        except ProcessesTimeoutError:
            return NEVER
    return (time.monotonic() - started) / (split.processes * serving.units)
