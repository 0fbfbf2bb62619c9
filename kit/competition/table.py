"""A table of any usual form: training rows in `train.csv`, or by folders; test rows in `sample_submission.csv`.

    sample.py         the sample's first column holds the test's ids, the others are classes or the label
    train_table.py    `train.csv`, or several such as `train_curated.csv` and `train_noisy.csv`
    train_folders.py  no table: a label is the name of the folder that a file lies in
    test_table.py     test rows, where there is a `test.csv` by what it says of their ids

The audio may lie in any folder. A row has one label, or a list of them, or a column a class. What is wrong with a
training file is an error. A test file that can't be used is kept, with its fault: it costs its own row alone.
"""

import re

import pandas as pd

from kit.competition.audio_files import is_audio
from kit.competition.counted import with_counts
from kit.competition.label_fields import FORMS
from kit.competition.labels import known_text
from kit.competition.listing import CompetitionError, Listing, Problems
from kit.competition.names import told
from kit.competition.row_checks import check_once, check_shared, fault_notes, unnamed_notes
from kit.competition.sample import SAMPLE, Sample, read_sample
from kit.competition.sample_rows import read_sample_rows
from kit.competition.train_folders import read_train_folders
from kit.competition.train_table import read_train_table

MARKER = ("train.csv", "train_curated.csv", SAMPLE)
TABLES = re.compile(r"train([_-][^/]+)?\.csv")
SHOWN = 5  # names in a note


def read_table(listing: Listing, joined_by: str | None = None) -> dict | None:
    """The fields of a Competition, or None where the folder holds no audio and no training table.

    joined_by: the form of the labels, a key of label_fields.FORMS; None tells it from the table.
    Raises CompetitionError naming every bad row.
    """
    if joined_by not in (None, *FORMS):
        raise ValueError(f"joined_by must be None or one of {', '.join(map(repr, FORMS))}, got {joined_by!r}")
    files = _tables(listing)
    if not files and not any(map(is_audio, listing.entries)):
        return None
    sample, problems = read_sample(listing), Problems(listing.folder)
    train, notes = _train(listing, files, sample, joined_by, problems)
    test, test_notes = read_sample_rows(listing, sample, problems, train["path"])
    check_shared(train, test, problems)
    taught = set().union(*train["labels"])
    nothing = sample.nothing(taught)
    classes = sample.classes or tuple(sorted(taught - {nothing}))
    if len(classes) < 2:
        problems.add(f"{files[0]}: {sample.columns[0]}" if files else "folders", "must have at least two classes")
    problems.raise_if_any()
    used = [*train["path"], *test["path"]]
    train, class_notes = _of_classes(listing, train, classes, nothing)
    if "source" in train:
        train, counted_notes = with_counts(train, "curated", "curated rows")
        class_notes += counted_notes
    several = bool(nothing) or (train["labels"].map(len) != 1).any()
    metric, why = _metric(train, several, sample)
    if several and sample.classes is None:
        _check_joinable(listing, classes, sample)
    return {
        "layout": "table",
        "features": "wave",
        "n_mels": None,
        "train": _labelled(train, several),
        "test": test.assign(audio=test["path"]),
        "classes": classes,
        "id_column": sample.id_column,
        "label_columns": sample.columns,
        "cluster": "group" if "group" in train else None,
        "task": "multi" if several else "single",
        "metric": metric,
        "nothing": nothing,
        "notes": (
            *notes, *class_notes, *why, *unnamed_notes(listing, used, " or ".join(files) or "any row", SAMPLE),
            *(test_notes or fault_notes(test)),
        ),
    }  # fmt: skip


def _tables(listing: Listing) -> list[str]:
    """train.csv, or all tables named as parts of one; none where folders are all there is."""
    if "train.csv" not in listing and (listing.folder / "train.csv").is_symlink():
        raise CompetitionError(f"{listing.folder}/train.csv: {listing.fault('train.csv')}")
    tables = sorted(path for path in listing.entries if TABLES.fullmatch(path))
    return ["train.csv"] if "train.csv" in tables else tables


