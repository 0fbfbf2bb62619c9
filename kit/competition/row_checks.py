"""What the rows of a competition are to one another and to the files on disk: each its own, and none in both parts."""

from collections.abc import Collection, Sequence

import pandas as pd

from kit.competition.audio_files import is_audio, part_of
from kit.competition.listing import Listing, Problems
from kit.competition.names import told

SHOWN = 20  # notes of test rows that can't be used


def check_once(rows: pd.DataFrame, keys: Sequence[str], what: str, problems: Problems) -> None:
    """A problem for each row that has the keys of an earlier one; rows have columns id and where too."""
    first: dict[tuple, int] = {}
    for number, key in enumerate(rows[list(keys)].itertuples(index=False, name=None)):
        if (before := first.setdefault(key, number)) == number:
            continue
        row, other = rows.iloc[number], rows.iloc[before]
        spelt = f", {told(other['id'])}, spelt {told(row['id'])}" if other["id"] != row["id"] else ""
        file = f"{row['where'].partition(': ')[0]}: "
        problems.add(f"{row['where']} ({row['id']})", f"the same {what} as {other['where'].removeprefix(file)}{spelt}")


def check_shared(train: pd.DataFrame, test: pd.DataFrame, problems: Problems) -> None:
    """A file of both parts is a problem: its labels would be known at the test."""
    for path in sorted(set(train["path"]) & set(test["path"])):
        problems.add("sample_submission.csv", f"{path} is also a training file")


def unnamed_notes(listing: Listing, used: Collection[str], train: str, test: str) -> list[str]:
    """A note for each folder at the top with audio that no row has, those of the test last.

    train and test are the tables that would name it.
    """
    used, extra = set(used), {}
    for path in listing.entries:
        if is_audio(path) and path not in used and "/" in path:
            extra.setdefault(path.partition("/")[0], []).append(path)
    notes = {
        folder: f"{len(paths)} audio files in {folder}/ are not in {test if part_of(paths[0]) == 'test' else train}, "
        f"such as {min(paths)}"
        for folder, paths in extra.items()
    }
    return [notes[folder] for folder in sorted(notes, key=lambda folder: (part_of(f"{folder}/") == "test", folder))]


def fault_notes(test: pd.DataFrame) -> list[str]:
    """A note for each test row that can't be used, the first SHOWN of them."""
    faulty = test[test["fault"] != ""]
    notes = [
        f"{row.where} ({row.id}): {row.fault}; it will be given the class priors"
        for row in faulty.head(SHOWN).itertuples()
    ]
    more = [f"… and {len(faulty) - SHOWN} more rows, which will be too"] if len(faulty) > SHOWN else []
    return notes + more
