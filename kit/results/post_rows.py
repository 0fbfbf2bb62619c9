"""What post-processing sees of predictions: their probabilities, and where in which recording each row is.

That is what a competition's tables say: a row's file, the second its stretch begins, and the site and the hour where
the file's name tells them (kit.competition.row_ids).
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.competition.row_ids import site_and_hour
from kit.training.runs import class_columns


@dataclass(frozen=True)
class Rows:
    """Rows of a table of predictions, each array (N,) but for probability (N, C), of `classes`."""

    classes: tuple[str, ...]
    id: np.ndarray
    probability: np.ndarray
    file: np.ndarray
    second: np.ndarray  # where the row's stretch of its file begins; NaN where it is the whole
    site: np.ndarray  # text, "" where it is not known
    hour: np.ndarray  # 0 to 23, NaN where it is not known
    length_seconds: np.ndarray  # of the row's stretch; NaN where it is the whole file

    def __len__(self) -> int:
        return len(self.id)

    def take(self, which: np.ndarray) -> "Rows":
        """Those of a mask (N,), or at some places."""
        return replace(self, **{name: value[which] for name, value in vars(self).items() if name != "classes"})

    def but(self, probability: np.ndarray) -> "Rows":
        return replace(self, probability=probability)

    @property
    def windows(self) -> np.ndarray:
        """Which rows (N,) are stretches of a file."""
        return np.isfinite(self.second)


def rows_of(table: pd.DataFrame, competition: Competition) -> Rows:
    """A table's rows, of the training or the test part. Raises ValueError where one is in neither."""
    known = pd.concat([competition.train, competition.test], ignore_index=True)
    known = known.drop_duplicates("id").set_index("id").reindex(table["id"])
    if known["path"].isna().any():
        odd = table["id"].iloc[int(known["path"].isna().to_numpy().argmax())]
        raise ValueError(f"ids must be those of {competition.folder}, got {odd!r}")
    paths = known["path"].astype(str)
    told = paths.map({path: site_and_hour(path) or ("", np.nan) for path in paths.unique()})
    columns = ["start_seconds", "end_seconds"]
    if columns[0] not in known:
        known[columns] = np.nan
    start, end = known[columns].to_numpy(dtype=float).T
    return Rows(
        classes=tuple(class_columns(table)),
        id=table["id"].to_numpy(),
        probability=table[class_columns(table)].to_numpy(dtype=float),
        file=paths.to_numpy(dtype=object),
        second=start,
        site=np.array([site for site, _ in told], dtype=object),
        hour=np.array([hour for _, hour in told], dtype=float),
        length_seconds=end - start,
    )
