"""Training rows from a table: which column names the audio and which the labels, and what each row's fields say.

The columns that sample_submission.csv names are taken where the table has them. Where it has not, the audio is named by
the column whose fields are names of files, and the labels stand in the column whose fields are made of the classes'
names; where the classes are not known yet, in the one that names the folders of the audio, or in one of LABELS.
"""

import pandas as pd

from kit.competition.audio_files import find_in_any_folder
from kit.competition.csv_file import read_csv
from kit.competition.groups import group_column, group_notes
from kit.competition.label_fields import FORMS, label_form, split_labels
from kit.competition.listing import Listing, Problems
from kit.competition.names import told
from kit.competition.sample import SAMPLE, Sample

LABELS = ("label", "labels", "primary_label", "class", "category", "target", "species", "tags")
SECONDARY = "secondary_labels"  # heard beside the labels, by name or as the column primary_label spells them
FLAGS = {"1": True, "1.0": True, "True": True, "0": False, "0.0": False, "False": False}
LOOKED_AT = 200  # rows, to tell what a column holds
LOOKED_AT_FOR_FILES = 50
MOST = 0.9  # of those, where all are meant


def read_train_table(
    listing: Listing, file: str, sample: Sample, joined_by: str | None, problems: Problems
) -> tuple[pd.DataFrame, list[str]]:
    """Columns id, path, labels and beside (tuples of names), where and, if known, group; and what was taken for what.

    file is train.csv, or train_curated.csv of several, whose audio is looked for in a folder of its name first.
    Raises CompetitionError where a column is missing; adds to `problems` what is wrong with rows.
    """
    table = read_csv(listing.folder / file)
    folder = file.removesuffix(".csv")
    path_column = file_column(listing, table, sample.id_column, folder)
    columns, missing = _label_columns(listing, table, path_column, sample, folder)
    if path_column is None or (missing and sample.id_column not in table):
        problems.add(file, f"has no column {sample.id_column!r}, which {SAMPLE} names, and none that names audio files")
    if missing:
        problems.add(file, missing)
    problems.raise_if_any()
    assert path_column is not None, "a problem that has just been raised"
    rows = pd.DataFrame({"id": table.get(sample.id_column, table[path_column])})
    rows["path"] = _paths(listing, table, path_column, folder, file, problems)
    rows["where"] = [f"{file}: line {line}" for line in table.index]
    notes = []
    if len(columns) > 1:
        rows["labels"] = _flagged(table, columns, rows["id"], file, problems)
    else:
        form = joined_by or label_form(table[columns[0]], sample.classes)
        rows["labels"] = _split(table, columns[0], form, rows["id"], file, problems)
        if form != "one" or columns[0] not in sample.columns:
            notes.append(f"{file}: labels are read from column {told(columns[0])}, as {FORMS[form]}")
    rows["beside"] = _secondary(table, columns, rows, file, problems)
    taken = (sample.id_column, path_column, *columns)
    if group := group_column(list(table.columns), taken):
        rows["group"] = table[group]
        for line in table.index[table[group].str.strip() == ""]:
            problems.add(f"{file}: line {line} ({rows.at[line, 'id']})", f"{group} is empty")
    return rows, [*notes, *group_notes(table, file, group, taken)]


def file_column(listing: Listing, table: pd.DataFrame, first: str, folder: str) -> str | None:
    """The column whose fields name audio files: `first` if it names any, or else that with the most, if most do."""
    if first in table and _share_of_files(listing, table[first], folder):
        return first
    shares = {column: _share_of_files(listing, table[column], folder) for column in table.columns}
    best = max(shares, key=shares.get)
    return best if shares[best] >= MOST else (first if first in table else None)


def _paths(listing: Listing, table: pd.DataFrame, column: str, folder: str, file: str, problems: Problems) -> list[str]:
    """A row whose file can't be used is a problem."""
    paths = []
    for line, name, row in zip(table.index, table[column], table.to_numpy(), strict=True):
        path, rule = find_in_any_folder(listing, name, folder, row)
        if rule:
            problems.add(f"{file}: line {line} ({name})", rule)
        paths.append(path)
    return paths


def _share_of_files(listing: Listing, names: pd.Series, folder: str) -> float:
    names = names.iloc[:LOOKED_AT_FOR_FILES]
    return sum(find_in_any_folder(listing, name, folder)[0] in listing for name in names if name.strip()) / len(names)


