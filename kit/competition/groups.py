"""Which column of a table groups the rows that folds must keep together, and which others look as if they should."""

import re

import pandas as pd

from kit.competition.names import told

GROUPS = ("group", "speaker", "recording", "session", "author", "site")  # rows of one group share a fold
# Words in a column's name that stand for a source of several rows, beside those above.
SOURCES = frozenset(
    (
        *GROUPS, "recordist", "recorder", "patient", "subject", "person", "user", "participant", "client", "singer",
        "artist", "performer", "individual", "animal", "location", "place", "room", "station", "device", "microphone",
        "mic", "collector", "observer", "contributor", "uploader", "source", "parent", "original", "album", "family",
        "household", "cluster", "plot", "nest", "event", "talker", "reader", "child",
    )
)  # fmt: skip


def group_column(columns: list[str], taken: tuple[str, ...]) -> str | None:
    """The first of GROUPS that the table has, but for its columns of files and labels."""
    return next((name for name in GROUPS if name in columns and name not in taken), None)


def group_notes(table: pd.DataFrame, file: str, group: str | None, taken: tuple[str, ...]) -> list[str]:
    """What groups the folds, and each column left unused that repeats and bears the name of a source."""
    if group:
        notes = [f"folds: rows of {file} with the same {group} stay together ({table[group].nunique()} of them)"]
    else:
        notes = [f"folds: rows are taken one by one, for {file} has no column {', '.join(GROUPS)}"]
    for name in table.columns:
        count = table[name].nunique()
        if name not in (group, *taken) and 1 < count < len(table) and SOURCES & set(_words(name)):
            notes.append(
                f"{file}: column {told(name)} is not used, though its {count} values repeat over {len(table)} rows as "
                f"those of a group do: name it {group or GROUPS[0]} to keep its rows in one fold"
            )
    return notes


def _words(name: str) -> list[str]:
    """speaker_id, SpeakerID, "Speaker 1": all hold the word speaker; so do plurals."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return [form for word in words for form in (word.lower(), word.lower().removesuffix("s"))]
