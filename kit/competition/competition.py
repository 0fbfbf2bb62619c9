"""Open a competition's folder as tables, whatever its layout."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from kit.competition import images
from kit.competition.csv_file import read_csv
from kit.competition.folds import rare_notes
from kit.competition.listing import CompetitionError, Listing
from kit.competition.metrics import as_metric
from kit.competition.names import near_equal, told

RESERVED = ("id", "fold", "label", "group", "counts")  # columns that stand beside the classes' in tables of predictions
FEATURES = ("mel", "wave", "image")
UNWRITABLE = frozenset("\0\r")  # what no field of a submission may hold


def _layouts() -> dict[str, tuple[tuple[str, ...], Callable[[Listing], dict]]]:
    """Markers and reader by layout: each module beside this one with a MARKER, a file, or several, that only its
    folders have.

    The plain table comes last, for folders of other layouts may have a train.csv as well.
    """
    home = Path(__file__).parent
    names = [path.stem for path in home.glob("*.py") if "\nMARKER = " in path.read_text(encoding="utf-8")]
    modules = {
        name: import_module(f"kit.competition.{name}") for name in sorted(names, key=lambda n: (n == "table", n))
    }
    markers = {name: (m.MARKER,) if isinstance(m.MARKER, str) else m.MARKER for name, m in modules.items()}
    return {name: (markers[name], getattr(module, f"read_{name}")) for name, module in modules.items()}


LAYOUTS = _layouts()


@dataclass(frozen=True)
class Competition:
    """A competition's data as tables; paths are relative to `folder`.

    train has columns id, path, label, where and, if known, frames, group, audio, source; test has the same without
    label (which only images keep), group and source. `id` is what the submission's id column holds, `where` the
    table's file and row, for messages, `source` what sort of recording it is. With start_seconds and end_seconds a row
    is that stretch of its file, or where both are NaN the whole. test may have a column `fault`: why a row is
    unusable, or "". train may have a column `counts`: False for rows that are trained on but not scored, for their sort
    is not the test part's. With task "multi" a label is text as in kit.competition.labels.
    A submission has a column of probabilities a class, where there are several label_columns; in a single one the
    class's name, or with task "multi" names in a row, or `nothing` where there are none.
    """

    folder: Path
    layout: str
    features: str  # what the files hold: "mel" (frames, n_mels) tensors, "wave" audio, or "image" pixels
    n_mels: int | None  # of the files, where they hold log-mels
    train: pd.DataFrame
    test: pd.DataFrame
    classes: tuple[str, ...]  # a class's place is its number
    id_column: str
    label_columns: tuple[str, ...]
    cluster: str | None  # the column of rows that are not independent: what a bootstrap resamples
    task: str = "single"  # or "multi": several labels a row, some unknown
    metric: str = "accuracy"
    nothing: str = ""  # a submission's word for no label
    notes: tuple[str, ...] = ()  # oddities that are no errors
    boxes: pd.DataFrame | None = (
        None  # id, label, true, t_min and t_max (s), f_min and f_max (Hz) of what is known where
    )
    unlabelled: pd.DataFrame | None = None  # as train, without label: rows to predict that no submission asks for
    listing: Listing = field(repr=False, compare=False, default=None)  # pyrefly: ignore[bad-assignment]

    def __post_init__(self):
        for name in self.classes:
            if name in RESERVED:
                raise CompetitionError(f"{self._place(name)}: no class may be named {', '.join(RESERVED)}, got {name}")
            if not name or set(name) & UNWRITABLE:
                raise CompetitionError(f"{self._place(name)}: a class's name must be writable as a CSV's, got {name!r}")

    @property
    def form(self) -> str:
        """What a row of a submission holds: "probabilities" of all classes, a "label", or several as "lists"."""
        if len(self.label_columns) > 1:
            return "probabilities"
        return "label" if self.task == "single" else "lists"

    def _place(self, name: str) -> str:
        """The folder, and the first training row of a class where it has one."""
        rows = self.train.index[self.train["label"] == name]
        return f"{self.folder}: {self.train['where'][rows[0]]}" if len(rows) else str(self.folder)

    def solution(self) -> pd.DataFrame | None:
        """Columns id, label, usage ("Public" or "Private"), where a `solution.csv` lies in the folder.

        Several label columns stand, as whole numbers, in the place of label.
        """
        path = self.folder / "solution.csv"
        if not path.exists():
            return None
        wanted = [self.id_column, *self.label_columns, "Usage"]
        table = read_csv(path)
        if list(table.columns) != wanted:
            raise CompetitionError(f"{path}: line 1: must be {','.join(wanted)}, got {','.join(table.columns)}")
        table.columns = ["id", *(["label"] if len(self.label_columns) == 1 else self.label_columns), "usage"]
        for line in table.index[~table["usage"].isin(["Public", "Private"])]:
            raise CompetitionError(
                f"{path}: line {line}: Usage must be Public or Private, got {table.at[line, 'usage']!r}"
            )
        if len(self.label_columns) > 1:
            table = self._as_numbers(table, path)
        return table.reset_index(drop=True)

    def _as_numbers(self, table: pd.DataFrame, path: Path) -> pd.DataFrame:
        for column in self.label_columns:
            for line in table.index[~table[column].isin(["0", "1"])]:
                raise CompetitionError(f"{path}: line {line}: {column} must be 0 or 1, got {table.at[line, column]!r}")
        return table.astype({column: int for column in self.label_columns})


def open_competition(
    folder: str | Path, layout: Callable[[Listing], Any] | None = None, metric: str | None = None
) -> Competition:
    """The competition in a folder of a layout that the kit reads, or of a plain table.

    layout: a reader of one's own, or one of the kit's with other choices, which is asked first: a function (listing)
    that gives the fields of a Competition as a dict, but for folder and listing, or None where the folder is not its
    own. metric: a name of METRICS in the place of the layout's own.
    Raises CompetitionError naming each missing, duplicate, empty or misplaced item with its file and row; what is
    inside the feature and audio files is checked when they are packed.
    """
    listing = Listing(folder)
    given = {} if metric is None else {"metric": as_metric(metric).name}
    return _opened(listing, {**_read(listing, layout), **given})


def _read(listing: Listing, layout: Callable[[Listing], Any] | None) -> dict:
    """The fields of a Competition, by the first layout whose folder it is."""
    if layout is not None and (given := layout(listing)) is not None:
        return _checked_fields(given, getattr(layout, "__name__", type(layout).__name__))
    for name, (markers, read) in LAYOUTS.items():
        if any(marker in listing for marker in markers) and (given := read(listing)) is not None:
            return _checked_fields(given, name)
        for marker in markers:
            if (listing.folder / marker).is_symlink():
                raise CompetitionError(f"{listing.folder}/{marker}: {listing.fault(marker)}")
    if images.find_images(listing):
        return images.read_images(listing)
    told = ", ".join(f"{name} has {' or '.join(markers)}" for name, (markers, _) in LAYOUTS.items())
    raise CompetitionError(f"{listing.folder}: no layout that is known here ({told}, images a parquet file)")


def _checked_fields(given: Any, name: str) -> dict:
    """What a layout of one's own gave. Raises CompetitionError naming it and what is missing, unknown or misshaped."""
    if not isinstance(given, dict):
        raise CompetitionError(f"layout {name}: must give a dict of a Competition's fields, got {type(given).__name__}")
    known = {item.name: item for item in fields(Competition) if item.name not in ("folder", "listing")}
    given = {"layout": name, "n_mels": None, "cluster": None, **given}
    missing = [key for key, item in known.items() if item.default is MISSING and key not in given]
    if odd := [*missing, *(key for key in given if key not in known)]:
        raise CompetitionError(f"layout {name}: must give the fields {', '.join(known)}; look at {', '.join(odd)}")
    if given["features"] not in FEATURES:
        raise CompetitionError(
            f"layout {name}: features must be one of {', '.join(FEATURES)}, got {given['features']!r}"
        )
    sizes = ("frames",) if given["features"] == "mel" else ()
    if sizes and not isinstance(given["n_mels"], int):
        raise CompetitionError(f"layout {name}: n_mels must be given where features are mel, got {given['n_mels']!r}")
    parts = {"train": ("id", "path", "label", "where", *sizes), "test": ("id", "path", "where", *sizes)}
    parts |= {"unlabelled": parts["test"]} if given.get("unlabelled") is not None else {}
    for part, needed in parts.items():
        lacks = [column for column in needed if column not in given[part]]
        if lacks:
            raise CompetitionError(f"layout {name}: {part} must have the columns {', '.join(needed)}, lacks {lacks[0]}")
    given["test"] = _with_fault(given["test"])
    for part in parts:
        _check_stretches(given[part], f"layout {name}: {part}")
    return given


