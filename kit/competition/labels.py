"""Several labels a row, some of them unknown: as text in a table's label column, and as numbers.

The text lists what is known: "s3 s17 -s5" says that s3 and s17 are there and s5 is not, and nothing of the others;
"s3 ?s5 -*" that s3 is there, nothing of s5, and that no other class is there. As numbers (N, C) that is 1, 0, UNKNOWN.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

import numpy as np

UNKNOWN = -1
REST_ABSENT = "-*"  # the word that says so of every class that the text does not name
MARKS = {"-": 0, "?": UNKNOWN}
ESCAPED = re.compile(r"[\s%]|^[-?*]")  # what would not be read back as a part of a name


def known_text(
    present: Iterable[str], absent: Iterable[str] = (), unknown: Iterable[str] = (), rest_absent: bool = False
) -> str:
    """The text of a row. A class named more than once is present before it is absent, and absent before unknown."""
    words: dict[str, str] = {}
    for mark, names in (("", present), ("-", absent), ("?", unknown)):
        for name in names:
            words.setdefault(name, mark + _word(name))
    return " ".join([*words.values(), *([REST_ABSENT] if rest_absent else [])])


def label_targets(labels: Iterable[str], classes: Sequence[str], task: str) -> np.ndarray:
    """A label column as numbers: classes' (N,), -1 for a label that is none, or with task "multi" (N, C) as above."""
    if task == "multi":
        return known_matrix(labels, classes)
    number_of = {name: number for number, name in enumerate(classes)}
    return np.array([number_of.get(label, -1) for label in labels], dtype=np.int64)


def known_matrix(texts: Iterable[str], classes: Sequence[str]) -> np.ndarray:
    """(N, C) int8 of 1, 0 and UNKNOWN. Raises ValueError naming a row and what is not one of the classes."""
    texts = list(texts)
    number_of = {_word(name): number for number, name in enumerate(classes)}
    known = np.full((len(texts), len(number_of)), UNKNOWN, dtype=np.int8)
    for row, text in enumerate(texts):
        words = text.split()
        if REST_ABSENT in words:
            known[row] = 0
        for word in words:
            if word == REST_ABSENT:
                continue
            name = word[1:] if word[0] in MARKS else word
            if name not in number_of:
                raise ValueError(
                    "label must list names of classes, with - before the absent and ? before the unknown, "
                    f"got {word!r} in row {row}"
                )
            known[row, number_of[name]] = MARKS.get(word[0], 1)
    return known


def present_names(text: str) -> list[str]:
    """The names that a row's text says are there, in its order."""
    return [unquote(word) for word in text.split() if word[0] not in MARKS]


def _word(name: str) -> str:
    """A name as one word of a text, the same for most names."""
    return ESCAPED.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8")), name)
