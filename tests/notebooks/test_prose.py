"""What the committed notebooks' prose says is printed above it: a number that no cell prints is found."""

import re

import nbformat
import pytest

from kit.notebooks import numbered

ALL = numbered()
NUMBER = re.compile(r"(?<![\w.,/])[+−-]?\d[\d,]*(?:\.\d+)?(?![\w.]*[A-Za-z_]|\.\d)")
SPANS = re.compile(r"`[^`]*`|\[[^\]]*\]\([^)]*\)|\$[^$]*\$|https?://\S+")  # code, links, formulas
SOURCE = re.compile(r"https?://|arXiv|doi")
COUNTED = 10  # up to which a number may only count what the sentence names
LEVELS = {95.0, 100.0, 0.05, 0.5}  # of an interval, of all, of p, of a coin


def values(text):
    """Each number of a text: as it stands, its value, and how many decimals it has."""
    for match in NUMBER.finditer(text):
        digits = match.group().lstrip("+−-").replace(",", "")
        yield match.group(), float(digits), len(digits.partition(".")[2])


def printed(cell):
    """What a code cell shows as text, and its source."""
    pieces = [cell.source]
    for output in cell.outputs:
        data = output.get("data", {})
        pieces += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    text = re.sub(r'src="[^"]*"', " ", "\n".join(pieces))
    return re.sub(r"<[^>]+>", " ", text)


def shown_in(value, decimals, known):
    """Is the number one of those known, rounded? A share may be told in percent."""
    reach = 0.5 * 10**-decimals * (1 + 1e-6)
    return any(abs(scale * one - value) <= reach for one in known for scale in (1, 100))


def unprinted(notebook):
    """(cell, number) of each number in prose that no cell above it shows."""
    known, found = set(), []
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            known |= {value for _, value, _ in values(printed(cell).replace("_", " "))}
            continue
        for paragraph in cell.source.split("\n\n"):
            if paragraph.startswith("#") or SOURCE.search(paragraph):
                continue
            for text, value, decimals in values(SPANS.sub(" ", paragraph)):
                exempt = value in LEVELS or not decimals and (value <= COUNTED or 1900 <= value <= 2035)
                if not exempt and not shown_in(value, decimals, known):
                    found.append((place, text))
    return found


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_number_in_prose_is_printed_above_it(path):
    assert unprinted(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_tables_for_reading_hold_no_nan_and_are_not_empty(path):
    for place, cell in enumerate(nbformat.read(path, as_version=4).cells):
        for output in cell.get("outputs", []):
            table = output.get("data", {}).get("text/html", "")
            assert not re.search(r"<td>\s*(NaN|nan|None)\s*</td>", table), f"cell {place}"
            assert "<table" not in table or "<td" in table, f"cell {place}: an empty table"


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_prose_says_agree_of_a_correlation(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for sentence in re.split(r"(?<=[.?!:;])\s", cell.source):
                assert not ("agree" in sentence and re.search("Spearman|leaderboard|correlat", sentence)), sentence


def notebook(*cells):
    made = []
    for cell in cells:
        if isinstance(cell, tuple):
            made.append(nbformat.v4.new_code_cell(cell[0], outputs=[nbformat.v4.new_output("stream", text=cell[1])]))
        else:
            made.append(nbformat.v4.new_markdown_cell(cell))
    return nbformat.v4.new_notebook(cells=made)


@pytest.mark.parametrize(
    ("prose", "odd"),
    [
        ("It gains 0.046 (0.021 to 0.071).", []),
        ("It gains 0.047.", ["0.047"]),
        ("It loses −0.023, in 5 of 3 folds, by a 95 % interval.", []),
        ("In 2.1 % of 1,200 rows; `0.9` and [0.8](x_0.7.html) are no claims.", []),
        ("Others published 0.36 (arXiv 1234.56789).", []),
        ("It took 450 steps.", ["450"]),
    ],
)
def test_a_number_is_found_by_its_value(prose, odd):
    book = notebook(("print(x)", "0.0459 [0.0208, 0.0712] -0.0231, 0.021 of 1200"), prose)
    assert [text for _, text in unprinted(book)] == odd


def test_what_is_printed_below_does_not_count():
    assert unprinted(notebook("It is 0.7.", ("print(x)", "0.7"))) == [(0, "0.7")]
