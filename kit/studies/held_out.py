"""Runs compared on the test part, where its labels are known, as they are in a folder of images."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from kit.data.store import Store
from kit.results.compare import as_run, compare, cv_table, difference
from kit.training.runs import Run


def held_out(run: Run | str | Path, store: Store) -> Run:
    """The run, or that of a folder, with its predictions of the store's test rows in place of its out-of-fold ones.

    Raises ValueError where those are other rows or their labels are not known.
    """
    run, index = as_run(run), store.index.iloc[store.rows("test")]
    table = run.test
    if list(table["id"]) != list(index["id"]):
        raise ValueError(f"{run.folder / 'test.parquet'}: must hold the {len(index)} test rows of {store.folder}")
    if (index["target"] < 0).any():
        raise ValueError(f"{store.folder}: must hold the labels of its test rows, got some without")
    return replace(run, oof=table.assign(label=index["label"].to_numpy(), fold=0))


def error_table(runs: Iterable[Run], baseline: str) -> pd.DataFrame:
    """A row an experiment: its error rate in %, its NLL, and how far both are from the baseline's on the same rows.

    NLL is the mean of -log p(true class), in nats; for all, less is better. Columns that end in low and high are 95 %
    intervals over rows, each by itself; spread is the sd of delta over seeds; differs is after Holm's correction for
    the comparisons of errors, nll_differs for those of NLLs.
    """
    runs = list(runs)
    rate = cv_table(runs, "accuracy")
    right, nll = (compare(runs, baseline, metric) for metric in ("accuracy", "log_loss"))
    return pd.DataFrame(
        {
            "name": rate["name"],
            "seeds": rate["seeds"],
            "error": 100 - 100 * rate["oof"],
            "low": 100 - 100 * rate["high"],
            "high": 100 - 100 * rate["low"],
            "delta": 0 - 100 * right["delta"],
            "delta_low": 0 - 100 * right["high"],
            "delta_high": 0 - 100 * right["low"],
            "differs": right["differs"],
            "spread": 100 * right["spread"],
            "nll": nll["score"],
            "nll_delta": nll["delta"],
            "nll_low": nll["low"],
            "nll_high": nll["high"],
            "nll_differs": nll["differs"],
        }
    )


def error_reading(table: pd.DataFrame) -> pd.DataFrame:
    """error_table's errors to read, in %; each mixup beside the first row."""
    return _reading(
        table, ("error", "low", "high"), ("delta", "delta_low", "delta_high", "differs"), "test error (%)", 2
    )


def nll_reading(table: pd.DataFrame) -> pd.DataFrame:
    """error_table's NLLs to read, in nats."""
    return _reading(table, ("nll",), ("nll_delta", "nll_low", "nll_high", "nll_differs"), "NLL (nats)", 3)


def _reading(table: pd.DataFrame, value: tuple, gap: tuple, title: str, digits: int) -> pd.DataFrame:
    rows = []
    for number, row in enumerate(table.to_dict("records")):
        score, *ends = (f"{row[name]:.{digits}f}" for name in value)
        delta, low, high, differs = (row[name] for name in gap)
        told = "" if number == 0 else f"{delta:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
        verdict = "" if number == 0 else ("better" if delta < 0 else "worse") if differs else "not told apart"
        spread = "" if number == 0 or row["seeds"] < 2 or len(ends) == 0 else f"{row['spread']:.{digits}f}"
        rows.append(
            (row["name"], row["seeds"], score + (f" [{', '.join(ends)}]" if ends else ""), told, spread, verdict)
        )
    columns = ["experiment", "seeds", title, "Δ [95 %, uncorrected]", "sd of Δ over seeds", "verdict (Holm)"]
    found = pd.DataFrame(rows, columns=columns)
    return found if len(value) > 1 else found.drop(columns="sd of Δ over seeds")


def fitted(runs: Iterable[Run]) -> pd.DataFrame:
    """To read: each run's updates, and how well it knew the batches of its last epoch, mixed as they were."""
    rows = []
    for run in runs:
        log = pd.read_csv(run.folder / "fold0" / "log.csv").iloc[-1]
        name, accuracy = run.experiment["name"], f"{log['train_accuracy']:.3f}"
        rows.append((name, run.seed, int(log["step"]), accuracy, f"{run.metrics['minutes']:.1f}"))
    return pd.DataFrame(rows, columns=["experiment", "seed", "updates", "training accuracy, last epoch", "minutes"])


def told(ours: Run, theirs: Run) -> str:
    """One line: the error of two runs on the same rows, and the difference with its 95 % interval."""
    wrong = [100 * float((run.probability.argmax(1) != run.target).mean()) for run in (ours, theirs)]
    gap = difference(ours, theirs, "accuracy")
    names = ours.experiment["name"], theirs.experiment["name"]
    return (
        f"{names[0]} {wrong[0]:.2f} %, {names[1]} {wrong[1]:.2f} % of {len(ours.oof):,} test images wrong: "
        f"{-100 * gap.delta:+.2f} [{-100 * gap.high:+.2f}, {-100 * gap.low:+.2f}] points, 95 % interval of one "
        "comparison, one seed"
    )
