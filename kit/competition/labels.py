"""Several labels a row, some of them unknown: as text in a table's label column, and as numbers.

The text lists what is known, "s3 s17 -s5": s3 and s17 are there, s5 is not, of every other class nothing is known. As
numbers (N, C) that is 1, 0, and UNKNOWN.
"""

from collections.abc import Iterable, Sequence

import numpy as np

UNKNOWN = -1


def known_text(present: Iterable[str], absent: Iterable[str]) -> str:
    """The text of a row; a class in both is present."""
    present = list(dict.fromkeys(present))
    return " ".join([*present, *(f"-{name}" for name in dict.fromkeys(absent) if name not in present)])


def label_targets(labels: Iterable[str], classes: Sequence[str], task: str) -> np.ndarray:
    """A label column as numbers: classes' (N,), -1 for a label that is none, or with task "multi" (N, C) as above."""
    if task == "multi":
        return known_matrix(labels, classes)
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place.get(label, -1) for label in labels])


def known_matrix(texts: Iterable[str], classes: Sequence[str]) -> np.ndarray:
    """(N, C) int8 of 1, 0 and UNKNOWN. Raises ValueError naming a row and what is not one of the classes."""
    texts = list(texts)
    place = {name: number for number, name in enumerate(classes)}
    found = np.full((len(texts), len(place)), UNKNOWN, dtype=np.int8)
    for row, text in enumerate(texts):
        for word in text.split():
            name = word.removeprefix("-")
            if name not in place:
                raise ValueError(
                    f"label must list names of classes, with - before the absent, got {word!r} in row {row}"
                )
            found[row, place[name]] = word == name
    return found
