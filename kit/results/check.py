"""Is a submission CSV fit to send? Checked as text, line by line, against the competition's test table.

Stricter than a leaderboard: what that would refuse, or take and score near 0, is an error here. That a file says the
same of every row may be right where the test part is small; it is an error only where chance can't explain it.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from kit.competition.competition import Competition
from kit.competition.csv_file import read_csv
from kit.competition.listing import CompetitionError
from kit.competition.rerun_rows import FORM_ROWS

BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SEPARATORS = (";", "\t", "|", ", ")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")  # float() also takes nan, 1_0 and spaces
CHANCE = 1e-3  # of test parts, in fewer of which right answers would be the same in every row
ALIKE = 10  # rows of probabilities or lists: two silent recordings may get the same, so many do not
SHOWN = 80  # characters of a wrong value in a message


class SubmissionError(ValueError):
    """A file that should not be sent. row is a line from 1, a bad row's the one it starts on; None where none is."""

    def __init__(self, file: Path, rule: str, value: object, row: int | None = None, column: str | None = None):
        self.file, self.rule, self.value, self.row, self.column = file, rule, value, row, column
        where = f"{file}" + ("" if row is None else f", row {row}") + ("" if column is None else f", column {column}")
        shown = repr(value[:SHOWN]) if column is not None and isinstance(value, str) else value
        super().__init__(f"{where}: {rule}, got {shown}")


def check_submission(path: str | Path, competition: Competition) -> pd.DataFrame:
    """The file's table, every field as text, if it is fit to send. Raises SubmissionError if not."""
    table = read_submission(path, competition)
    if dead := dead_column(table, competition):
        raise SubmissionError(Path(path), "must not say the same in every row", dead[1], None, dead[0])
    return table


def read_submission(path: str | Path, competition: Competition) -> pd.DataFrame:
    """The file's table, every field as text, if it has the right form, whatever it says. Raises SubmissionError."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SubmissionError(path, "must be a file that can be read", error.strerror) from None
    return check_content(content, path, competition)


def check_content(content: bytes, path: Path, competition: Competition) -> pd.DataFrame:
    """As read_submission, for bytes that are, or will be, the file at `path`."""
    wanted = [competition.id_column, *competition.label_columns]
    header, lines, rows = _parsed(_text(content, path), path)
    _check_header(header, wanted, path)
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(wanted):
            raise SubmissionError(path, f"must have {len(wanted)} fields", len(row), line)
    table = pd.DataFrame(rows, columns=wanted, index=lines, dtype=object)
    form = competition.form
    for column in wanted:
        if form != "lists" or column == competition.id_column or competition.nothing:
            _raise_first(table[column] == "", table, column, path, "must not be empty")
    _check_ids(table, competition, path)
    {"label": _check_labels, "lists": _check_lists, "probabilities": _check_probabilities}[form](
        table, competition, path
    )
    return table.reset_index(drop=True)


def dead_column(table: pd.DataFrame, competition: Competition) -> tuple[str, object] | None:
    """The first column, and its value, that says the same of every row where no working model would; else None.

    Of N rows with one label, right answers are all the same by a chance of the sum over classes of share^N, by their
    shares of the training rows. Test rows that can't be used are given the priors, all the same, and do not count.
    """
    if len(competition.classes) < 2:
        return None
    if "fault" in competition.test:
        faulty = competition.test["id"][competition.test["fault"] != ""]
        table = table[~table[competition.id_column].isin(faulty)]
    form = competition.form
    if form == "label":
        (column,) = competition.label_columns
        shares = competition.train["label"].value_counts(normalize=True)
        dead = table[column].nunique() == 1 and (shares ** len(table)).sum() < CHANCE
        return (column, table[column].iloc[0]) if dead else None
    if len(table) < ALIKE:
        return None
    columns = table[list(competition.label_columns)]
    columns = columns.astype(float) if form == "probabilities" else columns
    alike = [column for column in columns if columns[column].nunique() == 1]
    return (alike[0], columns[alike[0]].iloc[0]) if alike else None


def expected_ids(competition: Competition) -> list[str]:
    """The ids that a submission must hold, in the order of sample_submission.csv where there is one.

    Raises CompetitionError where the sample and the test table disagree.
    """
    ids, sample = list(competition.test["id"]), competition.folder / "sample_submission.csv"
    if not sample.exists():
        return ids
    table = read_csv(sample)
    wanted = [competition.id_column, *competition.label_columns]
    if list(table.columns) != wanted:
        raise CompetitionError(f"{sample}: line 1: must be {','.join(wanted)}, got {','.join(table.columns)}")
    listed = list(table[competition.id_column])
    if competition.layout == "birdclef" and len(listed) <= FORM_ROWS:
        return ids  # its sample shows the form alone
    if fault := id_fault(listed, ids):
        raise CompetitionError(f"{sample}: {fault}")
    return listed


def id_fault(ids: Iterable[str], wanted: list[str]) -> str | None:
    """What keeps `ids` from being the wanted ids, each once, in any order; None where nothing does."""
    counts, n_found = Counter(wanted), 0
    for name in ids:
        counts[name] -= 1
        n_found += 1
    odd = [f"{name!r} {'missing' if n > 0 else 'too many'}" for name, n in counts.items() if n]
    return f"must hold each of {len(wanted)} test ids once, got {n_found} rows, {odd[0]}" if odd else None


def _text(content: bytes, path: Path) -> str:
    if not content.strip():
        raise SubmissionError(path, "must not be empty", f"{len(content)} bytes")
    if content.startswith(BYTE_ORDER_MARKS):
        raise SubmissionError(path, "must be UTF-8 without a byte order mark", content[:3].hex(" "), 1)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SubmissionError(path, "must be UTF-8 text", f"byte {content[error.start]:#04x}", line) from None
    lone = text.replace("\r\n", "  ").find("\r")
    if lone >= 0:
        raise SubmissionError(path, "lines must end in LF or CRLF", "a CR alone", text.count("\n", 0, lone) + 1)
    return text


def _parsed(text: str, path: Path) -> tuple[list[str], list[int], list[list[str]]]:
    """Header, the line that each row starts on, and the rows."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines, rows, line, has_nul = [], [], 1, "\0" in text
    try:
        for row in reader:
            if has_nul and any("\0" in field for field in row):
                raise SubmissionError(path, "must be text", "a NUL byte", line)
            lines.append(line)
            rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise SubmissionError(path, "must be a CSV", str(error), line) from None
    return rows[0], lines[1:], rows[1:]


