"""train.csv, or 2024's train_metadata.csv: a clip a row, with the label that it was uploaded for and others beside it.

Columns primary_label, secondary_labels (a Python list), filename (in train_audio/) and author are read by their names;
the years have others too, in other orders.
"""

import pandas as pd

from kit.competition.audio_files import find_audio
from kit.competition.csv_file import read_csv
from kit.competition.headers import audio_header
from kit.competition.label_fields import label_list
from kit.competition.listing import Listing, Problems

COLUMNS = ("primary_label", "secondary_labels", "filename", "author")
FOLDER = "train_audio"
NOBODY = ("", "unknown", "nan")  # as authors
SMALL_BYTES = 16384  # a second at 128 kbit/s: only the headers of files up to this are read to find those shorter
SHORT_SECONDS = 1.0


def read_clips(listing: Listing, file: str, classes: tuple[str, ...], problems: Problems) -> pd.DataFrame:
    """Columns id, path, primary, secondary (a tuple of labels, of no class too), author, where: one row a clip.

    author is in small letters, and a clip's own file where nobody is named.
    """
    table = read_csv(listing.folder / file)
    if missing := [column for column in COLUMNS if column not in table.columns]:
        problems.add(f"{file}: line 1", f"must have the columns {', '.join(COLUMNS)}, lacks {missing[0]}")
        problems.raise_if_any()
    rows, lines, known = [], {}, set(classes)
    for line, primary, secondary, name, author in zip(table.index, *(table[column] for column in COLUMNS), strict=True):
        path, rule = _find(listing, name)
        labels = label_list(secondary)
        if primary not in known:
            rule = f"primary_label must be one of the {len(classes)} classes of sample_submission.csv, got {primary!r}"
        elif isinstance(labels, str):
            rule = f"secondary_labels {labels}"
        elif path in lines:
            rule = f"the same file as line {lines[path]}"
        if rule:
            problems.add(f"{file}: line {line} ({name})", rule)
            continue
        lines[path] = line
        author = author.strip().casefold()
        others = tuple(label for label in labels if label != primary)
        rows.append((name, path, primary, others, path if author in NOBODY else author, f"{file}: line {line}"))
    return pd.DataFrame(rows, columns=["id", "path", "primary", "secondary", "author", "where"])


def _find(listing: Listing, name: str) -> tuple[str, str | None]:
    path = f"{FOLDER}/{name}"  # as all are in a sound folder: a look at 35,549 of them takes 10 ms
    entry = listing.entries.get(path)
    return (path, None) if entry and entry.size else find_audio(listing, name, FOLDER)


def short_clips(listing: Listing, clips: pd.DataFrame, problems: Problems) -> list[str]:
    """Paths of the clips under SHORT_SECONDS; a small file that is no audio is a problem."""
    found = []
    for path, where in zip(clips["path"].tolist(), clips["where"].tolist(), strict=True):
        if listing.entries[path].size > SMALL_BYTES:
            continue
        header = audio_header(listing, path)
        if isinstance(header, str):
            problems.add(f"{where} ({path})", header)
        elif header[0] < SHORT_SECONDS:
            found.append(path)
    return found
