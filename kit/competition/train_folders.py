"""Training rows without a table: every audio file that lies in a folder, whose name is its label."""

from pathlib import PurePosixPath

import pandas as pd

from kit.competition.audio_files import PART, is_audio, part_of
from kit.competition.listing import Listing, Problems

BETWEEN = ("audio", "data", "wav", "wavs")  # folders that hold those of the classes


def read_train_folders(listing: Listing, problems: Problems) -> pd.DataFrame:
    """Columns id, path, labels (a tuple of one name) and where (the path). Audio of the test part is none of them."""
    rows = []
    for path in filter(is_audio, listing.entries):
        if part_of(path) == "test":
            continue
        label = PurePosixPath(path).parent.name
        if not label or PART.match(label) or label in BETWEEN:
            problems.add(path, f"must lie in a folder named by its label, for there is no train.csv, got {label!r}")
        elif rule := listing.fault(path):
            problems.add(path, rule)
        rows.append((path, path, (label,), path))
    return pd.DataFrame(rows, columns=["id", "path", "labels", "where"])