def _check_header(header: list[str], wanted: list[str], path: Path) -> None:
    if header == wanted:
        return
    text = ",".join(header)
    for separator in SEPARATORS:
        if text.split(separator) == wanted:
            raise SubmissionError(path, "fields must be separated by a comma alone", repr(separator), 1)
    for column in wanted:
        if header.count(column) != 1:
            raise SubmissionError(path, f"header must name {column} once", text, 1, column)
    for column in header:
        if column not in wanted:
            raise SubmissionError(
                path, f"header must have no columns but {','.join(wanted)[:SHOWN]}", column, 1, column
            )
    raise SubmissionError(path, f"columns must be in the order {','.join(wanted)[:SHOWN]}", text, 1)


def _check_ids(table: pd.DataFrame, competition: Competition, path: Path) -> None:
    column, wanted = competition.id_column, expected_ids(competition)
    ids = table[column]
    unknown = ~ids.isin(wanted)
    _raise_first(unknown & ids.str.strip().isin(wanted), table, column, path, "must have no spaces around the id")
    _raise_first(unknown, table, column, path, "must be an id of the test set")
    _raise_first(ids.duplicated(), table, column, path, "must hold each id once")
    if len(table) < len(wanted):
        missing = sorted(set(wanted) - set(ids))
        rule = f"must have a row for each of {len(wanted)} test ids ({len(missing)} missing, such as {missing[0]!r})"
        raise SubmissionError(path, rule, len(table), None, column)


def _check_labels(table: pd.DataFrame, competition: Competition, path: Path) -> None:
    (column,) = competition.label_columns
    labels = table[column]
    _raise_first(~labels.isin(competition.classes), table, column, path, "must be one of the classes")


def _check_lists(table: pd.DataFrame, competition: Competition, path: Path) -> None:
    (column,) = competition.label_columns
    fields, nothing = table[column], competition.nothing
    lists = fields.mask(fields == nothing, "").map(lambda field: field.split(" ") if field else [])
    spaced = lists.map(lambda names: "" in names)
    _raise_first(spaced, table, column, path, "must be names with one space between two")
    unknown = lists.map(lambda names: not set(names) <= set(competition.classes))
    hint = f", or {nothing} alone" if nothing else ""
    _raise_first(unknown, table, column, path, f"must be names of classes with one space between two{hint}")
    _raise_first(lists.map(lambda names: len(set(names)) < len(names)), table, column, path, "must name a class once")


def _check_probabilities(table: pd.DataFrame, competition: Competition, path: Path) -> None:
    for column in competition.label_columns:
        fields = table[column]
        _raise_first(~fields.map(lambda field: bool(NUMBER.fullmatch(field))), table, column, path, "must be a number")
        values = fields.astype(float)
        _raise_first(~values.between(0, 1), table, column, path, "must be a probability in [0, 1]")


def _raise_first(bad: pd.Series, table: pd.DataFrame, column: str, path: Path, rule: str) -> None:
    if bad.any():
        line = bad.idxmax()
        raise SubmissionError(path, rule, table.at[line, column], int(line), column)
