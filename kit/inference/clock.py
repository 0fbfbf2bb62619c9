"""The time that predictions may take: what is left, what fits into it, and what to leave out where it does not.

A clock keeps a reserve for the CSV, which must be whole before the limit. `plan` is arithmetic on measured seconds.
"""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from kit.parts import unknown
from kit.training.predict import Crops, Windows
from kit.training.shifts import ShiftAverage

DROPS = ("folds", "crops")
MARGIN = 0.9  # of the time left that a plan fills: files differ, and machines have slow spells
RESERVE = 0.02  # of the limit, beside what writing takes
LEAST_RESERVE = 1.0  # seconds, for processes to end
AGAIN_SECONDS = 1.0  # after which an alarm rings again, for one may fall where errors are swallowed


class OutOfTime(BaseException):  # noqa: N818 - no error, as KeyboardInterrupt is none: nothing that handles those takes it
    """No time is left."""


@dataclass
class Clock:
    """minutes None is no limit."""

    minutes: float | None = None
    started: float = field(default_factory=lambda: time.monotonic())
    reserve: float = 0.0  # seconds

    def __post_init__(self):
        if self.minutes is not None:
            if not 0 < self.minutes < float("inf"):
                raise ValueError(f"minutes must be above 0, got {self.minutes:g}")
            self.reserve = max(RESERVE * 60 * self.minutes, LEAST_RESERVE)

    @property
    def is_set(self) -> bool:
        return self.minutes is not None

    def left(self) -> float:
        """Seconds to the limit, less the reserve."""
        if self.minutes is None:
            return float("inf")
        return self.started + 60 * self.minutes - self.reserve - time.monotonic()

    @contextmanager
    def alarm(self) -> Iterator[None]:
        """Ends the block by OutOfTime when no time is left, whatever is under way, however slow it turned out.

        Only in the main thread, and where the system has timers: elsewhere a block ends by looking at the clock itself.
        """
        if not (self.is_set and _has_timer()):
            yield
            return
        if (left := self.left()) <= 0:
            raise OutOfTime
        before = signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, left, AGAIN_SECONDS)
        try:
            try:
                yield
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except OutOfTime:  # which may have come before the timer was off
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise
        finally:
            signal.signal(signal.SIGALRM, before)


def _ring(*_: Any) -> None:
    raise OutOfTime


def _has_timer() -> bool:
    """Is there one, and does nobody else use it?"""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return False
    return signal.getitimer(signal.ITIMER_REAL)[0] == 0


@dataclass(frozen=True)
class Plan:
    """The first `jobs` of all, each `lighter` steps lighter than asked; share: of the rows that there is time for."""

    jobs: int
    lighter: int = 0
    share: float = 1.0

    def told(self, folds: int) -> str:
        """What it takes of all."""
        parts = [f"{self.jobs} of {folds} folds" if self.jobs < folds else "all folds"]
        parts += [f"crops or windows {self.lighter} steps fewer"] if self.lighter else []
        parts += [f"about {self.share:.0%} of the rows, the others with the priors"] if self.share < 1 else []
        return "takes " + ", ".join(parts)


def plan(seconds: Sequence[Sequence[float]], left: float, drop: Sequence[str] = DROPS, least: int = 1) -> Plan:
    """What of the jobs fits into `left` seconds. seconds: of each job as asked, one step lighter, and so on.

    `drop` says what is taken fewer of, one after another, each as far as need be: "folds" down to the `least` number of
    jobs, "crops" down to the lightest. Where that does not suffice, share is below 1.
    """
    lightest = max(map(len, seconds), default=1) - 1
    chosen = Plan(len(seconds))
    for what in drop:
        while needed(seconds, chosen) > MARGIN * left:
            if what == "folds" and chosen.jobs > least:
                chosen = replace(chosen, jobs=chosen.jobs - 1)
            elif what == "crops" and chosen.lighter < lightest:
                chosen = replace(chosen, lighter=chosen.lighter + 1)
            else:
                break
    total = needed(seconds, chosen)
    return replace(chosen, share=min(1.0, max(0.0, MARGIN * left) / total)) if total else chosen


def needed(seconds: Sequence[Sequence[float]], chosen: Plan) -> float:
    """Seconds of what was chosen, on all rows."""
    return sum(job[min(chosen.lighter, len(job) - 1)] for job in seconds[: chosen.jobs])


def lighter_ways(way: Any) -> list[Any]:
    """A way to predict, then ever lighter ones: fewer crops, windows that share less. One of one's own has none."""
    if type(way) is Crops:
        return [way, *(replace(way, n=n) for n in range(way.n - 1, 0, -1))]
    if type(way) is Windows and way.overlap:
        return [way, replace(way, overlap=way.overlap // 2), replace(way, overlap=0)]
    if type(way) is ShiftAverage:
        return [way, *lighter_ways(way.way)]
    return [way]


def check_drop(drop: Sequence[str]) -> None:
    """Raises ValueError for a name that is not of DROPS, or one named twice."""
    for name in drop:
        if name not in DROPS:
            raise ValueError(unknown("drop must name what to take fewer of, got", name, DROPS))
    if len(set(drop)) < len(drop):
        raise ValueError(f"drop must name each thing once, got {','.join(drop)}")


def time_told(seconds: float) -> str:
    """Seconds as one reads them: 42 s, 3.5 min, 2.1 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
