"""Names that look alike: Unicode forms, letter case, spaces; and how to print them so that what differs is seen."""

import re
import unicodedata
from collections.abc import Iterable


def nfc(text: str) -> str:
    """One spelling of accents: macOS writes é as two characters, most else as one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def near_form(text: str) -> str:
    """Equal for texts that a reader takes for one: other letter case, spaces, _ or - between words, Unicode form."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")  # those without width
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", text.casefold().strip())


def near_equal(names: Iterable[str]) -> list[list[str]]:
    """Groups of two or more different names with one near_form, in order."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(near_form(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def told(name: str) -> str:
    """A name in quotes, with escapes where it holds what a screen may not show or may show alike."""
    return repr(name) if name.isascii() else ascii(name)
