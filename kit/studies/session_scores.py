"""Few-shot sessions in numbers: each method's accuracies with intervals, paired differences, and the confused words.

Three kinds of luck are kept apart. Intervals draw the test rows again, whole speakers where they are known (bootstrap);
`sd over draws` is that of one draw of the shots; `by training` are the values of each training of the net.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from kit.competition.metrics import Metric
from kit.results.bootstrap import N_RESAMPLES, holm, interval, paired
from kit.studies.session_draws import Sessions


def by_session(entered: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Accuracy (S + 1,) after each session over the rows of all classes seen: entered (M,), right (M, S + 1)."""
    seen = entered[:, None] <= np.arange(right.shape[1])  # (M, S + 1)
    count = seen.sum(0)
    if not count.all():
        raise ValueError("right must hold a row of a base class, got none")
    return (right * seen).sum(0) / count


def base_accuracy(entered: np.ndarray, right: np.ndarray) -> float:
    """After the base session."""
    return _share(*_base_terms(entered, right), "a base class")


def last_accuracy(entered: np.ndarray, right: np.ndarray) -> float:
    """After the last session, over the rows of all classes."""
    return _share(*_last_terms(entered, right), "any class")


def average(entered: np.ndarray, right: np.ndarray) -> float:
    """The mean over all sessions, the base session included."""
    return by_session(entered, right).mean()


def drop(entered: np.ndarray, right: np.ndarray) -> float:
    """What is lost from the base session to the last."""
    accuracy = by_session(entered, right)
    return accuracy[0] - accuracy[-1]


def new_words(entered: np.ndarray, right: np.ndarray) -> float:
    """After the last session, over the rows of the classes known by their shots alone."""
    return _share(*_new_terms(entered, right), "a new class")


def old_words(entered: np.ndarray, right: np.ndarray) -> float:
    """After the last session, over the rows of the base classes."""
    return _share(*_old_terms(entered, right), "a base class")


