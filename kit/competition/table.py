"""A plain table: `train.csv` (file, label, optional groups), `sample_submission.csv` (file, label), audio below.

The sample names the columns: its first is the file, its second the label; `train.csv` has both. What is wrong with a
training file is an error. A test file that can't be used is kept, with its fault: it costs its own row alone.
"""

import csv
import io
import os
from pathlib import Path

import pandas as pd

from kit.competition.audio_files import find_audio, is_audio
from kit.competition.groups import group_column, group_notes
from kit.competition.listing import CompetitionError, Listing, Problems
from kit.competition.names import told

MARKER = "train.csv"


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
    taken = (id_column, label_column)
    group = group_column(list(train.columns), taken)
    notes = group_notes(train, "train.csv", group, taken)
    # Only these: another column may have a name that means something here, such as id or fault.
    used = {id_column: "id", label_column: "label"} | ({group: "group"} if group else {})
    train = train[list(used)].rename(columns=used)
    train["path"], _ = _find(train["id"], "train", "train.csv", listing, problems)
    test = pd.DataFrame({"id": sample[id_column]})
    test["path"], test["fault"] = _find(test["id"], "test", "sample_submission.csv", listing, problems)
    _check_values(train, label_column, group, problems)
    _check_shared(train, test, problems)
    problems.raise_if_any()
    return {
        "layout": "table",
        "features": "wave",
        "n_mels": None,
        "train": _placed(train, "train.csv"),
        "test": (test := _placed(test, "sample_submission.csv")),
        "classes": tuple(sorted(train["label"].unique())),
        "id_column": id_column,
        "label_columns": (label_column,),
        "cluster": "group" if group else None,
        "notes": (*notes, *_unnamed(listing, train, test), *fault_notes(test)),
    }


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV with every field as text, so that `00000001` and `NA` stay what they are, by the line a row starts on.

    Raises CompetitionError: missing, a link out, not UTF-8, ragged, without rows, a column named twice.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(path.parent)):
        raise CompetitionError(f"{path}: the link leaves the competition's folder")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CompetitionError(f"{path}: no such file on disk") from None
    except OSError as error:
        raise CompetitionError(f"{path}: must be a file that can be read ({error.strerror})") from None
    rows = _csv_rows(content, path)
    if len(rows) < 2:
        raise CompetitionError(f"{path}: must have a header and at least one row")
    (first, header), *rows = rows
    if len(set(header)) < len(header):
        raise CompetitionError(f"{path}: line {first}: a column is named twice: {', '.join(header)}")
    for line, row in rows:
        if len(row) != len(header):
            raise CompetitionError(f"{path}: line {line}: must have {len(header)} fields, got {len(row)}")
    return pd.DataFrame([row for _, row in rows], columns=header, index=[line for line, _ in rows], dtype=object)


def _csv_rows(content: bytes, path: Path) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line that it starts on."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CompetitionError(f"{path}: line {line}: not a UTF-8 CSV ({error.reason})") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise CompetitionError(f"{path}: line {line}: not a UTF-8 CSV (a NUL byte)")
    reader, rows, line = csv.reader(io.StringIO(text, newline=""), strict=True), [], 1
    try:
        for row in reader:
            if row:
                rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise CompetitionError(f"{path}: line {line}: not a UTF-8 CSV ({error})") from None
    return rows


def _placed(table: pd.DataFrame, file: str) -> pd.DataFrame:
    where = [f"{file}: line {line}" for line in table.index]
    return table.assign(audio=table["path"], where=where).reset_index(drop=True)


def fault_notes(test: pd.DataFrame) -> list[str]:
    """A note for each test row that can't be used."""
    return [
        f"{row.where} ({row.id}): {row.fault}; it will be given the class priors"
        for row in test[test["fault"] != ""].itertuples()
    ]


def _find(ids: pd.Series, folder: str, table: str, listing: Listing, problems: Problems) -> tuple[list[str], list[str]]:
    """Each id's path, and what is wrong with its file where that costs its row alone: in the test part, if not all."""
    paths, faults, seen = [], [], {}
    for line, name in ids.items():
        path, rule = find_audio(listing, name, folder)
        before = seen.setdefault(path, line)
        forgiven = folder == "test" and not listing.path_fault(path)
        if before != line:
            spelt = f", {told(ids[before])}, spelt {told(name)}" if ids[before] != name else ""
            problems.add(f"{table}: line {line} ({name})", f"the same file as line {before}{spelt}")
        elif rule and not forgiven:
            problems.add(f"{table}: line {line} ({name})", rule)
        paths.append(path)
        faults.append(rule or "")
    if folder == "test" and all(faults):
        problems.add(table, f"no test file can be used, such as {ids.iloc[0]}: {faults[0]}")
    return paths, faults


def _check_values(train: pd.DataFrame, label_column: str, group: str | None, problems: Problems) -> None:
    for column, name in (("label", label_column), ("group", group)):
        if column in train.columns:
            for line in train.index[train[column].str.strip() == ""]:
                problems.add(f"train.csv: line {line} ({train.at[line, 'id']})", f"{name} is empty")
    if train["label"].nunique() < 2:
        problems.add(f"train.csv: {label_column}", "must have at least two classes")


def _check_shared(train: pd.DataFrame, test: pd.DataFrame, problems: Problems) -> None:
    for path in sorted(set(train["path"]) & set(test["path"])):
        problems.add("sample_submission.csv", f"{path} is also a training file")


def _unnamed(listing: Listing, train: pd.DataFrame, test: pd.DataFrame) -> tuple[str, ...]:
    notes = []
    for folder, table, name in (("train", train, "train.csv"), ("test", test, "sample_submission.csv")):
        audio = set(filter(is_audio, listing.below(folder)))
        if extra := audio - set(table["path"]):
            notes.append(f"{len(extra)} audio files in {folder}/ are not in {name}, such as {min(extra)}")
    return tuple(notes)
