"""What is odd about a BirdCLEF folder and no error: counted, with examples."""

from collections.abc import Sequence

import pandas as pd

from kit.competition.clip_labels import SHORT_SECONDS
from kit.competition.soundscape_labels import FILE as LABELS

SHOWN = 5  # names in a note


def group_notes(train: pd.DataFrame, groups: str) -> list[str]:
    """What stays together in a fold, by the reader's choice of groups."""
    what = {
        "author": "clips of one author, and windows of one soundscape,",
        "recording": "windows of one soundscape",
        "site": "clips of one author, and soundscapes of one site,",
    }
    return [f"folds: {what[groups]} stay together ({train['group'].nunique():,} groups of {len(train):,} rows)"]


def class_notes(clips: pd.DataFrame, windows: pd.DataFrame, classes: tuple[str, ...]) -> list[str]:
    """Classes of which there is no clip, and those of which there is nothing at all."""
    heard = {name for present in windows["present"] for name in present}
    primary = set(clips["primary"])
    silent = [name for name in classes if name not in primary]
    notes = []
    if labelled := [name for name in silent if name in heard]:
        notes.append(f"{_counted(labelled, 'class')} without a clip, in labelled soundscapes only: {_shown(labelled)}")
    if unheard := [name for name in silent if name not in heard]:
        notes.append(f"{_counted(unheard, 'class')} without a clip or a labelled window: {_shown(unheard)}")
    return notes


def clip_notes(clips: pd.DataFrame, short: Sequence[str], classes: tuple[str, ...]) -> list[str]:
    """Clips too short to hold a call, and secondary labels that are no class here."""
    others = clips["secondary"].explode().dropna()
    foreign = others[~others.isin(classes)]
    notes = []
    if len(short):
        notes.append(f"{_counted(short, 'clip')} shorter than {SHORT_SECONDS:g} s: {_shown(short)}")
    if len(foreign):
        names = sorted(foreign.unique())
        notes.append(f"{_counted(foreign, 'secondary label')} of no class here, left out: {_shown(names)}")
    return notes


def window_notes(windows: pd.DataFrame, others: pd.DataFrame) -> list[str]:
    """Rows of labels that name a window again, and windows of labelled soundscapes that have no row."""
    notes = []
    if again := int((windows["rows"] - 1).sum()):
        total = int(windows["rows"].sum())
        notes.append(f"{LABELS}: {again:,} of {total:,} rows name a window again, whose labels are united")
    bare = others[others["path"].isin(windows["path"])]
    if len(bare):
        paths = list(bare["path"].unique())
        notes.append(
            f"{LABELS}: {len(bare):,} windows of {_counted(paths, 'soundscape')} have no row, and are taken as "
            f"unlabelled, not as silent: {_shown(paths)}"
        )
    return notes


def soundscape_notes(headers: dict[str, tuple[float, int] | str]) -> list[str]:
    """Soundscapes without labels that can't be read; headers as headers_of gives them."""
    bad = [path for path, header in headers.items() if isinstance(header, str)]
    if not bad:
        return []
    return [f"{_counted(bad, 'unlabelled soundscape')} left out: {_shown(f'{path}: {headers[path]}' for path in bad)}"]


def _counted(items: Sequence, name: str) -> str:
    plural = f"{name}es" if name.endswith("s") else f"{name}s"
    return f"{len(items):,} {name if len(items) == 1 else plural}"


def _shown(names) -> str:
    names = list(names)
    return ", ".join(names[:SHOWN]) + (" and more" if len(names) > SHOWN else "")
