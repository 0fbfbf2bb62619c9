"""train_soundscapes_labels.csv: what is to be heard in each annotated window of a soundscape.

Columns filename, start, end (HH:MM:SS) and primary_label, labels with ; between them. Of one window there may be
several rows: it has all of their labels. A window without a row was not annotated, which is not the same as silent.
"""

import re

import pandas as pd

from kit.competition.audio_files import find_audio
from kit.competition.csv_file import read_csv
from kit.competition.label_fields import split_labels
from kit.competition.listing import Listing, Problems
from kit.competition.row_ids import row_id

FILE = "train_soundscapes_labels.csv"
COLUMNS = ("filename", "start", "end", "primary_label")
FOLDER = "train_soundscapes"
NO_WINDOWS = pd.DataFrame(columns=["id", "path", "start_seconds", "end_seconds", "present", "where", "rows"])
CLOCK = re.compile(r"(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)")


def read_soundscape_labels(listing: Listing, classes: tuple[str, ...], problems: Problems) -> pd.DataFrame:
    """Columns id, path, start_seconds, end_seconds, present (a tuple of classes), where, rows: one row a window."""
    table = read_csv(listing.folder / FILE)
    if missing := [column for column in COLUMNS if column not in table.columns]:
        problems.add(f"{FILE}: line 1", f"must have the columns {', '.join(COLUMNS)}, lacks {missing[0]}")
        return NO_WINDOWS
    paths = {name: find_audio(listing, name, FOLDER) for name in table["filename"].unique()}
    rows = []
    for line, name, start, end, labels in zip(table.index, *(table[column] for column in COLUMNS), strict=True):
        path, rule = paths[name]
        present = split_labels(labels, ";")
        if not rule and not path.startswith(f"{FOLDER}/"):
            rule = f"the file must lie in {FOLDER}/, got {path}"
        if rule := rule or _label_fault(present, classes) or _time_fault(start, end):
            problems.add(f"{FILE}: line {line} ({name})", rule)
        else:
            rows.append((path, seconds_of(start), seconds_of(end), present, f"{FILE}: line {line}"))
    rows = pd.DataFrame(rows, columns=["path", "start_seconds", "end_seconds", "present", "where"])
    return _united(rows, problems) if len(rows) else NO_WINDOWS


def _united(rows: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """One row a window, which its end names."""
    windows = rows.groupby(["path", "end_seconds"], sort=False)
    first = windows[["start_seconds", "where"]].transform("first")
    for number in rows.index[rows["start_seconds"] != first["start_seconds"]]:
        row, other = rows.loc[number], first.loc[number]
        rule = f"windows with one end must have one start, {other.start_seconds:g} s in {other['where']}"
        problems.add(f"{row['where']} ({row.path})", f"{rule}, got {row.start_seconds:g} s")
    table = windows.agg(
        start_seconds=("start_seconds", "first"),
        present=("present", lambda labels: tuple(sorted(set().union(*labels)))),
        where=("where", "first"),
        rows=("where", "size"),
    ).reset_index()
    ids = [row_id(path, end) for path, end in zip(table["path"], table["end_seconds"], strict=True)]
    return table.assign(id=ids)[NO_WINDOWS.columns]


def seconds_of(text: str) -> float:
    """Seconds of a time of the clock, 00:01:05, or of a plain number. Raises ValueError for any other text."""
    if parts := CLOCK.fullmatch(text.strip()):
        return int(parts[1]) * 3600 + int(parts[2]) * 60 + float(parts[3])
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return float(text)
    raise ValueError(f"must be a time such as 00:00:05, got {text!r}")


def _label_fault(present: tuple[str, ...] | str, classes: tuple[str, ...]) -> str | None:
    if isinstance(present, str):
        return f"primary_label {present}"
    if foreign := [label for label in present if label not in classes]:
        return f"primary_label must list the {len(classes)} classes of sample_submission.csv, got {foreign[0]!r}"
    return None


def _time_fault(start: str, end: str) -> str | None:
    times = []
    for column, text in (("start", start), ("end", end)):
        try:
            times.append(seconds_of(text))
        except ValueError as error:
            return f"{column} {error}"
    return None if times[0] < times[1] else f"end must be after start ({start}), got {end}"