def _label_columns(
    listing: Listing, table: pd.DataFrame, path_column: str | None, sample: Sample, folder: str
) -> tuple[tuple[str, ...], str | None]:
    """The column of labels or those of the classes, and what to say where there is none."""
    others = [column for column in table.columns if column not in (path_column, sample.id_column)]
    if sample.classes is None:
        (wanted,) = sample.columns
        named = _folder_columns(listing, table, others, path_column, folder)
        known = [column for column in (wanted, *named, *LABELS) if column in others]
        rule = f"has no column {wanted!r}, which {SAMPLE} names, and none of {', '.join(LABELS)}"
        return (known[0],) if known else (), None if known else rule
    there = [name for name in sample.classes if name in others]
    if len(there) == len(sample.classes):
        return sample.classes, None
    if 2 * len(there) > len(sample.classes):
        lacks = next(name for name in sample.classes if name not in there)
        return (), f"has no column {lacks!r}, a class of {SAMPLE}, though it has those of {len(there)} others"
    shares = {column: _share_of_labels(table[column], sample.classes) for column in others}
    best = max(shares, key=lambda column: (shares[column], column in LABELS), default=None)
    if best is None or not shares[best]:
        return (), f"has no column of labels: none holds classes of {SAMPLE}, such as {told(sample.classes[0])}"
    return (best,), None


def _folder_columns(
    listing: Listing, table: pd.DataFrame, columns: list[str], path_column: str | None, folder: str
) -> list[str]:
    """The columns whose fields are the folders of the rows' audio, as where each class has a folder."""
    if path_column is None:
        return []
    head = table.iloc[:LOOKED_AT]
    rows = zip(head[path_column], head.to_numpy(), strict=True)
    folders = [find_in_any_folder(listing, name, folder, row)[0].split("/")[:-1] for name, row in rows]

    def share(column: str) -> float:
        named = [(name, parts) for name, parts in zip(head[column], folders, strict=True) if name.strip()]
        return sum(name in parts for name, parts in named) / max(1, len(named))

    return [column for column in columns if head[column].nunique() > 1 and share(column) >= MOST]


def _share_of_labels(fields: pd.Series, classes: tuple[str, ...]) -> float:
    """Of the first rows, how many name a class."""
    fields, known = fields.iloc[:LOOKED_AT], set(classes)
    form = label_form(fields, classes)
    return sum(not known.isdisjoint(split_labels(field, form)) for field in fields) / len(fields)


def _split(
    table: pd.DataFrame, column: str, form: str, ids: pd.Series, file: str, problems: Problems
) -> list[tuple[str, ...]]:
    rows = []
    for line, field in table[column].items():
        names = split_labels(field, form)
        if isinstance(names, str) or (form == "one" and not names):
            rule = f"{column} {names}" if isinstance(names, str) else f"{column} is empty"
            problems.add(f"{file}: line {line} ({ids[line]})", rule)
            names = ()
        rows.append(names)
    return rows


def _flagged(
    table: pd.DataFrame, classes: tuple[str, ...], ids: pd.Series, file: str, problems: Problems
) -> list[tuple[str, ...]]:
    """The classes whose column says 1."""
    flags = pd.DataFrame({name: table[name].str.strip().map(FLAGS) for name in classes})
    for name in classes:
        for line in flags.index[flags[name].isna()]:
            problems.add(f"{file}: line {line} ({ids[line]})", f"{name} must be 0 or 1, got {table.at[line, name]!r}")
    there = flags.eq(True).to_numpy()
    return [tuple(name for name, flag in zip(classes, row, strict=True) if flag) for row in there]


def _secondary(
    table: pd.DataFrame, columns: tuple[str, ...], rows: pd.DataFrame, file: str, problems: Problems
) -> list[tuple[str, ...]]:
    """Labels heard beside a row's own, as the label column spells them where primary_label is another spelling."""
    if SECONDARY not in table or SECONDARY in columns:
        return [()] * len(table)
    form = label_form(table[SECONDARY])
    secondary = _split(table, SECONDARY, "list" if form == "one" else form, rows["id"], file, problems)
    if "primary_label" not in table or "primary_label" in columns:
        return secondary
    spelt = {text: labels[0] for text, labels in zip(table["primary_label"], rows["labels"], strict=True) if labels}
    return [tuple(spelt.get(name, name) for name in names) for names in secondary]
