"""submissions/ledger.csv: the one record of what was made and sent, a row a submission.

Each change is made under a lock and written whole, beside and renamed: two processes lose nothing, and a kill leaves
the old file or the new one. A field that isn't known yet is empty.
"""

import csv
import hashlib
import io
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from kit.atomic import replacing
from kit.competition.metrics import METRICS
from kit.results.bootstrap import Interval

LEDGER = Path("submissions/ledger.csv")
NUMBERS = ("cv", "cv_low", "cv_high", "precision", "public", "private")
PATHS = ("file", "experiment")
NEEDED = ("run", "name", "sha256", "file")
# metric and higher_is_better are of the scores; mix and backbone tell runs apart at a glance.
MADE = ("competition", "run", "name", "metric", "higher_is_better", "mix", "backbone")
MADE += (*NUMBERS, "sha256", *PATHS, "time_utc")
# The kernel (owner/name/version) that made it; the Kaggle competition it went to, when, and as what; what became of it.
SENT = ("kernel", "sent_to", "sent_utc", "ref", "status")
COLUMNS = (*MADE, *SENT)
LOCK_SECONDS = 60

Rows = list[dict[str, str]]


def add_row(ledger: str | Path, row: Mapping[str, object]) -> None:
    """Add a submission: a value for run, name, sha256, file and what else of COLUMNS is known; time_utc is now.

    A row of the same run and sha256 is brought up to date instead, so that what was cut short can be run again.
    Raises ValueError naming the column, filelock.Timeout where another process holds the ledger for a minute.
    """
    fields = _fields({"time_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), **row})

    def change(rows: Rows) -> Rows:
        for old in rows:
            if (old["run"], old["sha256"]) == (fields["run"], fields["sha256"]):
                old |= {column: field for column, field in fields.items() if field}
                return rows
        return [*rows, fields]

    _change(Path(ledger), change)


def change_rows(ledger: str | Path, changed: Callable[[dict[str, str]], Mapping[str, object]]) -> int:
    """Set in each row the fields that `changed(row)` gives for it; None empties one. How many rows got any.

    Raises ValueError naming the column, FileNotFoundError.
    """
    count = 0
    if not Path(ledger).exists():
        raise FileNotFoundError(f"{ledger}: no such ledger")

    def change(rows: Rows) -> Rows:
        nonlocal count
        for row in rows:
            if fields := changed(dict(row)):
                row |= {column: _field(column, value) for column, value in fields.items()}
                count += 1
        return rows

    _change(Path(ledger), change)
    return count


def read_ledger(ledger: str | Path) -> pd.DataFrame:
    """The ledger's rows in the order of adding: scores as numbers (nan where not known), the rest as text.

    Raises FileNotFoundError, or ValueError naming line and column.
    """
    table = pd.DataFrame(_read(Path(ledger)), columns=list(COLUMNS), dtype=object)
    for column in NUMBERS:
        table[column] = [float(field or "nan") for field in table[column]]
    return table


def ledger_table(rows: pd.DataFrame, public_rows: int | None = None, baseline: str | None = None) -> pd.DataFrame:
    """Rows of read_ledger to look at: scores, CV with its interval, ranks by each (1 is best), Δ to a baseline.

    Ranks are among the rows of one metric, by its direction. noise is the standard error of the public score, of
    public_rows rows, where the metric is a mean in [0, 1]. Δ is to the first row named baseline, by default the first
    of all.
    """
    rows = rows.reset_index(drop=True)
    table = rows[["name", "metric", "mix", "backbone"]].copy()
    cv = zip(rows["cv"], rows["cv_low"], rows["cv_high"], strict=True)
    table["CV"] = ["" if math.isnan(value) else str(Interval(value, low, high)) for value, low, high in cv]
    table[["precision", "public"]] = rows[["precision", "public"]]
    table["noise"] = [
        noise(score, public_rows) if public_rows is not None and is_share(metric) else math.nan
        for score, metric in zip(rows["public"], rows["metric"], strict=True)
    ]
    table["private"] = rows["private"]
    names = list(rows["name"])
    if baseline is not None and baseline not in names:
        raise ValueError(f"baseline must be one of the rows' names, got {baseline!r}")
    for column, title in (("cv", "CV"), ("public", "public"), ("private", "private")):
        ranks = (rows[column] * signs(rows)).groupby(rows["metric"]).rank(ascending=False, method="min")
        table[f"{title} rank"] = ranks.astype("Int64")
        base = math.nan if rows.empty else rows[column].iloc[names.index(baseline or names[0])]
        table[f"Δ {title}"] = rows[column] - base
    return table


def signs(rows: pd.DataFrame) -> np.ndarray:
    """1 where a row's score is better when higher, -1 where lower: sign * score is always better when higher."""
    return np.where(rows["higher_is_better"] == "False", -1, 1)


def ranked(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows that have the score, the best first. Raises ValueError where they are of several metrics."""
    rows = rows.dropna(subset=[column])
    if rows["metric"].nunique() > 1:
        raise ValueError(f"rows to be ranked must be of one metric, got {', '.join(rows['metric'].unique())}")
    return rows.iloc[np.argsort(-rows[column].to_numpy() * signs(rows), kind="stable")]


def is_share(metric: str) -> bool:
    """Is the metric of this name a number from 0 to 1, so that chance in it can be bounded by `noise`?"""
    return metric in METRICS and METRICS[metric].bounds == (0.0, 1.0)


def noise(score: float, n_rows: int) -> float:
    """The standard error of a score over n_rows independent rows, sqrt(p (1 - p) / n).

    Exact for accuracy; the most it can be for any other mean of row scores in [0, 1].
    """
    if n_rows < 1:
        raise ValueError(f"n_rows must be at least 1, got {n_rows}")
    return math.sqrt(score * (1 - score) / n_rows)


def to_markdown(table: pd.DataFrame) -> str:
    """A Markdown table: numbers with four decimals, Δ with its sign, nothing where nothing is known."""

    def cell(value: object, title: str) -> str:
        return " ".join(shown(value, title).replace("|", "\\|").split())

    lines = [list(table.columns), ["---"] * len(table.columns)]
    lines += [map(cell, row, table.columns) for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: object, title: str) -> str:
    """A table's value as text."""
    if pd.isna(value):
        return ""
    return f"{value:{'+' if title.startswith('Δ') else ''}.4f}" if isinstance(value, float) else str(value)


def file_sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _change(path: Path, change: Callable[[Rows], Rows]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS):
        rows = change(_read(path) if path.exists() else [])
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with replacing(path) as beside:
            beside.write_bytes(text.getvalue().encode("utf-8"))


def _read(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:  # a spreadsheet adds a byte order mark
        reader = csv.reader(file, strict=True)
        try:
            lines = [(reader.line_num, row) for row in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path}: line {reader.line_num}: must be a UTF-8 CSV, got {error}") from None
    header = tuple(lines[0][1]) if lines else ()
    if header != COLUMNS:
        raise ValueError(f"{path}: line 1: must be {','.join(COLUMNS)}, got {','.join(header) or 'nothing'}")
    for line, row in lines[1:]:
        if len(row) != len(header):
            raise ValueError(f"{path}: line {line}: must have {len(header)} fields, got {len(row)}")
        for column, field in zip(header, row, strict=True):
            if column in NUMBERS and field and not _is_finite(field):
                raise ValueError(f"{path}: line {line}: {column} must be a number or empty, got {field!r}")
    return [dict(zip(header, row, strict=True)) for _, row in lines[1:]]


def _fields(row: Mapping[str, object]) -> dict[str, str]:
    """A row as text. Raises ValueError naming the column."""
    fields = {column: _field(column, value) for column, value in {**dict.fromkeys(COLUMNS), **row}.items()}
    if not re.fullmatch("[0-9a-f]{64}", fields["sha256"]):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {fields['sha256']!r}")
    return fields


def _field(column: str, value: Any) -> str:
    if column not in COLUMNS:
        raise ValueError(f"row must have columns of {', '.join(COLUMNS)}, got {column!r}")
    return _number(column, value) if column in NUMBERS else _text(column, value)


def _number(column: str, value: float | None) -> str:
    if value is None or pd.isna(value):
        return ""
    if not _is_finite(value):
        raise ValueError(f"{column} must be a finite number or None, got {value!r}")
    return repr(float(value))


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _text(column: str, value: object) -> str:
    text = "" if value is None else str(value)
    if column in NEEDED and not text:
        raise ValueError(f"{column} must not be empty")
    if "\r" in text or "\0" in text:
        raise ValueError(f"{column} must have no carriage return or NUL, got {text!r}")
    if column in PATHS and (PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive):
        raise ValueError(f"{column} must be a relative path, so that no one's home is told, got {text!r}")
    return text