def _with_fault(test: pd.DataFrame) -> pd.DataFrame:
    return test if "fault" in test else test.assign(fault="")


def _check_stretches(table: pd.DataFrame, what: str) -> None:
    """Raises CompetitionError where start_seconds and end_seconds are not of a stretch that there can be."""
    columns = ["start_seconds", "end_seconds"]
    if not set(columns) & set(table):
        return
    if missing := set(columns) - set(table):
        raise CompetitionError(f"{what} must have both start_seconds and end_seconds, lacks {missing.pop()}")
    times = table[columns].astype(float)
    whole = times.isna().all(axis=1)
    bad = table.index[~whole & ~((times["start_seconds"] >= 0) & (times["end_seconds"] > times["start_seconds"]))]
    if len(bad):
        start, end = times.loc[bad[0]]
        raise CompetitionError(
            f"{what}: {table['where'][bad[0]]}: end_seconds must be above start_seconds, which must be at least 0, "
            f"got {start:g} to {end:g}"
        )


def _opened(listing: Listing, fields: dict) -> Competition:
    """The competition, with what can be told of any layout's classes and folds among its notes."""
    train, notes = fields["train"], list(fields.get("notes", ()))
    if not any(note.startswith("folds: ") for note in notes):
        notes.append("folds: rows are taken one by one, for this layout names no groups")
    single = fields.get("task", "single") == "single"
    counts = train["label"].value_counts() if single else {}
    for group in near_equal(fields["classes"]):
        rows = [f"{told(name)} ({counts.get(name, 0)} rows)" if single else told(name) for name in group]
        notes.append(f"labels that look alike are {len(group)} classes: {', '.join(rows)}")
    notes += rare_notes(train) if single else []
    known: dict[str, Any] = {**fields, "notes": tuple(notes)}
    return Competition(folder=listing.folder, listing=listing, **known)
