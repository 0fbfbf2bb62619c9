"""The labels of a row as a table's field holds them: one name, names joined by a mark, or a Python list as text."""

import ast
from collections.abc import Collection, Iterable
from functools import cache

MARKS = (";", ",", "|", " ")  # in the order in which they are tried
FORMS = {
    "one": "one label a row", "list": "Python lists", ";": "lists joined by semicolons", ",": "lists joined by commas",
    "|": "lists joined by |", " ": "lists joined by spaces",
}  # fmt: skip


def split_labels(field: str, form: str) -> tuple[str, ...] | str:
    """The names in a field, each once, or the rule that the field breaks. A blank field holds none.

    >>> split_labels("Bark, Meow", ","), split_labels("Bark, Meow", "one"), split_labels("['Bark']", "list")
    (('Bark', 'Meow'), ('Bark, Meow',), ('Bark',))
    """
    if form == "list":
        return label_list(field)
    if not field.strip():
        return ()
    if form == "one":
        return (field,)
    names = [name.strip() for name in field.split(None if form == " " else form)]
    if "" in names:
        return f"must be names with one {form!r} between two, got {field!r}"
    return tuple(dict.fromkeys(names))


@cache
def label_list(text: str) -> tuple[str, ...] | str:
    """The labels of a Python list as text, each once, or the rule that the text breaks. [] and [''] hold none.

    >>> label_list("['22930', 'asbfly']"), label_list("['']"), label_list("[22930]")
    (('22930', 'asbfly'), (), ('22930',))
    """
    if not text.strip():
        return ()
    try:
        labels = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        labels = None
    if not isinstance(labels, list) or not all(type(label) in (str, int) for label in labels):
        return f"must be a list such as ['a', 'b'], got {text!r}"
    return tuple(dict.fromkeys(label for label in map(str, labels) if label))


def label_form(fields: Iterable[str], classes: Collection[str] | None = None) -> str:
    """The key of FORMS by which a column's fields are read, "one" where nothing speaks for another.

    Where the classes are known, it is the form in which the most fields are made of them alone. Where they are not, a
    mark joins names if more than half of the names that it parts also stand alone in a field: "hot dog" is two labels
    where there are fields "hot" and "dog", and one where there is only "dog".
    """
    fields = {field.strip() for field in fields if field.strip()}
    if 2 * sum(field[0] + field[-1] == "[]" for field in fields) > len(fields):
        return "list"
    if classes is not None:
        known = set(classes)
        return max(("one", *MARKS), key=lambda form: _fit(fields, form, known))
    for mark in MARKS:
        names = set().union(*(_names(field, mark) for field in fields if mark in field))
        if 2 * len(names & {field for field in fields if mark not in field}) > len(names):
            return mark
    return "one"


def _fit(fields: set[str], form: str, known: set[str]) -> tuple[int, float]:
    """How many fields are made of known names alone; of equals, how much of the others is, unless spaces part them."""
    whole = sum(_names(field, form) <= known for field in fields)
    if form in ("one", " "):
        return whole, 0.0
    parts = ([name.strip() in known for name in field.split(form)] for field in fields if form in field)
    return whole, sum(sum(part) / len(part) for part in parts)


def _names(field: str, form: str) -> set[str]:
    """{""} for a field that is not of this form."""
    names = split_labels(field, form)
    return {""} if isinstance(names, str) else set(names)
