"""The course of a prediction: pack the test part, measure, choose what there is time for, predict fold by fold.

Without a clock all is done. With one the first share of files is packed and predicted to measure with; before each fold
what is left to do is held against the time that is left.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from tqdm.std import tqdm

from kit.competition.competition import Competition
from kit.data.store import Store
from kit.inference.clock import DROPS, Clock, OutOfTime, Plan, lighter_ways, needed, plan, time_told
from kit.inference.kept import keep, kept_path, read_kept
from kit.inference.nets import FoldNet
from kit.inference.rates import WORTH_SECONDS, candidates, default_split, fastest, given_threads, unit_seconds
from kit.inference.serving import FoldServing, Split
from kit.inference.stores import Stores, key_of

MEASURED_ROWS = 16
MEASURING = 0.05  # of a clock's minutes that measuring nets may take, all runs together
MANY_ROWS = 512  # from which it is worth to measure without a clock


@dataclass(frozen=True)
class Options:
    """How to go about it, as `predict` is told."""

    cache: Path
    drop: Sequence[str] = DROPS
    engine: str = "torch"
    threads: int | None = None
    cores: int | None = None  # of another machine, to tell its time
    progress: bool = True
    trust: bool = False


class Course:
    """`run` gives fold after fold its probabilities. stores: what was packed of the test part."""

    def __init__(self, nets: Sequence[FoldNet], competition: Competition, clock: Clock, options: Options):
        self.nets, self.clock, self.options = nets, clock, options
        self.rows = len(competition.test)
        self.stores = Stores(nets, competition, options.cache, clock, options.progress)
        self.row_seconds: dict[Path, list[float]] = {}  # of a row by a run's net, as asked and ever lighter
        self.splits: dict[Path, Split] = {}
        self.gains: dict[tuple, tuple[Split, float]] = {}  # of a way to predict, and its share of the default's seconds

    def run(self) -> Iterator[tuple[FoldNet, np.ndarray, bool]]:
        """Each net in turn, its probabilities (N, C), NaN where there are none, and whether there can be no more."""
        self._prepare()
        with tqdm(total=0, desc="predicting", unit="row", disable=not self.options.progress) as bar:
            for number, net in enumerate(self.nets):
                chosen = self._choose(self.nets[number:], least=int(not number))
                if not chosen.jobs or key_of(net) not in self.stores.packed:
                    return
                bar.total = bar.n + chosen.jobs * self.rows
                bar.set_postfix_str(str(net))
                try:
                    probability, whole = self._predict(net, chosen.lighter, bar)
                except OutOfTime:
                    return
                yield net, probability, whole

    def _prepare(self) -> None:
        """Measure, say what there is time for, and pack that."""
        with suppress(OutOfTime), self.clock.alarm():
            if not self.clock.is_set:
                self.stores.pack(map(key_of, self.nets))
                self.stores.join()
            if self.clock.is_set or self.rows >= MANY_ROWS:
                self._measure()
            chosen = self._choose(self.nets, least=1)
            self._tell_rounding()
            self._tell(chosen)
            self.stores.pack(map(key_of, self.nets[: chosen.jobs]), chosen.share)
        self.stores.join()

    def _measure(self) -> None:
        """Pack the first share of each sort of features, and predict its first rows with each run's first net."""
        stores = self.stores.first_shares()
        firsts = list({net.run: net for net in reversed(self.nets)}.values())[::-1]
        end = time.monotonic() + MEASURING * 60 * (self.clock.minutes or float("inf"))
        for number, net in enumerate(firsts):
            if self.clock.left() > 0:
                share = max(0.0, end - time.monotonic()) / (len(firsts) - number)
                self._measure_net(net, stores[key_of(net)], share)

    def _measure_net(self, net: FoldNet, store: Store, most: float) -> None:
        """Within `most` seconds, or after one batch where that takes longer."""
        servings = [self._serving(net, store, way, MEASURED_ROWS) for way in lighter_ways(net.experiment.predict)]
        split = default_split(servings[0], self.options.threads)
        started = time.monotonic()
        seconds = unit_seconds(servings[0], split, most / 2)
        rows, folds = len(servings[0].rows), sum(other.run == net.run for other in self.nets)
        if seconds * servings[0].units / rows * self.rows * folds > WORTH_SECONDS and not torch.cuda.is_available():
            split, gain = self._split(servings[0], split, seconds, most - (time.monotonic() - started))
            seconds *= gain
        self.splits[net.run] = split
        self.row_seconds[net.run] = [seconds * serving.units / rows for serving in servings]

    def _split(self, serving: FoldServing, default: Split, seconds: float, most: float) -> tuple[Split, float]:
        """The fastest way to fill the cores and its share of the default's `seconds` a unit, once for a way to predict.

        What the default takes is measured already, so that only the others are.
        """
        threads = given_threads(serving, self.options.threads)
        key = (repr(serving.experiment.predict), threads)
        if key not in self.gains and seconds:
            others = [split for split in candidates(joblib.cpu_count(), threads) if split != default]
            rates = {default: seconds} | fastest(serving, others, most)
            best = min(rates, key=rates.__getitem__)
            self.gains[key] = (best, rates[best] / seconds)
        return self.gains.get(key, (default, 1.0))

    def _choose(self, nets: Sequence[FoldNet], least: int) -> Plan:
        """What of some nets there is time for."""
        if not all(net.run in self.row_seconds for net in nets):  # there was no time, or no need, to measure
            return Plan(len(nets) if self.clock.left() > 0 else 0)
        return plan(self._costs(nets), self.clock.left(), self.options.drop, least)

    def _costs(self, nets: Sequence[FoldNet]) -> list[list[float]]:
        """Seconds of each net on all rows, as asked and ever lighter, with what its features take to be packed."""
        costs, to_pack = [], {key: self.stores.seconds_left(key) for key in dict.fromkeys(map(key_of, nets))}
        for net in nets:
            packing = to_pack.pop(key_of(net), 0.0)  # for the first net that needs it
            costs.append([packing + self.rows * seconds for seconds in self.row_seconds[net.run]])
        return costs

    def _tell_rounding(self) -> None:
        """A line where the last bits may not be those of training's predictions."""
        asked = self.options.threads
        others = [net for net in self.nets if net.threads is None or asked not in (None, net.threads)]
        if others and self.options.engine == "torch":
            told = f"{others[0].threads} threads" if others[0].threads else "a GPU, or threads that it does not tell"
            self.say(f"last bits may differ from training's: {others[0]} was trained with {told}")

    def _tell(self, chosen: Plan) -> None:
        """What the whole will take, here and on other cores, and what is left out of it."""
        if not (self.clock.is_set and self.row_seconds):
            return
        costs = self._costs(self.nets)
        whole, here = needed(costs, Plan(len(costs))), joblib.cpu_count()
        line = f"all of {len(costs)} folds over {self.rows} rows: about {time_told(whole)} on {here} cores"
        if self.options.cores:
            line += f", {time_told(whole * here / self.options.cores)} on {self.options.cores} as fast ones"
        self.say(f"{line}; {time_told(max(0.0, self.clock.left()))} are left")
        if chosen != Plan(len(costs)):
            self.say(f"too long: {chosen.told(len(costs))}")

    def _predict(self, net: FoldNet, lighter: int, bar: tqdm) -> tuple[np.ndarray, bool]:
        """A fold's probabilities, kept ones or new ones."""
        ways = lighter_ways(net.experiment.predict)
        lighter = min(lighter, len(ways) - 1)
        serving = self._serving(net, self.stores.packed[key_of(net)], ways[lighter])
        split = self.splits.get(net.run) or default_split(serving, self.options.threads)
        path, done, started = kept_path(serving, split.threads, self.options.cache), bar.n + self.rows, time.monotonic()
        if (probability := read_kept(path, serving)) is not None:
            bar.update(self.rows)
            return probability, True
        with self.clock.alarm():
            probability, whole = serving.predict(split, _Watch(self.clock, bar))
        if whole:
            keep(path, serving, probability)
            bar.update(done - bar.n)
            self._learn(net, lighter, time.monotonic() - started)
        return probability, whole

    def _learn(self, net: FoldNet, lighter: int, seconds: float) -> None:
        """Measured on all rows, a run's seconds are truer than on the first ones."""
        if net.run in self.row_seconds and (expected := self.row_seconds[net.run][lighter] * self.rows):
            self.row_seconds[net.run] = [row * seconds / expected for row in self.row_seconds[net.run]]

    def _serving(self, net: FoldNet, store: Store, way: Any, n_rows: int | None = None) -> FoldServing:
        return FoldServing(net, store, way, self.options.trust, n_rows, self.options.engine)

    def say(self, line: str) -> None:
        if self.options.progress:
            tqdm.write(line)


class _Watch:
    """Moves a bar as rows are served, and says whether the clock allows as long a step as there was again."""

    def __init__(self, clock: Clock, bar: tqdm):
        self.clock, self.bar, self.before = clock, bar, time.monotonic()
        self.longest = 0.0

    def __call__(self, rows: int) -> bool:
        self.bar.update(rows)
        now = time.monotonic()
        self.longest, self.before = max(self.longest, now - self.before), now
        return self.clock.left() > self.longest
