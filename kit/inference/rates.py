"""How fast a net predicts, measured on the first rows, in one process or several: what a clock's plan is made of."""

import time

import joblib

from kit.inference.serving import FoldServing, Split, run_batches

WORTH_SECONDS = 60.0  # of work before more processes are tried, each of which takes seconds to start


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


def unit_seconds(serving: FoldServing, split: Split) -> float:
    """Seconds a frame, or sample, of the serving's rows; each of several processes predicts them all."""
    batches = serving.serving.batches
    if not batches:
        return 0.0
    for timed in (False, True):  # the first time weights are loaded, and libraries warm up
        started = time.monotonic()
        if split.processes == 1:
            for _ in serving.batches(batches if timed else batches[-1:], split.threads):
                pass
        else:
            work = joblib.delayed(run_batches)(serving.told, batches, split.threads)
            joblib.Parallel(split.processes)([work] * split.processes)
    return (time.monotonic() - started) / (split.processes * serving.units)


def fastest(serving: FoldServing, splits: list[Split]) -> tuple[Split, float]:
    """The fastest of the splits by a measurement of each, and its seconds a unit."""
    rates = {split: unit_seconds(serving, split) for split in splits}
    split = min(rates, key=rates.__getitem__)
    return split, rates[split]
