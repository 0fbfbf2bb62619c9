"""Faults sown into valid submissions of every size and kind, none of which passes; and the valid ones, which all do."""

import gzip
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from kit.competition.competition import Competition
from kit.results.check import SubmissionError, check_content

NAMES = ("anna", "NA", "nan", "00000007", "7", "1e5", "True", "ünal", "猫", "a b", "a,b", 'the "third"', "two\nlines")
FORMS = ("{:.3f}", "{:.6f}", "{:.9g}", "{:.17g}", "{:e}", "{:.2E}", "+{:.4f}", "{!r}")


@dataclass
class Valid:
    """A submission as its rows, and how they are written."""

    competition: Competition
    header: list[str]
    rows: list[list[str]]
    end: str
    all_quoted: bool
    last_end: bool

    def lines(self):
        return [",".join(map(self.quoted, row)) for row in [self.header, *self.rows]]

    def quoted(self, field):
        return '"' + field.replace('"', '""') + '"' if self.all_quoted or set(field) & set(',"\n') else field

    def content(self, lines=None):
        return (self.end.join(lines or self.lines()) + self.end * self.last_end).encode()

    def line(self, row):
        """The line that a row, counted from 0, starts on."""
        return 2 + row + sum(field.count("\n") for before in self.rows[:row] for field in before)


def valid(seed, folder, form=None, least=1):
    """A competition and a submission for it: sizes, classes, orders, quotes, line ends, notations by the seed."""
    rng = np.random.default_rng(seed)
    form = form or str(rng.choice(["label", "lists", "probabilities"]))
    several = form == "probabilities"
    n_rows, n_classes = int(rng.integers(least, 60)), int(rng.integers(2, 1 + len(NAMES)))
    suffix = str(rng.choice([".pt", ".wav", "", "-ü"]))
    ids = [f"uttr-{number:0{rng.integers(1, 9)}d}{suffix}" for number in rng.permutation(10 * n_rows)[:n_rows]]
    ids = list(dict.fromkeys(ids))
    names = [name for name in NAMES if form == "label" or not set(name) & set(" \n")]
    classes = (
        tuple(f"s{number}" for number in range(n_classes)) if several else tuple(rng.permutation(names)[:n_classes])
    )
    classes = tuple(map(str, classes))
    id_column, label = ("recording_id", "s0") if several else (str(rng.choice(["Id", "file"])), "Category")
    folder.mkdir(parents=True)
    competition = Competition(
        folder=folder, layout="table", features="wave", n_mels=None, classes=classes, cluster=None,
        train=pd.DataFrame({"id": [], "label": [], "where": []}), test=pd.DataFrame({"id": ids}),
        id_column=id_column, label_columns=classes if several else (label,),
        task="single" if form == "label" else "multi", nothing="nocall" if form == "lists" else "",
    )  # fmt: skip
    header = [id_column, *competition.label_columns]
    if rng.integers(2):  # a sample in an order of its own
        sample = [header, *([name, *["0"] * (len(header) - 1)] for name in rng.permutation(ids))]
        (folder / "sample_submission.csv").write_text("\n".join(map(",".join, sample)) + "\n")
    draw = {"label": _labels, "lists": _lists, "probabilities": _probabilities}[form]
    fields = draw(rng, len(ids), classes)
    rows = [[name, *row] for name, row in zip(ids, fields, strict=True)]
    rows = [rows[number] for number in rng.permutation(len(rows))]
    end, all_quoted, last_end = str(rng.choice(["\n", "\r\n"])), bool(rng.integers(2)), bool(rng.integers(2))
    return Valid(competition, header, rows, end, all_quoted, last_end)


def _labels(rng, n_rows, classes):
    """At least two of them where there are two rows."""
    drawn = [classes[number] for number in rng.integers(len(classes), size=n_rows)]
    return [[name] for name in [*classes[: min(2, n_rows)], *drawn[2:]]]


def _lists(rng, n_rows, classes):
    """Of none of the classes up to all, in any order; at least two of them where there are two rows."""
    names = np.array(classes, dtype=object)
    drawn = [" ".join(rng.permutation(names[rng.random(len(names)) < 0.3])) or "nocall" for _ in range(n_rows)]
    return [[text] for text in ["nocall", classes[0]][: min(2, n_rows)] + drawn[2:]]


