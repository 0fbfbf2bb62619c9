"""What runs with one label a row get wrong, as tables: classes confused, certain errors, confidence, shared errors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.stats import binomtest

from kit.results.compare import reordered
from kit.training.runs import Run

SHOWN = 60  # classes of a confusion picture


def confusion_shares(run: Run, most: int = SHOWN) -> pd.DataFrame:
    """(C, C): the share of each class's rows that is answered with each class; confused classes are side by side.

    Of more than `most` classes those with the most errors, so that a row may sum to less than 1.
    """
    target, answer, classes = run.target, _answers(run), run.classes
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (target, answer), 1)
    share = counts / counts.sum(1, keepdims=True).clip(min=1)
    kept = np.sort(np.argsort(-(counts.sum(1) - np.diag(counts)), kind="stable")[:most])
    share = share[np.ix_(kept, kept)]
    if len(kept) > 2:
        mutual = share + share.T
        far = (1 - mutual / max(mutual.max(), 1))[np.triu_indices(len(kept), 1)]
        order = leaves_list(linkage(far, "average"))
        share, kept = share[np.ix_(order, order)], kept[order]
    names = [classes[number] for number in kept]
    return pd.DataFrame(share, names, names)


def confused_pairs(run: Run, most: int = 8) -> pd.DataFrame:
    """The pairs of classes with the most errors: true class, answer, rows, and of how many rows of the true class."""
    target, names = run.target, np.array(run.classes, dtype=object)
    table = pd.DataFrame({"true class": names[target], "answer": names[_answers(run)]})
    of = table["true class"].value_counts()
    wrong = table[table["true class"] != table["answer"]]
    pairs = wrong.groupby(["true class", "answer"]).size().rename("rows").reset_index()
    pairs["of"] = pairs["true class"].map(of)
    return pairs.sort_values("rows", ascending=False, kind="stable").head(most).reset_index(drop=True)


def certain_errors(run: Run, most: int = 10) -> pd.DataFrame:
    """The wrong answers of the highest probability, each beside the row that is rightly answered so, and likeliest.

    Columns id, true class, answer, probability, right id, right probability; the last two are empty where no row is
    rightly answered so.
    """
    target, answer, probability = run.target, _answers(run), run.probability
    sure, ids, names = probability.max(1), run.oof["id"].to_numpy(), np.array(run.classes, dtype=object)
    wrong = np.flatnonzero(answer != target)
    rows = []
    for row in wrong[np.argsort(-sure[wrong], kind="stable")][:most]:
        alike = np.flatnonzero((target == answer[row]) & (answer == answer[row]))
        good = alike[sure[alike].argmax()] if len(alike) else None
        beside = ("", "") if good is None else (ids[good], sure[good])
        rows.append((ids[row], names[target[row]], names[answer[row]], sure[row], *beside))
    return pd.DataFrame(rows, columns=["id", "true class", "answer", "probability", "right id", "right probability"])


def calibration_table(run: Run, bins: int = 10) -> pd.DataFrame:
    """Answers by how sure they are, in bins of as many rows: columns rows, says, right, low, high.

    says is the mean probability of the answers, right the share of them that is right with Wilson's 95 % interval
    (Wilson 1927), which takes rows as independent.
    """
    sure, hit = run.probability.max(1), _answers(run) == run.target
    rows = []
    for part in np.array_split(np.argsort(sure, kind="stable"), min(bins, len(sure))):
        wilson = binomtest(int(hit[part].sum()), len(part)).proportion_ci(0.95, "wilson")
        rows.append((len(part), sure[part].mean(), hit[part].mean(), wilson.low, wilson.high))
    return pd.DataFrame(rows, columns=["rows", "says", "right", "low", "high"])


def calibration_error(table: pd.DataFrame) -> float:
    """The mean distance of `right` from `says` over the rows of calibration_table (Naeini et al. 2015, equation 1)."""
    return float(np.average((table["right"] - table["says"]).abs(), weights=table["rows"]))


def error_correlation(runs: Sequence[Run]) -> pd.DataFrame:
    """How far runs err on the same rows: Pearson's correlation of right and wrong (0 or 1), runs by runs.

    1 is the same rows, 0 no more in common than chance. NaN where a run is always right or always wrong.
    """
    first = runs[0]
    hits = []
    for run in runs:
        oof = reordered(run.oof, first.oof, f"runs {first.name} and {run.name}")
        alike = replace(run, oof=oof)
        hits.append(_answers(alike) == alike.target)
    names = [run.experiment["name"] for run in runs]
    return pd.DataFrame(np.stack(hits, axis=1).astype(float), columns=names).corr()


def least_alike(table: pd.DataFrame) -> str:
    """Of error_correlation's pairs of runs those least and most alike, in words; of one run that there is no pair."""
    pairs = [
        (table.iloc[a, b], f"{table.index[a]} and {table.index[b]}")
        for a, b in zip(*np.triu_indices(len(table), 1), strict=True)
    ]
    pairs = sorted(pair for pair in pairs if not np.isnan(pair[0]))
    if not pairs:
        return "there are no two runs to compare"
    (low, first), (high, last) = pairs[0], pairs[-1]
    return f"least alike: {first}, {low:.2f}; most alike: {last}, {high:.2f}"


def _answers(run: Run) -> np.ndarray:
    if run.metrics.get("task", "single") != "single":
        raise ValueError(f"run {run.name}: task must be single, one label a row, got {run.metrics['task']}")
    return run.probability.argmax(1)
