"""Open a competition's folder as tables, whatever its layout."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from kit.competition import hw4, images, rfcx, table
from kit.competition.listing import CompetitionError, Listing

RESERVED = ("id", "fold", "label", "group")  # columns that stand beside the classes' in tables of predictions
UNWRITABLE = frozenset("\0\r")  # what no field of a submission may hold
# A folder's layout is told by a file that only this layout has.
LAYOUTS = {
    "hw4": (hw4.MARKER, hw4.read_hw4),
    "table": (table.MARKER, table.read_table),
    "rfcx": (rfcx.MARKER, rfcx.read_rfcx),
}


@dataclass(frozen=True)
class Competition:
    """A competition's data as tables; paths are relative to `folder`.

    train has columns id, path, label, where and, if known, frames, group, audio; test has the same without label
    (which only images keep) and group. `id` is what the submission's id column holds, `where` the table's file and
    row, for messages. With task "multi" a label is text as in kit.competition.labels, and test may have a column
    `fault`: why a recording is unusable.
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
    notes: tuple[str, ...] = ()  # oddities that are no errors
    boxes: pd.DataFrame | None = (
        None  # id, label, true, t_min and t_max (s), f_min and f_max (Hz) of what is known where
    )
    listing: Listing = field(repr=False, compare=False, default=None)

    def __post_init__(self):
        for name in self.classes:
            if name in RESERVED:
                raise CompetitionError(f"{self._place(name)}: no class may be named {', '.join(RESERVED)}, got {name}")
            if not name or set(name) & UNWRITABLE:
                raise CompetitionError(f"{self._place(name)}: a class's name must be writable as a CSV's, got {name!r}")

    def _place(self, name: str) -> str:
        """The folder, and the first training row of a class where it has one."""
        rows = self.train.index[self.train["label"] == name]
        return f"{self.folder}: {self.train['where'][rows[0]]}" if len(rows) else str(self.folder)

    def solution(self) -> pd.DataFrame | None:
        """Columns id, label, usage ("Public" or "Private"), where a `solution.csv` lies in the folder.

        With task "multi", the label columns as whole numbers stand in the place of label.
        """
        path = self.folder / "solution.csv"
        if not path.exists():
            return None
        wanted = [self.id_column, *self.label_columns, "Usage"]
        found = table.read_csv(path)
        if list(found.columns) != wanted:
            raise CompetitionError(f"{path}: line 1: must be {','.join(wanted)}, got {','.join(found.columns)}")
        found.columns = ["id", *(["label"] if self.task == "single" else self.label_columns), "usage"]
        for line in found.index[~found["usage"].isin(["Public", "Private"])]:
            raise CompetitionError(
                f"{path}: line {line}: Usage must be Public or Private, got {found.at[line, 'usage']!r}"
            )
        if self.task == "multi":
            found = self._as_numbers(found, path)
        return found.reset_index(drop=True)

    def _as_numbers(self, found: pd.DataFrame, path: Path) -> pd.DataFrame:
        for column in self.label_columns:
            for line in found.index[~found[column].isin(["0", "1"])]:
                raise CompetitionError(f"{path}: line {line}: {column} must be 0 or 1, got {found.at[line, column]!r}")
        return found.astype({column: int for column in self.label_columns})


def open_competition(folder: str | Path) -> Competition:
    """The competition in a folder of HW4's or RFCX's layout, or of a plain table.

    Raises CompetitionError naming each missing, duplicate, empty or misplaced item with its file and row; what is
    inside the feature and audio files is checked when they are packed.
    """
    listing = Listing(folder)
    for marker, read in LAYOUTS.values():
        if marker in listing:
            return Competition(folder=listing.folder, listing=listing, **read(listing))
    if images.find_images(listing):
        return Competition(folder=listing.folder, listing=listing, **images.read_images(listing))
    markers = ", ".join(f"{name} has {marker}" for name, (marker, _) in LAYOUTS.items())
    raise CompetitionError(f"{listing.folder}: no layout that is known here ({markers}, images a parquet file)")