def _probabilities(rng, n_rows, classes):
    """Of every size down to 1e-30, 0 and 1 among them, in every notation."""
    values = rng.random((n_rows, len(classes))) ** rng.choice([1, 3, 100])
    values[:1], values[1:2] = 0.0, 1.0
    return [[str(rng.choice(FORMS)).format(float(value)) for value in row] for row in values]


@pytest.mark.parametrize("seed", range(200))
def test_no_valid_file_is_refused(seed, tmp_path):
    file = valid(seed, tmp_path / "data")
    found = check_content(file.content(), tmp_path / "x.csv", file.competition)
    assert list(found.columns) == file.header and found.to_numpy().tolist() == file.rows


def test_the_valid_files_differ(tmp_path):
    """In size, classes, task, line ends, quotes and samples, so that the two hundred are no copies of one."""
    files = [valid(seed, tmp_path / str(seed)) for seed in range(80)]
    assert len({len(file.rows) for file in files}) > 25 and min(len(file.rows) for file in files) == 1
    assert len({file.competition.classes for file in files}) > 40
    kinds = {(f.competition.form, f.end, f.all_quoted, f.last_end, any(f.competition.folder.iterdir())) for f in files}
    assert len(kinds) > 36  # of 48


# A fault takes a generator and a valid file of two rows or more, and gives the bytes, and the line that is to blame.


def in_row(change):
    """One row's fields changed; nothing is quoted that need not be."""

    def sow(rng, file):
        row = int(rng.integers(len(file.rows)))
        file.rows[row] = change(rng, file, list(file.rows[row]))
        return file.content(), file.line(row)

    return sow


def in_line(change):
    """One row's text changed."""

    def sow(rng, file):
        row, lines = int(rng.integers(len(file.rows))), file.lines()
        lines[1 + row] = change(lines[1 + row])
        return file.content(lines), file.line(row)

    return sow


def in_header(change):
    def sow(rng, file):
        return file.content([",".join(map(file.quoted, change(list(file.header)))), *file.lines()[1:]]), 1

    return sow


def an_id(change):
    return in_row(lambda rng, file, row: [change(row[0]), *row[1:]])


def a_value(change):
    """One field but the id's."""

    def put(rng, file, row):
        place = int(rng.integers(1, len(row)))
        return [*row[:place], change(row[place]), *row[place + 1 :]]

    return in_row(put)


def a_repeated_id(rng, file):
    one, other = sorted(rng.permutation(len(file.rows))[:2].tolist())
    file.rows[other][0] = file.rows[one][0]
    return file.content(), file.line(other)


def a_repeated_row(rng, file):
    file.rows.append(file.rows[int(rng.integers(len(file.rows)))])
    return file.content(), file.line(len(file.rows) - 1)


def a_row_missing(rng, file):
    lines = file.lines()
    del lines[1 + int(rng.integers(len(file.rows)))]
    return file.content(lines), None


def a_blank_line(rng, file):
    row, lines = int(rng.integers(len(file.rows))), file.lines()
    return file.content([*lines[: 1 + row], "", *lines[1 + row :]]), file.line(row)


def cut_in_an_id(rng, file):
    lines = file.lines()
    lines[-1] = lines[-1].replace('"', "")[:4]
    return file.content(lines), file.line(len(file.rows) - 1)


def twice_over(rng, file):
    lines = file.lines()
    return file.content([*lines, *lines]), file.line(len(file.rows) - 1) + 1 + file.rows[-1][1].count("\n")


def whole(change, line):
    return lambda rng, file: (change(file.content()), line)


