"""Soundscapes as rows: the windows of long recordings, but for those that are annotated.

They lie in train_soundscapes/ (2025, 2026) or unlabeled_soundscapes/ (2024).
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from kit.competition.audio_files import is_audio
from kit.competition.headers import audio_header
from kit.competition.listing import Listing, Problems
from kit.competition.row_ids import row_id, stem_of, whole_windows

FOLDERS = ("train_soundscapes", "unlabeled_soundscapes")
CUT_SECONDS = 0.1  # that a coder or recorder may cut a file short by, as in row_ids


def soundscapes_in(listing: Listing, folders: Iterable[str], problems: Problems) -> dict[str, str]:
    """Paths by their stems, which name the rows; two files of one stem are a problem."""
    by_stem: dict[str, str] = {}
    for path in (path for folder in folders for path in listing.below(folder) if is_audio(path)):
        if (other := by_stem.setdefault(stem_of(path), path)) != path:
            problems.add(path, f"must have a name of its own, got that of {other}")
    return by_stem


def headers_of(listing: Listing, paths: Iterable[str]) -> dict[str, tuple[float, int] | str]:
    """Each file's length in seconds and sample rate, or the rule that it breaks; by threads, for files far away."""
    paths = list(paths)
    import joblib  # here, for a check of a CSV can do without it

    jobs = (joblib.delayed(audio_header)(listing, path) for path in paths)
    return dict(zip(paths, joblib.Parallel(n_jobs=8, prefer="threads")(jobs), strict=True))


def other_windows(headers: dict[str, tuple[float, int] | str], windows: pd.DataFrame) -> pd.DataFrame:
    """Columns id, path, start_seconds, end_seconds, where: what no row of `windows` reaches into.

    Files that can't be read are left out.
    """
    taken = {path: rows[["start_seconds", "end_seconds"]].to_numpy() for path, rows in windows.groupby("path")}
    rows = []
    for path, header in headers.items():
        if isinstance(header, str):
            continue
        for start, end in whole_windows(header[0]):
            if path in taken and np.any((taken[path][:, 0] < end) & (taken[path][:, 1] > start)):
                continue
            rows.append(
                (row_id(path, end), path, float(start), min(float(end), header[0]), f"{path}: {start} to {end} s")
            )
    return pd.DataFrame(rows, columns=["id", "path", "start_seconds", "end_seconds", "where"])


def window_faults(headers: dict[str, tuple[float, int] | str], windows: pd.DataFrame) -> list[tuple[str, str]]:
    """(where, rule) of each annotated window whose file can't be read, or ends before the window starts or should end.

    A window may reach past its file's end where it is no longer than most are: it is then the file's last, cut short.
    """
    faults, lengths = [], (windows["end_seconds"] - windows["start_seconds"]).astype(float)
    usual = lengths.mode().min()
    for row in windows.itertuples():
        header, where = headers[row.path], f"{row.where} ({row.path})"
        span = f"{row.start_seconds:g} to {row.end_seconds:g} s"
        if isinstance(header, str):
            faults.append((where, header))
        elif row.start_seconds >= header[0]:
            faults.append((where, f"the window must start before its file's end, {header[0]:g} s, got {span}"))
        elif row.end_seconds > header[0] + CUT_SECONDS and row.end_seconds - row.start_seconds > usual:
            rule = f"a window longer than most, {usual:g} s, must end by its file's end, {header[0]:g} s, got {span}"
            faults.append((where, rule))
    return faults
