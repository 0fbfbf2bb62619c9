"""Test rows: files that sample_submission.csv names, or stretches of recordings that test.csv tells of its ids.

A test.csv with the sample's column of ids may name the audio in another (audio_id), and the second that a row ends on
in `seconds`; a row without one is the whole recording. All others are equally long, and the first begins at 0.
"""

import math
from collections.abc import Collection

import pandas as pd

from kit.competition.audio_files import find_in_any_folder, is_audio, part_of
from kit.competition.csv_file import read_csv
from kit.competition.listing import Listing, Problems
from kit.competition.row_checks import check_once
from kit.competition.sample import SAMPLE, Sample
from kit.competition.train_table import file_column

TABLE = "test.csv"
FILES = ("audio_id", "filename", "file", "path", "recording_id", "file_id", "fname")  # columns that may name the audio
ENDS = ("seconds", "end_seconds")
TOLERANCE = 1e-6  # of a row's length


def read_sample_rows(
    listing: Listing, sample: Sample, problems: Problems, taken: Collection[str], folder: str = "test"
) -> tuple[pd.DataFrame, list[str]]:
    """Columns id, path, where, fault and, of stretches, start_seconds and end_seconds; and what is odd about them.

    taken: the paths of training rows. folder: where the audio is looked for first. A row whose file can't be used keeps
    its fault; that none can be used is a problem, but where there is no audio that may be the test's.
    """
    ids = sample.table[sample.id_column]
    rows = pd.DataFrame({"id": ids, "file": ids, "where": [f"{SAMPLE}: line {line}" for line in ids.index]})
    if TABLE in listing and sample.id_column in (table := read_csv(listing.folder / TABLE)):
        rows = _with_table(listing, rows, table, sample.id_column, problems)
    files = [find_in_any_folder(listing, name, folder) for name in rows["file"]]
    rows["path"], rows["fault"] = [path for path, _ in files], [rule or "" for _, rule in files]
    keys = [column for column in ("path", "end_seconds") if column in rows]
    # A whole recording ends on no second.
    check_once(rows.fillna({"end_seconds": 0.0}), keys, "file" if len(keys) == 1 else "stretch", problems)
    for row in rows[rows["fault"] != ""].itertuples():
        if rule := listing.path_fault(row.path):
            problems.add(f"{row.where} ({row.id})", rule)
    return rows.drop(columns="file").reset_index(drop=True), _absent(listing, rows, taken, problems)


def _with_table(
    listing: Listing, rows: pd.DataFrame, table: pd.DataFrame, id_column: str, problems: Problems
) -> pd.DataFrame:
    """Rows of the sample with what test.csv says of them."""
    check_once(rows, ["id"], "id", problems)
    lines = {}
    for line, name in table[id_column].items():
        if lines.setdefault(name, line) != line:
            problems.add(
                f"{TABLE}: line {line}", f"{id_column} must be there once, got {name!r} as in line {lines[name]}"
            )
    for row in rows[~rows["id"].isin(lines)].itertuples():
        problems.add(f"{row.where} ({row.id})", f"{TABLE} has no such {id_column}")
    for name in sorted(set(lines) - set(rows["id"]), key=lines.get):
        problems.add(f"{TABLE}: line {lines[name]} ({name})", f"{SAMPLE} has no such {id_column}")
    problems.raise_if_any()
    ends = next((column for column in ENDS if column in table), None)
    file = file_column(listing, table.drop(columns=id_column), "", "test") if len(table.columns) > 1 else None
    file = file or next((column for column in FILES if column in table), id_column)
    table = table.loc[[lines[name] for name in rows["id"]]]
    rows = rows.assign(file=table[file].to_numpy(), where=[f"{TABLE}: line {line}" for line in table.index])
    if ends is None:
        return rows
    seconds = _seconds(table[ends], problems)
    starts = _starts(table[file], seconds, problems)
    return rows.assign(start_seconds=starts.to_numpy(), end_seconds=seconds.to_numpy())


def _seconds(fields: pd.Series, problems: Problems) -> pd.Series:
    """As numbers, NaN where a field is empty."""
    seconds = pd.to_numeric(fields.where(fields.str.strip() != ""), errors="coerce")
    for line in fields.index[(fields.str.strip() != "") & ~((seconds > 0) & (seconds < math.inf))]:
        problems.add(f"{TABLE}: line {line}", f"{fields.name} must be a number above 0 or empty, got {fields[line]!r}")
    return seconds.astype(float)


def _starts(files: pd.Series, seconds: pd.Series, problems: Problems) -> pd.Series:
    """Where the rows start that end on these seconds: the length of all is the least step from one end to the next."""
    steps = [
        step
        for _, ends in seconds.dropna().groupby(files)
        for step in ends.sort_values().diff().fillna(ends.min())
        if step > 0
    ]
    length = min(steps, default=math.nan)
    count = seconds / length
    for line in seconds.index[(count - count.round()).abs() > TOLERANCE]:
        rule = f"{seconds.name} must be a multiple of a row's {length:g} seconds, got {seconds[line]:g}"
        problems.add(f"{TABLE}: line {line}", rule)
    return seconds - length


def _absent(listing: Listing, rows: pd.DataFrame, taken: Collection[str], problems: Problems) -> list[str]:
    """A note where no row has audio and none is there; a problem where there is some.

    Of stretches, whose file names are not known before, only audio in a folder of the test may be theirs.
    """
    if not (rows["fault"] != "").all():
        return []
    audio = set(filter(is_audio, listing.entries)) - set(taken)
    if not any(part_of(path) == "test" or "start_seconds" not in rows for path in audio):
        return [
            f"there is no audio of the test, so that all {len(rows)} rows of {SAMPLE} will be given the class priors; "
            "Kaggle may put it there when it runs a notebook again"
        ]
    first = rows.iloc[0]
    problems.add(SAMPLE, f"no test file can be used, such as {first['file']}: {first['fault']}")
    return []
