"""Runs compared on the test part, where its labels are known, as they are in a folder of images."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from kit.data.store import Store
from kit.results.compare import as_run, compare, cv_table
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
    intervals over rows, spread is the sd of delta over seeds, and differs is after Holm's correction.
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
