"""From what folds say to one table: classes matched by name, unusable rows given priors, folds and runs mixed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.competition.labels import label_targets
from kit.data.store import Store
from kit.inference.nets import FoldNet
from kit.results.blend import MEANS, weighted
from kit.training.fold import class_shares, fill_with_priors
from kit.training.predict import probability_dtype

WAYS = tuple(MEANS)


class Mixer:
    """Takes folds as they come; `table` is what they make so far, priors where there is nothing yet.

    One run's mean over folds is that of its own test.parquet, bit for bit; several runs are mixed by kit.results.blend.
    """

    def __init__(self, nets: Sequence[FoldNet], competition: Competition, weights: Sequence[float] | None, how: str):
        self.nets, self.competition, self.how = nets, competition, how
        runs = list(dict.fromkeys(net.run for net in nets))
        self.weights = None if weights is None else dict(zip(runs, weights, strict=True))
        self._forget()

    def _forget(self) -> None:
        self.sums: dict[Path, np.ndarray] = {}  # over a run's folds (N, C), of the competition's classes
        self.done: list[FoldNet] = []
        self.is_part = False  # is the one that is done only part of a fold?
        self.open_rows = np.ones(len(self.competition.test), dtype=bool)  # that no fold has said anything of
        self.silent: list[np.ndarray] = []  # rows (N,) that each of them has said nothing of

    def add(self, net: FoldNet, probability: np.ndarray, whole: bool) -> None:
        """A fold's probabilities (N, C of the net), NaN where there are none, which get its priors.

        Part of a fold counts only while there is no other: the first whole one takes its place.
        """
        if not whole and self.done:
            return
        if self.is_part:
            self._forget()
        self.done.append(net)
        self.is_part = not whole
        silent = np.asarray(np.isnan(probability).any(1))
        self.open_rows &= silent
        self.silent.append(silent)
        added = self._of_classes(net, probability)
        self.sums[net.run] = self.sums[net.run] + added if net.run in self.sums else added

    def table(self) -> pd.DataFrame:
        """Columns id and the competition's classes."""
        if not self.sums:
            net = self.nets[0]
            nothing = np.full((len(self.open_rows), len(net.classes)), np.nan, probability_dtype(self.competition.task))
            return self._frame(self._of_classes(net, nothing))
        counts = Counter(net.run for net in self.done)
        frames = [self._frame(total / total.dtype.type(counts[run])) for run, total in self.sums.items()]
        if len(frames) == 1:
            return frames[0]
        if self.weights is None:
            return MEANS[self.how](frames)
        shares = np.array([self.weights[run] for run in self.sums], dtype=float)
        shares = shares if shares.sum() else np.ones(len(shares))  # where a clock left only runs of no weight
        return weighted(frames, shares / shares.sum())

    def notes(self, stores: Iterable[Store], stopped: str = "") -> list[str]:
        """Lines on rows that hold the priors, folds that were left out, and classes that a run does not know.

        stopped: the error that ended the predictions, "" where it was time if anything.
        """
        lines = (self._priors_note(stores, stopped), self._part_note(), self._folds_note(stopped), self._classes_note())
        return [line for line in lines if line]

    def _frame(self, probability: np.ndarray) -> pd.DataFrame:
        table = pd.DataFrame(probability, columns=list(self.competition.classes))
        return pd.concat([pd.DataFrame({"id": self.competition.test["id"].to_numpy()}), table], axis=1)

    def _of_classes(self, net: FoldNet, probability: np.ndarray) -> np.ndarray:
        """As probabilities of the competition's classes (N, C), priors where NaN.

        A class that the net does not know gets its share of the competition's own training rows. Where one label a row
        is asked for, the others are scaled for a row to sum to 1 again.
        """
        classes = self.competition.classes
        filled = fill_with_priors(probability, np.array([net.priors[name] for name in net.classes]))
        if net.classes == classes:
            return filled
        number_of = {name: number for number, name in enumerate(net.classes)}
        known = [number for number, name in enumerate(classes) if name in number_of]
        mixed = np.tile(self._own_shares.astype(filled.dtype), (len(filled), 1))
        mixed[:, known] = filled[:, [number_of[classes[number]] for number in known]]
        if self.competition.task == "single" and set(net.classes) != set(classes):
            rest = 1 - np.delete(self._own_shares, known).sum()
            mixed[:, known] *= (rest / mixed[:, known].sum(1, keepdims=True).clip(1e-12)).astype(mixed.dtype)
        return mixed.clip(0, 1)  # rounding may leave it

    @cached_property
    def _own_shares(self) -> np.ndarray:
        """Each class's share (C,) of the competition's own training rows, or known pairs; 0 where no row has it."""
        classes = self.competition.classes
        return class_shares(
            label_targets(self.competition.train["label"], classes, self.competition.task), len(classes)
        )

    def _priors_note(self, stores: Iterable[Store], stopped: str) -> str:
        count = int(self.open_rows.sum())
        if not count:
            return ""
        ids = self.competition.test["id"].to_numpy()[self.open_rows]
        faults = {row.id: row.fault for store in stores for row in store.faults().itertuples()}
        other = f"stopped by an error, {stopped}" if stopped else "no time was left to predict it"
        if self.done and not self.is_part:
            other = "no fold gave a number for it"
        reasons = Counter(faults.get(name, other) for name in ids)
        told = "; ".join(f"{number} × {reason}" if count > 1 else reason for reason, number in reasons.most_common(3))
        return f"{count} of {len(self.open_rows)} test rows got the class priors, such as {ids[0]!r}: {told}"

    def _part_note(self) -> str:
        """On rows of which some folds gave NaN, and others did not."""
        rows = np.flatnonzero(np.logical_or.reduce(self.silent) & ~self.open_rows) if self.silent else []
        if not len(rows):
            return ""
        first = self.competition.test["id"].iloc[rows[0]]
        return f"of {len(rows)} test rows, such as {first!r}, some folds gave NaN, and their priors count there"

    def _folds_note(self, stopped: str) -> str:
        left_out = [str(net) for net in self.nets if net not in self.done]
        why = f"after an error ({stopped})" if stopped else "for time"
        told = f"{len(left_out)} of {len(self.nets)} folds were left out {why}: {', '.join(left_out)}"
        return told if left_out else ""

    def _classes_note(self) -> str:
        unknown = {}
        for net in self.nets:
            unknown[net.run.name] = [name for name in self.competition.classes if name not in net.classes]
        lines = [
            f"{run} does not know {len(names)} of {len(self.competition.classes)} classes, such as {names[0]!r}"
            for run, names in unknown.items()
            if names
        ]
        return f"{'; '.join(lines)}: they get their share of the training rows" if lines else ""
