"""The rows that BirdCLEF asks for: the windows of test_soundscapes/, which is filled when the notebook runs again.

Before that the folder holds no audio, and the sample is three rows to show their form. Then the sample is full, or so
it was; a sample of three rows beside audio, or one that names none of the files, is taken for the form alone, and the
rows are made from the files.
"""

from collections import Counter

import pandas as pd

from kit.competition.listing import Listing, Problems
from kit.competition.row_ids import row_id, split_row_id, whole_windows, window_start
from kit.competition.soundscapes import headers_of, soundscapes_in

FOLDER = "test_soundscapes"
SAMPLE = "sample_submission.csv"
FORM_ROWS = 3  # of a sample that shows the form
COLUMNS = ["id", "path", "start_seconds", "end_seconds", "where", "fault"]


def read_test(listing: Listing, sample: pd.DataFrame, problems: Problems) -> tuple[pd.DataFrame, list[str]]:
    """Rows of the test with the columns above, and what is odd about them. `sample` is by line, row_id first."""
    asked = _asked(sample, problems)
    paths = soundscapes_in(listing, [FOLDER], problems)
    problems.raise_if_any()
    headers = headers_of(listing, paths.values())
    rows = _rows_of_files(headers)
    foreign = len(asked) > FORM_ROWS and not asked["stem"].isin(list(paths)).any()
    if paths and (len(asked) <= FORM_ROWS or foreign):
        test, notes = rows, []
        if foreign:
            notes = [
                f"{SAMPLE}: none of its {len(asked)} rows names a file of {FOLDER}/, such as {asked['id'].iloc[0]}; "
                f"the {len(rows)} rows are those of its {len(paths)} files"
            ]
    else:
        test = _rows_of_sample(asked, paths, headers)
        extra = sorted(set(rows["id"]) - set(test["id"]))
        notes = [f"{SAMPLE}: {len(extra)} windows of {FOLDER}/ are not asked for, such as {extra[0]}"] if extra else []
    return test, [*notes, *_fault_notes(test, bool(paths))]


def _asked(sample: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Columns id, stem, end_seconds, where."""
    rows, lines = [], {}
    for line, name in sample["row_id"].items():
        try:
            stem, end = split_row_id(name)
        except ValueError as error:
            problems.add(f"{SAMPLE}: line {line}", str(error))
            continue
        if lines.setdefault(name, line) != line:
            problems.add(f"{SAMPLE}: line {line}", f"row_id must be there once, got {name!r} as in line {lines[name]}")
        rows.append((name, stem, end, f"{SAMPLE}: line {line}"))
    return pd.DataFrame(rows, columns=["id", "stem", "end_seconds", "where"])


def _rows_of_files(headers: dict[str, tuple[float, int] | str]) -> pd.DataFrame:
    """A file that can't be read has as many windows as most others, or a minute's."""
    counts = Counter(len(whole_windows(header[0])) for header in headers.values() if not isinstance(header, str))
    usual = 5.0 * counts.most_common(1)[0][0] if counts else 60.0
    rows = []
    for path, header in headers.items():
        seconds, fault = (usual, header) if isinstance(header, str) else (header[0], "")
        for start, end in whole_windows(seconds):
            where = f"{path}: {start} to {end} s"
            rows.append((row_id(path, end), path, float(start), min(float(end), seconds), where, fault))
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows_of_sample(asked: pd.DataFrame, paths: dict[str, str], headers: dict) -> pd.DataFrame:
    rows = []
    for row in asked.itertuples():
        path, start, end = paths.get(row.stem), float(window_start(row.end_seconds)), float(row.end_seconds)
        if path is None:
            path = f"{FOLDER}/{row.stem}.ogg"
            fault = f"no such file on disk: looked for {path}"
        elif isinstance(headers[path], str):
            fault = headers[path]
        elif start >= headers[path][0]:
            fault = f"the window must start before its file's end, {headers[path][0]:g} s, got {start:g} to {end:g} s"
        else:
            fault, end = "", min(end, headers[path][0])
        rows.append((row.id, path, start, end, row.where, fault))
    return pd.DataFrame(rows, columns=COLUMNS)


def _fault_notes(test: pd.DataFrame, audio: bool) -> list[str]:
    """One for each file that costs its rows, or one for all where there is no audio yet."""
    if not audio:
        return [
            f"{FOLDER}/ holds no audio, so that all {len(test)} rows of {SAMPLE} will be given the class priors; "
            "Kaggle fills it when it runs a notebook again"
        ]
    faulty = test[test["fault"] != ""]
    return [
        f"{rows['where'].iloc[0]} ({path}): {fault}; {told(len(rows))} will be given the class priors"
        for (path, fault), rows in faulty.groupby(["path", "fault"], sort=False)
    ]


def told(n_rows: int) -> str:
    return "its row" if n_rows == 1 else f"its {n_rows} rows"
