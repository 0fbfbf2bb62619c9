"""A window of a soundscape as BirdCLEF's rows name it: the file without its suffix, "_", the second it ends on.

`soundscape_1446779_15` is 10 to 15 s of `soundscape_1446779.ogg`. File names hold underscores of their own, as many as
the year likes, so that the second is what follows the last of them.
"""

import re

WINDOW_SECONDS = 5
ROW_ID = re.compile(r"(.+)_([1-9][0-9]{0,5})")
PLACE = re.compile(r"(?:.*_)?([A-Za-z0-9]+)_\d{8}_(\d{2})\d{4}Z?")


def row_id(path: str, end_seconds: float) -> str:
    """A window's id: its file's stem and the second that it ends at."""
    return f"{stem_of(path)}_{end_seconds:g}"


def stem_of(path: str) -> str:
    """As PurePosixPath's, which takes 20 µs: three seconds for the 127,896 windows of 2026.

    >>> stem_of("train_soundscapes/H02_20230420_112000.ogg"), stem_of("460830")
    ('H02_20230420_112000', '460830')
    """
    return path.rpartition("/")[2].rpartition(".")[0] or path.rpartition("/")[2]


def split_row_id(text: str) -> tuple[str, int]:
    """A file's stem and the second on which a window of it ends. Raises ValueError where the text is no row id."""
    if not (parts := ROW_ID.fullmatch(text)):
        raise ValueError(f"row_id must be a file's name, _ and the whole second that a window ends on, got {text!r}")
    return parts[1], int(parts[2])


def window_start(end_seconds: int) -> int:
    """Windows start every WINDOW_SECONDS; the last of a file may be shorter."""
    return (end_seconds - 1) // WINDOW_SECONDS * WINDOW_SECONDS


def whole_windows(seconds: float) -> list[tuple[int, int]]:
    """(start, end) of a file's windows; what is left over at its end is none, unless there is nothing else.

    A file may lack 0.1 s of its last window: coders and recorders cut a little short of the minute.
    """
    count = max(1, int((seconds + 0.1) // WINDOW_SECONDS))
    return [(number * WINDOW_SECONDS, (number + 1) * WINDOW_SECONDS) for number in range(count)]


def site_and_hour(path: str) -> tuple[str, int] | None:
    """The site and the hour (UTC) that a soundscape's name tells, or None.

    >>> site_and_hour("train_soundscapes/BC2026_Train_0001_S05_20250227_010002.ogg")  # 2026
    ('S05', 1)
    >>> site_and_hour("train_soundscapes/H02_20230420_112000.ogg")  # 2025
    ('H02', 11)
    >>> site_and_hour("unlabeled_soundscapes/460830.ogg")  # 2024
    """
    parts = PLACE.fullmatch(stem_of(path))
    return (parts[1], int(parts[2])) if parts and int(parts[2]) < 24 else None
