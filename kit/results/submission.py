"""A submission CSV: written, and scored where the truth is at hand. What may be sent is told by check.py."""

import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from kit.atomic import replacing
from kit.competition.competition import Competition
from kit.competition.listing import CompetitionError
from kit.competition.metrics import as_metric
from kit.results.check import (
    SubmissionError,
    check_content,
    check_submission,
    dead_column,
    expected_ids,
    id_fault,
    read_submission,
)

__all__ = ["SubmissionError", "check_submission", "score_submission", "write_submission"]


def write_submission(
    competition: Competition, test_probability: pd.DataFrame, path: str | Path, threshold: float | None = None
) -> Path:
    """Write test probabilities (columns id and the classes) as the competition's CSV, in its sample's order.

    A row becomes its probabilities, the name of its likeliest class, or, where the competition takes lists, the names
    of all classes with at least `threshold` (None is 0.5; see kit.competition.threshold), or its word for none.
    Nothing on disk changes before the check has passed; one that says the same of every row is written with a warning,
    and refused when it is to be sent.
    Raises ValueError for the table, SubmissionError for the file.
    """
    path = Path(path)
    if threshold is not None and (competition.form != "lists" or not 0 < threshold <= 1):
        raise ValueError(f"threshold must be in (0, 1], or None where lists are not what is sent, got {threshold}")
    table = _ordered(test_probability, competition)
    content = _csv_bytes(competition, _fields(table, competition, 0.5 if threshold is None else threshold))
    if dead := dead_column(check_content(content, path, competition), competition):
        told = f"{path}, column {dead[0]}: says {dead[1]!r} in every row, and would be refused when it is to be sent"
        warnings.warn(told, stacklevel=2)
    with replacing(path) as beside:
        beside.write_bytes(content)
    return path


def score_submission(path: str | Path, competition: Competition) -> dict[str, float]:
    """The local leaderboard: public and private (nan where a part has no rows), public_rows and private_rows.

    Raises SubmissionError for the file, FileNotFoundError where the folder has no solution.csv.
    """
    table, solution = read_submission(path, competition), competition.solution()
    if solution is None:
        raise FileNotFoundError(f"{competition.folder}/solution.csv must exist to score a submission, got no such file")
    if fault := id_fault(solution["id"], list(table[competition.id_column])):
        raise CompetitionError(f"{competition.folder}/solution.csv: {fault}")
    table = table.set_index(competition.id_column).loc[solution["id"]]
    metric, scores = as_metric(competition.metric), {}
    for usage in ("Public", "Private"):
        rows = (solution["usage"] == usage).to_numpy()
        arrays = _arrays(table[rows], solution[rows], competition)
        scores[usage.lower()] = metric(*arrays) if rows.any() else float("nan")
        scores[f"{usage.lower()}_rows"] = int(rows.sum())
    return scores


def _ordered(table: pd.DataFrame, competition: Competition) -> pd.DataFrame:
    """Probabilities (test rows, C) indexed by id, in the sample's order. Raises ValueError."""
    ids, classes = expected_ids(competition), list(competition.classes)
    if odd := sorted(map(str, {"id", *classes} ^ set(table.columns))):
        raise ValueError(f"test_probability must have columns id and every class, got {odd[0]!r} missing or extra")
    if fault := id_fault(table["id"], ids):
        raise ValueError(f"test_probability {fault}")
    table = table.set_index("id").loc[ids, classes]
    outside = ~((table >= 0) & (table <= 1)).to_numpy()
    if outside.any():
        row, column = np.argwhere(outside)[0]
        value, where = table.iat[row, column], f"id {ids[row]}, class {classes[column]}"
        raise ValueError(f"test_probability must be in [0, 1], got {value} for {where}")
    return table


def _fields(table: pd.DataFrame, competition: Competition, threshold: float) -> list[list[str]]:
    """The CSV's rows: an id, and what its row holds. Probabilities have the digits that give each back exactly."""
    rows, form = zip(table.index, table.to_numpy(), strict=True), competition.form
    if form == "probabilities":
        return [[name, *map(str, row)] for name, row in rows]
    if form == "label":
        return [[name, competition.classes[row.argmax()]] for name, row in rows]
    names = np.array(competition.classes, dtype=object)
    return [[name, " ".join(names[row >= threshold]) or competition.nothing] for name, row in rows]


def _csv_bytes(competition: Competition, rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([competition.id_column, *competition.label_columns])
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def _arrays(table: pd.DataFrame, solution: pd.DataFrame, competition: Competition) -> tuple[np.ndarray, np.ndarray]:
    """The metric's target (N,) or (N, C) and probability (N, C); a label that is named has a probability of 1."""
    columns, form = list(competition.label_columns), competition.form
    if form == "probabilities":
        truth, probability = solution[columns].to_numpy(dtype=float), table[columns].to_numpy(dtype=float)
        return (truth, probability) if competition.task == "multi" else (_the_one(truth, competition), probability)
    nothing = competition.nothing if form == "lists" else None
    truth = _named(solution["label"], competition, nothing)
    if (truth < 0).any():
        label = solution["label"].iloc[int((truth < 0).any(1).argmax())]
        raise CompetitionError(f"{competition.folder}/solution.csv: label must be one of the classes, got {label!r}")
    return truth if form == "lists" else truth.argmax(1), _named(table[columns[0]], competition, nothing)


def _named(labels: pd.Series, competition: Competition, nothing: str | None) -> np.ndarray:
    """(N, C) of 1 for the classes that a row names and 0 for others; -1 in rows that name what is no class.

    nothing: the word for none where rows are lists; None where each is one name.
    """
    column = {name: number for number, name in enumerate(competition.classes)}
    named = np.zeros((len(labels), len(column)))
    for row, label in enumerate(labels):
        for name in [label] if nothing is None else [] if label == nothing else label.split():
            if name not in column:
                named[row] = -1
                break
            named[row, column[name]] = 1
    return named


def _the_one(truth: np.ndarray, competition: Competition) -> np.ndarray:
    """The class number (N,) of rows (N, C) with one label."""
    if (odd := truth.sum(1) != 1).any():
        count = int(truth[odd][0].sum())
        raise CompetitionError(f"{competition.folder}/solution.csv: a row must have one class, got one with {count}")
    return truth.argmax(1)
