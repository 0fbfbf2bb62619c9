"""A score with its direction: METRICS[name](target, probability), and `Metric` for a function of one's own.

Everything that ranks (early stopping, best weights, the ledger, a blend) asks the metric which of two scores is better.
The functions themselves, with targets, unknown labels and ties, are in kit.competition.scores.
"""

import inspect
import math
from collections.abc import Callable, Iterable

import numpy as np

from kit.competition.scores import (
    accuracy,
    accuracy_terms,
    class_average_precision,
    cmap,
    f1_macro,
    f1_rows,
    f1_rows_terms,
    log_loss,
    log_loss_terms,
    lwlrap,
    lwlrap_terms,
    micro_precision,
    micro_precision_terms,
    padded_cmap,
    precision,
    roc_auc,
)
from kit.parts import Part, part

__all__ = [
    "METRICS", "Metric", "MetricLike", "as_metric", "accuracy", "class_average_precision", "cmap", "f1_macro",
    "f1_rows", "log_loss", "lwlrap", "lwlrap_terms", "micro_precision", "padded_cmap", "precision", "roc_auc",
]  # fmt: skip


@part
class Metric:
    """A score of predictions: metric(target, probability) -> float.

    function(target, probability) gives one finite number; a name of METRICS stands for that metric with all its fields.
    higher_is_better is True for a function unless said otherwise.
    per_row(target, probability) gives (total, weight), both (N,), where the score is sum(total) / sum(weight): with it
    an interval takes a second, without it thousands of calls of the function.
    bounds are the lowest and the highest score there can be, None where there is no such number: with them an interval
    never shrinks to a point.
    """

    function: Callable[[np.ndarray, np.ndarray], float]
    higher_is_better: bool | None = None
    per_row: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    bounds: tuple[float, float] | None = None

    def check(self) -> None:
        for field in ("function", "per_row"):  # as they come from JSON
            if isinstance(getattr(self, field), Part):
                object.__setattr__(self, field, getattr(self, field).make())
        if isinstance(self.function, str):
            self._take_from_table(self.function)
        _check_takes_two("function", self.function)
        if self.per_row is not None:
            _check_takes_two("per_row", self.per_row)
        if self.higher_is_better is None:
            object.__setattr__(self, "higher_is_better", True)
        if not isinstance(self.higher_is_better, bool):
            raise ValueError(f"higher_is_better must be True or False, got {self.higher_is_better!r}")
        if self.bounds is not None:
            object.__setattr__(self, "bounds", _checked_bounds(self.bounds))

    @property
    def name(self) -> str:
        """The function's name, which in METRICS is the metric's."""
        function = plain(self.function)
        return getattr(function, "__name__", type(function).__name__)

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is: sign * score is always better when higher."""
        return 1 if self.higher_is_better else -1

    @property
    def worst(self) -> float:
        """Minus or plus infinity: every score is better."""
        return -self.sign * math.inf

    def __call__(self, target: np.ndarray, probability: np.ndarray) -> float:
        """The score. Raises ValueError where the function gives anything but one finite number."""
        value = self.function(target, probability)
        number = np.ndim(value) == 0 and not isinstance(value, str | bytes | complex | None)
        if not number or not math.isfinite(value):
            raise ValueError(f"metric {self.name} must give one finite number, got {value!r}")
        return float(value)

    def terms(self, target: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """per_row's total (N,) and weight (N,), as float64. Raises ValueError where those can't be resampled."""
        total, weight = (np.asarray(term, dtype=float) for term in self.per_row(target, probability))
        if total.shape != (len(target),) or weight.shape != (len(target),):
            shapes = f"{total.shape} and {weight.shape}"
            raise ValueError(f"per_row of metric {self.name} must give two arrays ({len(target)},), got {shapes}")
        if not (np.isfinite(total).all() and np.isfinite(weight).all() and (weight >= 0).all()):
            raise ValueError(f"per_row of metric {self.name} must give finite totals and weights of at least 0")
        return total, weight

    def better(self, a: float, b: float) -> bool:
        """Whether score a is better than b; an equal one, or nan, is not."""
        return self.sign * a > self.sign * b

    def best(self, scores: Iterable[float]) -> int:
        """The place of the best of scores, the first of equals."""
        scores = self.sign * np.asarray(list(scores), dtype=float)
        if not scores.size or np.isnan(scores).any():
            raise ValueError(f"scores must be at least one number, none nan, got {(self.sign * scores).tolist()}")
        return int(scores.argmax())

    def _take_from_table(self, name: str) -> None:
        entry = as_metric(name)
        for field in ("higher_is_better", "per_row", "bounds"):
            given, known = getattr(self, field), getattr(entry, field)
            if given is not None and given != known:
                raise ValueError(f"{field} of metric {name!r} must be left out or be its own, {known!r}, got {given!r}")
            object.__setattr__(self, field, known)
        object.__setattr__(self, "function", entry.function)


MetricLike = str | Metric | Callable[[np.ndarray, np.ndarray], float]


def as_metric(value: MetricLike) -> Metric:
    """The metric of a name in METRICS or of a function (in METRICS: with its direction); a Metric as it is.

    A function that METRICS does not know is taken as one where higher is better.
    """
    if isinstance(value, Metric):
        return value
    if isinstance(value, str) and value in METRICS:
        return as_metric(METRICS[value])
    if not callable(value):
        raise ValueError(f"metric must be a function or one of {', '.join(METRICS)}, got {value!r}")
    known = (metric for metric in METRICS.values() if isinstance(metric, Metric) and metric.function is value)
    return next(known, None) or Metric(value)


def plain(function: Callable) -> Callable:
    """The function of a functools.partial, any other as it is."""
    return getattr(function, "func", function)


def _check_takes_two(name: str, function: object) -> None:
    if not callable(function):
        raise ValueError(f"{name} must be a function(target, probability), got {function!r}")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        given = f"{getattr(function, '__name__', type(function).__name__)}{signature}"
        raise ValueError(f"{name} must take two arguments, target and probability, got {given}") from error


def _checked_bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds if len(bounds) == 2 else (math.nan, math.nan)
    if not low < high or not math.isfinite(high - low):
        raise ValueError(f"bounds must be two finite numbers, the lower first, got {bounds!r}")
    return float(low), float(high)


RANKS_IN_CLASS = {roc_auc, cmap, padded_cmap}  # that look only at the order of the rows within a class
UNIT = (0.0, 1.0)
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(accuracy, per_row=accuracy_terms, bounds=UNIT),
        Metric(log_loss, higher_is_better=False, per_row=log_loss_terms),
        Metric(lwlrap, per_row=lwlrap_terms, bounds=UNIT),
        Metric(precision, bounds=UNIT),
        Metric(micro_precision, per_row=micro_precision_terms, bounds=UNIT),
        Metric(roc_auc, bounds=UNIT),
        Metric(cmap, bounds=UNIT),
        Metric(padded_cmap, bounds=UNIT),
        Metric(f1_macro, bounds=UNIT),
        Metric(f1_rows, per_row=f1_rows_terms, bounds=UNIT),
    )
}
