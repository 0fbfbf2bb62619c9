"""The submission checker: kinds of fault, none of which may pass, and valid files, none of which may be refused."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.competition.competition import open_competition
from kit.competition.listing import CompetitionError
from kit.results.check import (
    CHANCE,
    SubmissionError,
    check_content,
    check_submission,
    dead_column,
    read_submission,
)

SPEAKERS = ("00000001", "NA", "nan", 'the "third", so called')
IDS = [f"uttr-{number:08d}.pt" for number in range(12)]
LABELS = [SPEAKERS[number % 4] for number in range(12)]


@pytest.fixture(scope="session")
def hw4(tmp_path_factory):
    """An HW4 folder of 4 speakers with one utterance each, and 12 test utterances."""
    folder = tmp_path_factory.mktemp("hw4")
    speakers = {name: [{"feature_path": f"train-{n}.pt", "mel_len": 9}] for n, name in enumerate(SPEAKERS)}
    files = {
        "metadata.json": {"n_mels": 40, "speakers": speakers},
        "mapping.json": {"speaker2id": {name: number for number, name in enumerate(SPEAKERS)}},
        "testdata.json": {"n_mels": 40, "utterances": [{"feature_path": name, "mel_len": 9} for name in IDS]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    for name in [*IDS, *(f"train-{number}.pt" for number in range(4))]:
        (folder / name).write_bytes(b"x")
    return open_competition(folder)


@pytest.fixture(scope="session")
def tags(hw4):
    """The same test rows as a competition of several labels a row, as rainforest sounds are."""
    return replace(hw4, task="multi", metric="lwlrap", classes=("a", "b", "c"), label_columns=("s0", "s1", "s2"))


def quoted(field):
    return '"' + field.replace('"', '""') + '"' if set(field) & set(',"\n') else field


def lines_of(rows, header="Id,Category"):
    return [header, *(",".join(map(quoted, row)) for row in rows)]


SINGLE = lines_of(zip(IDS, LABELS, strict=True))
PROBABILITY = [[f"{value:.3f}" for value in row] for row in np.random.default_rng(0).random((12, 3))]
MULTI = lines_of(([name, *row] for name, row in zip(IDS, PROBABILITY, strict=True)), "Id,s0,s1,s2")


def text(lines):
    return ("\n".join(lines) + "\n").encode()


def changed(line, old, new, lines=SINGLE):
    """The file with `old` made `new` in one line, counted from 1 as an editor does."""
    assert old in lines[line - 1]
    return text([*lines[: line - 1], lines[line - 1].replace(old, new), *lines[line:]])


FAULTS = {
    # content, then what the message must say
    "empty file": (b"", "must not be empty, got 0 bytes"),
    "only white space": (b" \n\n", "must not be empty, got 3 bytes"),
    "only a header": (text(SINGLE[:1]), r"a row for each of 12 test ids \(12 missing, such as 'uttr-00000000.pt'\)"),
    "no header": (text(SINGLE[1:]), "row 1, column Id: header must name Id once, got 'uttr-00000000.pt,00000001'"),
    "wrong header": (
        changed(1, "Category", "Label"),
        "row 1, column Category: header must name Category once, got 'Id,L",
    ),
    "header in lower case": (changed(1, "Id", "id"), "row 1, column Id: header must name Id once, got 'id,Category'"),
    "space in the header": (changed(1, ",", " ,"), "row 1, column Id: header must name Id once, got 'Id ,Category'"),
    "header twice": (text([SINGLE[0], *SINGLE]), "row 2, column Id: must be an id of the test set, got 'Id'"),
    "a column named twice": (
        changed(1, "Category", "Category,Category"),
        "header must name Category once, got 'Id,Cat",
    ),
    "columns the other way": (
        text([",".join(line.split(",", 1)[::-1]) for line in SINGLE]),
        "row 1: columns must be in the order Id,Category, got Category,Id",
    ),
    "an index column": (
        text([f",{SINGLE[0]}", *(f"{number},{line}" for number, line in enumerate(SINGLE[1:]))]),
        "row 1, column : header must have no columns but Id,Category, got ''",
    ),
    "an extra column": (text([f"{line},0.5" for line in SINGLE]), "must have no columns but Id,Category, got '0.5'"),
    "a column missing": (text([line.split(",")[0] for line in SINGLE]), "header must name Category once, got 'Id'"),
    "semicolons": (
        text([line.replace(",", ";") for line in SINGLE]),
        "row 1: fields must be separated by a comma alone",
    ),
    "tabs": (text([line.replace(",", "\t") for line in SINGLE]), r"separated by a comma alone, got '\\t'"),
    "comma and space": (text([line.replace(",", ", ") for line in SINGLE]), "separated by a comma alone, got ', '"),
    "semicolon in one row": (changed(4, ",", ";"), "row 4: must have 2 fields, got 1"),
    "a field too many": (changed(7, ",", ",,"), "row 7: must have 2 fields, got 3"),
    "a label with a bare comma": (changed(3, "NA", "NA,nan"), "row 3: must have 2 fields, got 3"),
    "a blank line": (text([*SINGLE[:5], "", *SINGLE[5:]]), "row 6: must have 2 fields, got 0"),
    "blank lines at the end": (text([*SINGLE, "", ""]), "row 14: must have 2 fields, got 0"),
    "cut off in a row": (text(SINGLE)[:-40], "row 12: must have 2 fields|row 13|missing"),
    "cut off between rows": (text(SINGLE[:-2]), r"\(2 missing, such as 'uttr-00000010.pt'\), got 10"),
    "an id missing": (text([*SINGLE[:4], *SINGLE[5:]]), r"\(1 missing, such as 'uttr-00000003.pt'\), got 11"),
    "an id twice": (text([*SINGLE, SINGLE[2]]), "row 14, column Id: must hold each id once, got 'uttr-00000001.pt'"),
    "an id in another's place": (
        changed(6, "04", "03"),
        "row 6, column Id: must hold each id once, got 'uttr-00000003.pt'",
    ),
    "an unknown id": (
        changed(6, "uttr-00000004", "uttr-x"),
        "row 6, column Id: must be an id of the test set, got 'uttr-x",
    ),
    "an id of training": (changed(6, "uttr-00000004", "train-1"), "must be an id of the test set, got 'train-1.pt'"),
    "a number for an id": (
        text([SINGLE[0], *(f"{n},NA" for n in range(12))]),
        "row 2, column Id: must be an id of the te",
    ),
    "an id without suffix": (
        changed(6, ".pt", ""),
        "row 6, column Id: must be an id of the test set, got 'uttr-00000004'",
    ),
    "a space before an id": (
        changed(6, "uttr", " uttr"),
        "row 6, column Id: must have no spaces around the id, got ' ut",
    ),
    "a space after an id": (changed(6, ".pt", ".pt\u00a0"), "row 6, column Id: must have no spaces around the id"),
    "an invisible sign in an id": (changed(6, ".pt", ".pt\u200b"), r"must be an id of the test set, got '.*\\u200b'"),
    "an empty id": (changed(6, "uttr-00000004.pt", ""), "row 6, column Id: must not be empty, got ''"),
    "an empty label": (changed(6, "00000001", ""), "row 6, column Category: must not be empty, got ''"),
    "an unknown label": (changed(3, "NA", "NB"), "row 3, column Category: must be one of the classes, got 'NB'"),
    "a label in another case": (changed(3, "NA", "na"), "row 3, column Category: must be one of the classes, got 'na'"),
    "a space after a label": (changed(3, "NA", "NA "), "row 3, column Category: must be one of the classes, got 'NA '"),
    "a label that lost its zeros": (
        changed(2, "00000001", "1"),
        "row 2, column Category: must be one of the classes, got",
    ),
    "a class number": (changed(3, "NA", "2"), "row 3, column Category: must be one of the classes, got '2'"),
    "a missing value": (changed(3, "NA", "None"), "row 3, column Category: must be one of the classes, got 'None'"),
    "one label for all": (
        text([SINGLE[0], *(f"{name},NA" for name in IDS)]),
        "column Category: must not say the same in every row, got 'NA'",
    ),
    "a byte order mark": (
        b"\xef\xbb\xbf" + text(SINGLE),
        "row 1: must be UTF-8 without a byte order mark, got ef bb bf",
    ),
    "UTF-16": ("\n".join(SINGLE).encode("utf-16"), "must be UTF-8 without a byte order mark, got ff fe"),
    "UTF-16 without its mark": ("\n".join(SINGLE).encode("utf-16-le"), "row 1: must be text, got a NUL byte"),
    "Latin-1": (changed(5, "third", "thírd").decode().encode("latin-1"), "row 5: must be UTF-8 text, got byte 0xed"),
    "a NUL byte": (changed(7, "NA", "NA\0"), "row 7: must be text, got a N"),
    "line ends of old": ("\r".join(SINGLE).encode(), "row 1: lines must end in LF or CRLF, got a CR alone"),
    "one CR alone": (changed(4, ",", "\r,"), "row 4: lines must end in LF or CRLF, got a CR alone"),
    "a quote never closed": (text(SINGLE)[:-2], "row 13: must be a CSV, got unexpected end of data"),
    "text after a quote": (changed(4, "nan", '"nan"!'), "row 4: must be a CSV, got ',' expected after '\"'"),
    "single quotes": (changed(4, "nan", "'nan'"), "row 4, column Category: must be one of the classes, got \"'nan'\""),
    "compressed": (gzip.compress(text(SINGLE), mtime=0), "row 1: must be UTF-8 text, got byte 0x8b"),
    "JSON": (json.dumps(dict(zip(IDS, LABELS, strict=True))).encode(), "row 1, column Id: header must name Id once"),
    "a web page": (
        b"<!DOCTYPE html>\n<html></html>\n",
        "row 1, column Id: header must name Id once, got '<!DOCTYPE html>'",
    ),
    "a conflict of git": (text([*SINGLE[:6], "<<<<<<< HEAD", *SINGLE[6:]]), "row 7: must have 2 fields, got 1"),
    "another competition's": (text(MULTI), "row 1, column Category: header must name Category once, got 'Id,s0,s1,s2'"),
}
FIRST = PROBABILITY[2][0]  # of line 4
CONSTANT = [
    [name, row[0], ("0.5", "0.50")[n % 2], row[2]] for n, (name, row) in enumerate(zip(IDS, PROBABILITY, strict=True))
]


def made(value):
    """The file with one probability, in line 4, made `value`."""
    return changed(4, FIRST, value, MULTI)


MULTI_FAULTS = {
    "NaN": (made("nan"), "row 4, column s0: must be a number, got 'nan'"),
    "inf": (made("inf"), "row 4, column s0: must be a number, got 'inf'"),
    "empty": (made(""), "row 4, column s0: must not be empty, got ''"),
    "text": (made("high"), "row 4, column s0: must be a number, got 'high'"),
    "a space": (made(f" {FIRST}"), "row 4, column s0: must be a number, got ' 0"),
    "per cent": (made("80%"), "row 4, column s0: must be a number, got '80%'"),
    "a decimal comma": (made(f'"{FIRST.replace(".", ",")}"'), "row 4, column s0: must be a number, got"),
    "underscores": (made("0.1_0"), "row 4, column s0: must be a number, got '0.1_0'"),
    "hexadecimal": (made("0x1"), "row 4, column s0: must be a number, got '0x1'"),
    "other digits": (made("٠.٥"), "row 4, column s0: must be a number"),
    "above 1": (made("1.0001"), r"row 4, column s0: must be a probability in \[0, 1\], got '1.0001'"),
    "below 0": (made("-0.1"), r"row 4, column s0: must be a probability in \[0, 1\], got '-0.1'"),
    "overflow": (made("1e999"), r"row 4, column s0: must be a probability in \[0, 1\], got '1e999'"),
    "a constant column": (
        text(lines_of(CONSTANT, MULTI[0])),
        "column s1: must not say the same in every row, got 0.5",
    ),
    "columns in another order": (changed(1, "s0,s1", "s1,s0", MULTI), "must be in the order Id,s0,s1,s2, got Id,s1"),
    "a class missing": (text([line.rsplit(",", 1)[0] for line in MULTI]), "row 1, column s2: header must name s2 once"),
    "a probability missing": (changed(4, f",{FIRST}", "", MULTI), "row 4: must have 4 fields, got 3"),
    "labels for probabilities": (text(SINGLE), "row 1, column s0: header must name s0 once, got 'Id,Category'"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_no_fault_passes(kind, hw4, tmp_path):
    content, message = FAULTS[kind]
    path = tmp_path / "submission.csv"
    path.write_bytes(content)
    with pytest.raises(SubmissionError, match=message) as caught:
        check_submission(path, hw4)
    assert str(caught.value).startswith(f"{path}")
    assert (caught.value.file, str(caught.value.row) in str(caught.value) or caught.value.row is None) == (path, True)


@pytest.mark.parametrize("kind", MULTI_FAULTS)
def test_no_fault_in_probabilities_passes(kind, tags, tmp_path):
    content, message = MULTI_FAULTS[kind]
    path = tmp_path / "submission.csv"
    path.write_bytes(content)
    with pytest.raises(SubmissionError, match=message):
        check_submission(path, tags)


LISTS = lines_of(
    (name, ["a b", "nocall", "c", "b c a"][number % 4]) for number, name in enumerate(IDS)
)  # of line 2 "a b", of line 3 "nocall"
LIST_RULE = r"must be names of classes with one space between two, or nocall alone, got "
LISTS_FAULTS = {
    "an unknown name": (changed(2, "a b", "a d", LISTS), f"row 2, column Category: {LIST_RULE}'a d'"),
    "a name and no call": (changed(2, "a b", "a nocall", LISTS), f"{LIST_RULE}'a nocall'"),
    "no call in capitals": (changed(3, "nocall", "NoCall", LISTS), f"row 3, column Category: {LIST_RULE}'NoCall'"),
    "a name twice": (changed(2, "a b", "a b a", LISTS), "row 2, column Category: must name a class once, got 'a b a'"),
    "two spaces": (changed(2, "a b", "a  b", LISTS), "must be names with one space between two, got 'a  b'"),
    "a space at the end": (changed(2, "a b", "a ", LISTS), "must be names with one space between two, got 'a '"),
    "semicolons": (changed(2, "a b", "a;b", LISTS), f"{LIST_RULE}'a;b'"),
    "nothing": (changed(2, "a b", "", LISTS), "row 2, column Category: must not be empty, got ''"),
    "one answer for all": (
        text(lines_of([name, "a b"] for name in IDS)),
        "must not say the same in every row, got 'a b'",
    ),
}


@pytest.mark.parametrize("kind", LISTS_FAULTS)
def test_no_fault_in_lists_passes(kind, tags, tmp_path):
    competition = replace(tags, label_columns=("Category",), nothing="nocall")
    content, message = LISTS_FAULTS[kind]
    path = tmp_path / "submission.csv"
    path.write_bytes(text(LISTS))
    check_submission(path, competition)
    path.write_bytes(content)
    with pytest.raises(SubmissionError, match=message):
        check_submission(path, competition)


def test_an_empty_field_is_an_empty_list_where_no_word_is_one(tags, tmp_path):
    competition = replace(tags, label_columns=("Category",))
    path = tmp_path / "submission.csv"
    path.write_bytes(text(LISTS).replace(b"nocall", b""))
    assert check_submission(path, competition)["Category"].tolist()[:3] == ["a b", "", "c"]
    path.write_bytes(text(LISTS))
    with pytest.raises(SubmissionError, match="must be names of classes with one space between two, got 'nocall'"):
        check_submission(path, competition)


def test_what_a_row_of_a_submission_holds(hw4, tags):
    assert hw4.form == "label" and tags.form == "probabilities"
    assert replace(hw4, label_columns=("a", "b")).form == "probabilities"
    assert replace(tags, label_columns=("birds",)).form == "lists"


def test_what_is_no_file_is_refused(hw4, tmp_path):
    with pytest.raises(SubmissionError, match="gone.csv: must be a file that can be read, got No such file"):
        check_submission(tmp_path / "gone.csv", hw4)
    with pytest.raises(SubmissionError, match="must be a file that can be read, got Is a directory"):
        check_submission(tmp_path, hw4)


def test_an_error_holds_its_parts(hw4, tmp_path):
    with pytest.raises(SubmissionError) as caught:
        check_content(FAULTS["an unknown label"][0], tmp_path / "x.csv", hw4)
    error = caught.value
    assert (error.file, error.row, error.column, error.value) == (tmp_path / "x.csv", 3, "Category", "NB")
    assert error.rule == "must be one of the classes"


@pytest.mark.parametrize("number", range(200))
def test_no_valid_file_is_refused(number, hw4, tags, tmp_path):
    """Rows in any order, LF or CRLF, with or without a last line end, fields quoted or not, numbers written any way."""
    rng = np.random.default_rng(number)
    order, end = rng.permutation(12), ["\n", "\r\n"][number % 2]
    always_quoted, last_end = number % 4 < 2, number % 8 < 4
    write = (lambda field: '"' + field.replace('"', '""') + '"') if always_quoted else quoted
    if number % 3:
        labels = rng.permutation([*SPEAKERS, *rng.choice(SPEAKERS, 8)])
        competition, header = hw4, ["Id", "Category"]
        rows = [[IDS[n], labels[n]] for n in order]
    else:
        forms = ("{:.3f}", "{:.9g}", "{:e}", "{:.0f}", "+{:.2f}", "{:.1E}")
        competition, header = tags, ["Id", "s0", "s1", "s2"]
        values = np.vstack([[0, 0, 0], [1, 1, 1], rng.random((10, 3)) ** rng.choice([1, 30])])
        rows = [[IDS[n], *(rng.choice(forms).format(value) for value in values[n])] for n in order]
    content = end.join(",".join(map(write, row)) for row in [header, *rows]) + end * last_end
    table = check_content(content.encode(), tmp_path / "submission.csv", competition)
    assert table.to_numpy().tolist() == rows and list(table.columns) == header


def test_a_folders_sample_must_agree_with_its_test_table(hw4, tmp_path):
    folder = tmp_path / "with_sample"
    folder.mkdir()
    competition = replace(hw4, folder=folder)
    for sample, message in (
        (
            text(SINGLE[:-1]),
            r"sample_submission.csv: must hold each of 12 test ids once, got 11 rows, .*11.pt' missing",
        ),
        (text([*SINGLE, SINGLE[1]]), "must hold each of 12 test ids once, got 13 rows, 'uttr-00000000.pt' too many"),
        (text([*SINGLE, "x,NA"]), "must hold each of 12 test ids once, got 13 rows, 'x' too many"),
        (changed(1, "Id", "id"), "sample_submission.csv: line 1: must be Id,Category, got id,Category"),
    ):
        (folder / "sample_submission.csv").write_bytes(sample)
        with pytest.raises(CompetitionError, match=message):
            check_content(text(SINGLE), tmp_path / "x.csv", competition)
    (folder / "sample_submission.csv").write_bytes(text([SINGLE[0], *SINGLE[:0:-1]]))
    assert len(check_content(text(SINGLE), tmp_path / "x.csv", competition)) == 12


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=40), place=st.integers(0, 400), length=st.integers(0, 30), multi=st.booleans())
def test_whatever_is_in_a_file_the_answer_is_a_table_or_a_submission_error(
    hw4, tags, tmp_path, noise, place, length, multi
):
    valid, competition = (text(MULTI), tags) if multi else (text(SINGLE), hw4)
    for content in (noise, valid[:place] + noise + valid[place + length :]):
        try:
            assert len(check_content(content, tmp_path / "x.csv", competition)) == 12
        except SubmissionError as error:
            assert str(error).startswith(str(tmp_path / "x.csv"))


@pytest.mark.parametrize(("n_rows", "shares", "dead"), [
    (2, [5, 5], False),  # two test files: half of all parts are of one class
    (10, [5, 5], False),  # 2 · 0.5^10 = 0.00195
    (11, [5, 5], True),  # 2 · 0.5^11 = 0.00098
    (4, [1] * 10, False),  # 10 · 0.1^4 = 0.001
    (5, [1] * 10, True),
    (60, [9, 1], False),  # 0.9^60 = 0.0018: nine in ten rows are of one class
    (70, [9, 1], True),
])  # fmt: skip
def test_one_answer_for_all_is_judged_by_chance(hw4, n_rows, shares, dead):
    classes = [f"c{number}" for number in range(len(shares))]
    train = pd.DataFrame({"label": np.repeat(classes, shares)})
    competition = replace(hw4, classes=tuple(classes), train=train)
    table = pd.DataFrame({"Id": [f"t{row}" for row in range(n_rows)], "Category": "c0"})
    assert (dead_column(table, competition) == ("Category", "c0")) == dead
    assert CHANCE == 1e-3
    table.loc[0, "Category"] = "c1"
    assert dead_column(table, competition) is None


def test_a_small_test_part_may_be_of_one_class(hw4, tmp_path):
    small = replace(hw4, test=hw4.test.iloc[:2])
    path = tmp_path / "x.csv"
    path.write_bytes(text([SINGLE[0], *(f"{name},NA" for name in IDS[:2])]))
    assert check_submission(path, small)["Category"].tolist() == ["NA", "NA"]


def test_few_recordings_may_be_alike_and_a_dead_files_form_is_read(tags, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(MULTI_FAULTS["a constant column"][0])
    assert read_submission(path, tags)["s1"].nunique() == 2
    assert dead_column(read_submission(path, tags), tags) == ("s1", 0.5)
    assert dead_column(read_submission(path, tags).iloc[:9], tags) is None
