"""A competition's CSV as text: every field stays what it is, and each row knows the line that it starts on."""

import csv
import io
import os
from collections import Counter
from pathlib import Path

import pandas as pd

from kit.competition.listing import CompetitionError


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
    if len(header) == 1 and (other := [mark for mark in (";", "\t", "|") if mark in header[0]]):
        raise CompetitionError(f"{path}: line {first}: must have commas between its fields, got {other[0]!r}")
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise CompetitionError(
            f"{path}: line {first}: a column is named twice: {twice[0]!r} of {', '.join(header)[:200]}"
        )
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
