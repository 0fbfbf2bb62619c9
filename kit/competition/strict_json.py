"""JSON that someone else wrote: what the standard reader takes and then loses, or fails on with no clear word."""

import json
import re

MOST_DIGITS = 300  # a number of more is no float, and Python's own limit for whole numbers names no file
LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]", re.ASCII)


def parse_json(content: bytes) -> object:
    """The content of a JSON file. Raises ValueError: the rule that it breaks, with the line where there is one.

    A key that an object holds twice is an error, where the standard reader keeps the last in silence.
    """
    try:
        text = content.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object, parse_int=_whole)
        if LONE_SURROGATE.search(text):  # half of a pair is no text that can be written anywhere
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"not UTF-8 text (line {line}, {error.reason})") from None
    except UnicodeEncodeError:
        raise ValueError("not text that can be written (half of a surrogate pair)") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError("not JSON that can be read (nested too deep)") from None


def _object(pairs: list[tuple[str, object]]) -> dict:
    items = dict(pairs)
    if len(items) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice!r} is there twice in one object")
    return items


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a whole number must have at most {MOST_DIGITS} digits, got {len(text)}")
    return int(text)
