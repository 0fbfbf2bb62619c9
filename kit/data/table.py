"""A plain table: `train.csv` (file, label, optional groups), `sample_submission.csv` (file, label), audio below.

The sample names the columns: its first is the file, its second the label; `train.csv` has both.
"""

import csv
from pathlib import Path

import pandas as pd

from kit.data.listing import CompetitionError, Listing, Problems

MARKER = "train.csv"
AUDIO = (".flac", ".wav", ".ogg", ".mp3")
GROUPS = ("group", "speaker", "recording", "session", "author", "site")  # rows of one group share a fold


def read_table(listing: Listing) -> dict:
    """The fields of a Competition. Raises CompetitionError naming every bad row."""
    train, sample = read_csv(listing.folder / "train.csv"), read_csv(listing.folder / "sample_submission.csv")
    if len(sample.columns) != 2:
        raise CompetitionError(
            f"{listing.folder}/sample_submission.csv: must have two columns, file and label, "
            f"got {', '.join(sample.columns)}"
        )
    id_column, label_column = sample.columns
    problems = Problems(listing.folder)
    for column in (id_column, label_column):
        if column not in train.columns:
            problems.add("train.csv", f"has no column {column!r}, which sample_submission.csv names")
    problems.raise_if_any()
    train = train.rename(columns={id_column: "id", label_column: "label"})
    group = next((name for name in GROUPS if name in train.columns), None)
    train = train.rename(columns={group: "group"}) if group else train
    train["path"] = _find(train["id"], "train", "train.csv", listing, problems)
    test = pd.DataFrame({"id": sample[id_column]})
    test["path"] = _find(test["id"], "test", "sample_submission.csv", listing, problems)
    _check_values(train, label_column, group, problems)
    _check_shared(train, test, problems)
    problems.raise_if_any()
    return {
        "layout": "table",
        "features": "wave",
        "n_mels": None,
        "train": train.assign(audio=train["path"], where=_rows("train.csv", len(train))),
        "test": test.assign(audio=test["path"], where=_rows("sample_submission.csv", len(test))),
        "classes": tuple(sorted(train["label"].unique())),
        "id_column": id_column,
        "label_columns": (label_column,),
        "cluster": "group" if group else None,
        "notes": _unnamed(listing, train, test),
    }


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV with every field as text, so that `00000001` and `NA` stay what they are.

    Raises CompetitionError: missing, not UTF-8, ragged, without rows, a column named twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except FileNotFoundError:
        raise CompetitionError(f"{path}: no such file on disk") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CompetitionError(f"{path}: not a UTF-8 CSV ({error})") from None
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise CompetitionError(f"{path}: must have a header and at least one row")
    header = rows[0]
    if len(set(header)) < len(header):
        raise CompetitionError(f"{path}: line 1: a column is named twice: {', '.join(header)}")
    for line, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise CompetitionError(f"{path}: line {line}: must have {len(header)} fields, got {len(row)}")
    return pd.DataFrame(rows[1:], columns=header, dtype=object)


def _rows(file: str, n: int) -> list[str]:
    return [f"{file}: line {number + 2}" for number in range(n)]


def _find(ids: pd.Series, folder: str, table: str, listing: Listing, problems: Problems) -> list[str]:
    paths, seen = [], {}
    for number, name in enumerate(ids):
        where = f"{table}: line {number + 2} ({name})"
        guesses = [f"{folder}/{name}", name, *(f"{folder}/{name}{suffix}" for suffix in AUDIO)]
        path = next((guess for guess in guesses if guess in listing), guesses[0])
        if name in seen:
            problems.add(where, f"the same file as line {seen[name]}")
        elif rule := listing.fault(path):
            problems.add(where, f"{rule}: looked for {path}" if rule.startswith("no such") else rule)
        seen.setdefault(name, number + 2)
        paths.append(path)
    return paths


def _check_values(train: pd.DataFrame, label_column: str, group: str | None, problems: Problems) -> None:
    for column, name in (("label", label_column), ("group", group)):
        if column in train.columns:
            for number in train.index[train[column].str.strip() == ""]:
                problems.add(f"train.csv: line {number + 2} ({train.at[number, 'id']})", f"{name} is empty")
    if train["label"].nunique() < 2:
        problems.add(f"train.csv: {label_column}", "must have at least two classes")


def _check_shared(train: pd.DataFrame, test: pd.DataFrame, problems: Problems) -> None:
    for path in sorted(set(train["path"]) & set(test["path"])):
        problems.add("sample_submission.csv", f"{path} is also a training file")


def _unnamed(listing: Listing, train: pd.DataFrame, test: pd.DataFrame) -> tuple[str, ...]:
    notes = []
    for folder, table, name in (("train", train, "train.csv"), ("test", test, "sample_submission.csv")):
        audio = {path for path in listing.below(folder) if path.lower().endswith(AUDIO)}
        if extra := audio - set(table["path"]):
            notes.append(f"{len(extra)} audio files in {folder}/ are not in {name}, such as {min(extra)}")
    return tuple(notes)
