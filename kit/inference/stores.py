"""The test part as nets are given it: a store for each sort of features, packed share by share under a clock."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kit.competition.competition import Competition
from kit.data.store import Store
from kit.inference.clock import Clock
from kit.inference.decoding import Decodings
from kit.inference.nets import FoldNet
from kit.inference.packing import Packing, features_key, packed_before
from kit.training.identity import trained_by


class Stores:
    """`packed` has the stores by features_key, `packing` what packs the others."""

    def __init__(
        self, nets: Sequence[FoldNet], competition: Competition, cache: Path, clock: Clock, progress: bool = True
    ):
        self.rows, self.clock = len(competition.test), clock
        self.packed: dict[tuple, Store] = {}
        self.packing: dict[tuple, Packing] = {}
        self.row_seconds: dict[tuple, float] = {}  # of packing a row, by the slowest share so far
        to_pack: dict[tuple, Any] = {}
        for net in nets:
            key, features = key_of(net), net.experiment.features
            by = trained_by(net.path.parent)
            if key in self.packed or key in to_pack:
                continue
            if store := packed_before(competition, features, cache, by[-1]["data"] if by else ""):
                self.packed[key] = store
            else:
                to_pack[key] = features
        decodings = Decodings(cache) if len(to_pack) > 1 else None
        in_shares = clock.is_set or decodings is not None
        for key, features in to_pack.items():
            packing = Packing(competition, features, cache, in_shares, progress, decodings)
            if packing.left:
                self.packing[key] = packing
            else:
                self.packed[key] = packing.store()

    def first_shares(self) -> dict[tuple, Store]:
        """A store of each sort of features, of those that are not packed yet the first share: to measure with."""
        return self.packed | {key: self._step(key) for key in self.packing if key not in self.packed}

    def pack(self, keys: Iterable[tuple], share: float = 1.0) -> None:
        """Pack these sorts of features side by side, all rows or about that share, as far as the clock allows."""
        keys = [key for key in dict.fromkeys(keys) if key not in self.packed]
        while keys:
            key = max(keys, key=lambda key: self.packing[key].left)  # so that all are at the same share, or next to it
            packing = self.packing[key]
            done, more = self.rows - packing.left, packing.next_rows
            if not more or (done and share < 1 and done + more > share * self.rows):
                break
            if self.clock.left() <= self.row_seconds.get(key, 0.0) * more:
                break
            self._step(key)

    def join(self) -> None:
        """Make stores of what is packed; rows whose share is not have a fault."""
        for key, packing in self.packing.items():
            if key not in self.packed and packing.left < self.rows:
                self.packed[key] = packing.store()

    def seconds_left(self, key: tuple) -> float:
        """What packing the rest of the rows will take; only first_shares makes it known."""
        return 0.0 if key in self.packed else self.packing[key].left * self.row_seconds[key]

    def _step(self, key: tuple) -> Store:
        packing, started = self.packing[key], time.monotonic()
        rows, store = packing.next_rows, packing.step()
        self.row_seconds[key] = max(self.row_seconds.get(key, 0.0), (time.monotonic() - started) / rows)
        return store


def key_of(net: FoldNet) -> tuple:
    return features_key(net.experiment.features)