FAULTS = {
    "an unknown id": an_id(lambda name: f"x{name}"),
    "an id in capitals": an_id(str.upper),
    "an id cut short": an_id(lambda name: name[:4]),
    "a space before an id": an_id(lambda name: f" {name}"),
    "a space after an id": an_id(lambda name: f"{name}\u00a0"),
    "no id": an_id(lambda name: ""),
    "an id twice": a_repeated_id,
    "a row twice": a_repeated_row,
    "a row missing": a_row_missing,
    "no value": a_value(lambda field: ""),
    "a value that is none": a_value(lambda field: "none of them"),
    "a space before a value": a_value(lambda field: f" {field}"),
    "a space after a value": a_value(lambda field: f"{field}\t"),
    "a NUL in a value": a_value(lambda field: f"{field}\0"),
    "a field too many": in_row(lambda rng, file, row: [*row, row[-1]]),
    "a field too few": in_row(lambda rng, file, row: row[:-1]),
    "text after a quote": in_line(lambda line: f'"u"x{line}'),
    "semicolons in one row": in_row(lambda rng, file, row: [";".join(row)]),
    "a blank line": a_blank_line,
    "a conflict of git": in_line(lambda line: f"<<<<<<< HEAD\n{line}"),
    "a CR alone": in_line(lambda line: f"\r{line}"),
    "a byte that is no UTF-8": lambda rng, file: (file.content() + b"\xff", None),
    "cut in an id": cut_in_an_id,
    "a quote that never closes": lambda rng, file: (file.content() + b'"', None),
    "no header": lambda rng, file: (file.content(file.lines()[1:]), 1),
    "the header twice": lambda rng, file: (file.content([file.lines()[0], *file.lines()]), 2),
    "a header in capitals": in_header(lambda names: [name.upper() + "S" for name in names]),
    "columns the other way": in_header(lambda names: names[::-1]),
    "a column named twice": in_header(lambda names: [*names, names[-1]]),
    "a column without a name": in_header(lambda names: ["", *names]),
    "a header cut short": in_header(lambda names: names[:-1]),
    "an index column": lambda rng, file: (file.content([f"{n},{line}" for n, line in enumerate(file.lines())]), 1),
    "an extra column": lambda rng, file: (file.content([f"{line},1" for line in file.lines()]), 1),
    "spaces in the header": in_header(lambda names: [f"{name} " for name in names]),
    "the file twice over": twice_over,
    "the header alone": lambda rng, file: (file.content(file.lines()[:1]), None),
    "nothing": whole(lambda content: b"", None),
    "a byte order mark": whole(lambda content: b"\xef\xbb\xbf" + content, 1),
    "UTF-16": whole(lambda content: content.decode().encode("utf-16-le"), None),
    "compressed": whole(lambda content: gzip.compress(content, mtime=0), 1),
}
SINGLE_FAULTS = {
    "the number of a class": a_value(lambda field: "99"),
    "a class in quotes": a_value(lambda field: f"'{field}'"),
    "two classes": a_value(lambda field: f"{field} {field}"),
}
LISTS_FAULTS = {
    "two spaces between names": a_value(lambda field: f"{field}  {field}"),
    "a name twice": a_value(lambda field: f"{'7e7' if field == 'nocall' else field} {field}"),
    "a name and no call": a_value(lambda field: f"{field} nocall"),
    "commas between names": a_value(lambda field: f"{field},x y"),
    "a Python list": a_value(lambda field: f"['{field}']"),
    "no call in capitals": a_value(lambda field: "NOCALL"),
}
PROBABILITY_FAULTS = {
    "NaN": a_value(lambda field: "nan"),
    "inf": a_value(lambda field: "inf"),
    "above 1": a_value(lambda field: "1.000001"),
    "below 0": a_value(lambda field: "-1e-9"),
    "per cent": a_value(lambda field: "50%"),
    "a decimal comma": a_value(lambda field: "0,5"),
    "underscores": a_value(lambda field: "0.1_0"),
    "other digits": a_value(lambda field: "٠.٥"),
    "a list": a_value(lambda field: "[0.5]"),
}


def sow_and_check(kind, seed, folder, form):
    rng, file = np.random.default_rng(seed), valid(seed, folder, form, least=3)
    sow = {**FAULTS, **OF_A_FORM[form]}[kind]
    path = folder / "x.csv"
    check_content(file.content(), path, file.competition)  # it was valid
    content, line = sow(rng, file)
    with pytest.raises(SubmissionError) as caught:
        check_content(content, path, file.competition)
    assert str(caught.value).startswith(str(path)) and "must" in str(caught.value)
    if line is not None:
        assert caught.value.row == line, str(caught.value)


OF_A_FORM = {"label": SINGLE_FAULTS, "lists": LISTS_FAULTS, "probabilities": PROBABILITY_FAULTS}
KINDS = [(kind, form) for form, faults in OF_A_FORM.items() for kind in {**FAULTS, **faults}]


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 60), marks=pytest.mark.nightly)], ids=["", "long"])
@pytest.mark.parametrize(("kind", "form"), KINDS)
def test_no_fault_passes(kind, form, seeds, tmp_path):
    for seed in seeds:
        sow_and_check(kind, seed, tmp_path / str(seed), form)