def _base_terms(entered: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return right[:, 0] * (entered == 0), entered == 0


def _last_terms(entered: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return right[:, -1], np.ones(len(entered))


def _new_terms(entered: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return right[:, -1] * (entered > 0), entered > 0


def _old_terms(entered: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return right[:, -1] * (entered == 0), entered == 0


def _share(total: np.ndarray, weight: np.ndarray, what: str) -> float:
    if not weight.any():
        raise ValueError(f"right must hold a row of {what}, got none")
    return total.sum() / weight.sum()


MEASURES = {
    "base session": Metric(base_accuracy, per_row=_base_terms, bounds=(0, 1)),
    "last session": Metric(last_accuracy, per_row=_last_terms, bounds=(0, 1)),
    "average": Metric(average, bounds=(0, 1)),
    "drop": Metric(drop, higher_is_better=False, bounds=(-1, 1)),
    "new words": Metric(new_words, per_row=_new_terms, bounds=(0, 1)),
    "base words": Metric(old_words, per_row=_old_terms, bounds=(0, 1)),
}


def _measure(name: str) -> Metric:
    if name not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {name!r}")
    return MEASURES[name]


def session_table(sessions: Sessions, measures: Sequence[str] = tuple(MEASURES)[:5]) -> pd.DataFrame:
    """A row a method to read: measures with their 95 % intervals over test rows or speakers, and the average's luck."""
    rows = []
    for name in sessions.predicted:
        right = sessions.right(name)
        mean = right.mean((0, 1))
        scores = {
            measure: str(interval(sessions.entered, mean, _measure(measure), sessions.clusters)) for measure in measures
        }
        rows.append({"method": name, **scores, **_luck(_values(sessions, right, average), "{:.3f}")})
    return pd.DataFrame(rows)


def session_differences(
    sessions: Sessions,
    pairs: Sequence[tuple[str, str]],
    measure: str = "average",
    n_resamples: int = N_RESAMPLES,
) -> pd.DataFrame:
    """A row a pair of methods (ours, theirs): delta, ours minus theirs, its 95 % interval over test rows or speakers.

    p is corrected by Holm for the number of pairs, and the verdict follows it.
    """
    metric, rows = _measure(measure), []
    for ours, theirs in pairs:
        a, b = sessions.right(ours), sessions.right(theirs)
        found = paired(
            sessions.entered, a.mean((0, 1)), b.mean((0, 1)), metric, sessions.clusters, n_resamples=n_resamples
        )
        values = _difference(_values(sessions, a, metric.function), _values(sessions, b, metric.function))
        row = {"name": f"{ours} − {theirs}", "ours": ours, "delta": found.delta, "low": found.low, "high": found.high}
        rows.append(row | {"p": found.p, **_luck(values, "{:+.3f}")})
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    better = table["delta"] * metric.sign > 0
    table["verdict"] = np.select([table["p_holm"] >= 0.05, better], ["not told apart", "better"], "worse")
    return table


def differences_reading(table: pd.DataFrame) -> pd.DataFrame:
    """session_differences to read."""
    delta = [f"{row.delta:+.3f} [{row.low:+.3f}, {row.high:+.3f}]" for row in table.itertuples()]
    return pd.DataFrame(
        {
            "methods": table["name"], "Δ [95 %, uncorrected]": delta, "sd over draws": table["sd over draws"],
            "by training": table["by training"], "p, corrected (Holm)": table["p_holm"].map("{:.4f}".format),
            "verdict": table["verdict"],
        }
    )  # fmt: skip


def scores(sessions: Sessions, measure: str) -> dict[str, float]:
    """A measure of each method, the mean over trainings and draws."""
    metric = _measure(measure)
    return {name: metric(sessions.entered, sessions.right(name).mean((0, 1))) for name in sessions.predicted}


def told(sessions: Sessions, ours: str, theirs: str, measure: str = "average") -> str:
    """One line: a measure of two methods, and their difference with its 95 % interval."""
    row = session_differences(sessions, [(ours, theirs)], measure).iloc[0]
    known = scores(sessions, measure)
    return (
        f"{ours} {known[ours]:.3f}, {theirs} {known[theirs]:.3f} ({measure}): {row['delta']:+.3f} [{row['low']:+.3f}, "
        f"{row['high']:+.3f}], 95 % interval of one comparison, {len(sessions.predicted[ours])} training(s) of each"
    )


def _values(sessions: Sessions, right: np.ndarray, function: Callable) -> np.ndarray:
    """The measure (R, D) of each training and draw."""
    return np.array([[function(sessions.entered, draw) for draw in training] for training in right])


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of (R, D) each, training by training where both have as many, else from the mean over the trainings."""
    return a - b if len(a) == len(b) else a - b.mean(0) if len(b) == 1 else a.mean(0, keepdims=True) - b


def _luck(values: np.ndarray, form: str) -> dict[str, str]:
    """How far values (R, D) move from draw to draw, and each training's mean."""
    sd = values.mean(0).std(ddof=1) if values.shape[1] > 1 else 0.0
    return {"sd over draws": f"{sd:.3f}", "by training": ", ".join(form.format(mean) for mean in values.mean(1))}


def confusions(sessions: Sessions, name: str, n: int = 3) -> pd.DataFrame:
    """The n pairs of words most often confused after the last session, each with the row most often taken wrongly.

    Columns word, taken_for, share (of the word's rows, over draws and trainings), row (of the store), times (share of
    the draws and trainings in which that row went to that word).
    """
    last = sessions.predicted[name][..., -1].reshape(-1, len(sessions.target))  # (R · D, M)
    n_classes = len(sessions.protocol.seen)
    taken = np.stack([(last == number).mean(0) for number in range(n_classes)], 1)  # (M, C)
    share = np.stack([taken[sessions.target == number].mean(0) for number in range(n_classes)])  # (C, C)
    np.fill_diagonal(share, 0)
    rows, classes = [], sessions.protocol.classes
    for place in np.argsort(-share, axis=None, kind="stable")[:n]:
        word, other = np.unravel_index(place, share.shape)
        of_word = np.flatnonzero(sessions.target == word)
        worst = of_word[taken[of_word, other].argmax()]
        found = (classes[word], classes[other], share[word, other], sessions.rows[worst], taken[worst, other])
        rows.append(found)
    return pd.DataFrame(rows, columns=["word", "taken_for", "share", "row", "times"])
