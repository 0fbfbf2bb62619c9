"""What sample_submission.csv asks for: its first column holds the test's ids, the others are classes or the label."""

from collections.abc import Collection
from dataclasses import dataclass, field

import pandas as pd

from kit.competition.csv_file import read_csv
from kit.competition.listing import CompetitionError, Listing

SAMPLE = "sample_submission.csv"
NOTHING = ("nocall", "no_call", "none", "nothing")  # words by which a sample says that a row has no label


@dataclass(frozen=True)
class Sample:
    """table: every field as text, by line. Two columns or more after the ids are classes, a single one is the label."""

    table: pd.DataFrame = field(repr=False)

    @property
    def id_column(self) -> str:
        return self.table.columns[0]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.columns[1:])

    @property
    def classes(self) -> tuple[str, ...] | None:
        """None where a single column holds the label."""
        return self.columns if len(self.columns) > 1 else None

    def nothing(self, taught: Collection[str]) -> str:
        """The word for no label in the column of labels; "" where there is none, or where it is one of those taught.

        A column of that word alone says so even of a word that is taught.
        """
        words = set(self.table.iloc[:, 1]) if self.classes is None else set()
        odd = words & set(NOTHING) - (set(taught) if len(words) > 1 else set())
        return odd.pop() if len(odd) == 1 else ""


def read_sample(listing: Listing) -> Sample:
    """Raises CompetitionError where the file has a single column, or where a class's column holds no number."""
    path = listing.folder / SAMPLE
    sample = Sample(read_csv(path))
    if not sample.columns:
        raise CompetitionError(
            f"{path}: must have two columns, of ids and labels, or a column a class, got {sample.id_column}"
        )
    for name in sample.classes or ():
        numbers = pd.to_numeric(sample.table[name], errors="coerce")
        for line in numbers.index[numbers.isna()]:
            value = sample.table[name][line]
            raise CompetitionError(f"{path}: line {line}: {name} must be a number, as of a class, got {value!r}")
    return sample