def _train(
    listing: Listing, files: list[str], sample: Sample, joined_by: str | None, problems: Problems
) -> tuple[pd.DataFrame, list[str]]:
    """Columns id, path, labels, beside, where and, if known, group and source."""
    if not files:
        train = read_train_folders(listing, problems)
        return train, ["labels are the names of the folders, for there is no train.csv"]
    parts, notes = [], []
    for file in files:
        rows, told_of = read_train_table(listing, file, sample, joined_by, problems)
        if len(files) > 1:
            rows["source"] = file.removeprefix("train").removesuffix(".csv").strip("_-")
        parts.append(rows)
        notes += told_of
    train = pd.concat(parts, ignore_index=True)
    if "group" in train and train["group"].isna().any():
        train = train.drop(columns="group")
        notes.append(f"folds: groups are not used, for not all of {', '.join(files)} have them")
    check_once(train, ["path"], "file", problems)
    check_once(train.drop_duplicates("path"), ["id"], "id", problems)
    return train, notes


def _of_classes(
    listing: Listing, train: pd.DataFrame, classes: tuple[str, ...], nothing: str
) -> tuple[pd.DataFrame, list[str]]:
    """The rows with the labels that are classes, and notes of labels that are none and of classes without a row.

    Where every row has one label, a row whose label is no class is left out; it teaches nothing that is asked for.
    """
    known, single = set(classes), (train["labels"].map(len) == 1).all() and not nothing
    others: dict[str, list[str]] = {}
    for labels, where in zip(train["labels"], train["where"], strict=True):
        for name in set(labels) - known - {nothing}:
            others.setdefault(name, []).append(where)
    notes = [
        f"label {told(name)} is no class of {SAMPLE} and is left out: {len(rows)} rows, the first {rows[0]}"
        for name, rows in list(others.items())[:SHOWN]
    ]
    if len(others) > SHOWN:
        notes.append(f"… and {len(others) - SHOWN} more labels that are no class of {SAMPLE}")
    train = train.assign(labels=[tuple(name for name in names if name in known) for names in train["labels"]])
    train = train[train["labels"].map(len) == 1] if single else train
    if train["labels"].map(len).sum() == 0:
        raise CompetitionError(f"{listing.folder}: no training row has a class of {SAMPLE}, such as {told(classes[0])}")
    if unseen := sorted(known - set().union(*train["labels"])):
        names = ", ".join(map(told, unseen[:SHOWN])) + (", …" if len(unseen) > SHOWN else "")
        notes.append(f"{len(unseen)} of {len(classes)} classes have no training row: {names}")
    return train.reset_index(drop=True), notes


def _labelled(train: pd.DataFrame, several: bool) -> pd.DataFrame:
    """With label and audio; of several labels, those beside are unknown and all others absent."""
    if several:
        classes = set().union(*train["labels"])
        beside = train.get("beside", pd.Series([()] * len(train)))
        labels = [
            known_text(names, unknown=[name for name in also if name in classes], rest_absent=True)
            for names, also in zip(train["labels"], beside, strict=True)
        ]
    else:
        labels = [name for (name,) in train["labels"]]
    train = train.drop(columns=["labels", "beside"], errors="ignore")
    return train.assign(label=labels, audio=train["path"])


def _metric(train: pd.DataFrame, several: bool, sample: Sample) -> tuple[str, list[str]]:
    """The metric that stands until another is given, and why."""
    other = "open_competition(…, metric=…) takes another"
    if not several:
        why = [] if sample.classes is None else [f"metric: accuracy, for every row has one label; {other}"]
        return "accuracy", why
    if sample.classes is None:
        return "f1_rows", [f"metric: f1_rows, for {SAMPLE} takes lists of labels; {other}"]
    if (train["labels"].map(len) > 0).all():
        return "lwlrap", [
            f"metric: lwlrap, for {SAMPLE} takes probabilities and every row has a label to rank; {other}"
        ]
    return "roc_auc", [
        f"metric: roc_auc, for {SAMPLE} takes probabilities and lwlrap leaves out rows without label; {other}"
    ]


def _check_joinable(listing: Listing, classes: tuple[str, ...], sample: Sample) -> None:
    """Spaces join names in a submission."""
    for name in classes:
        if name.split() != [name]:
            raise CompetitionError(
                f"{listing.folder}/{SAMPLE}: {sample.columns[0]} lists labels with spaces between them, so that a "
                f"class's name can hold none, got {told(name)}"
            )
