"""The ledger loses nothing: not to commas, not to other processes, not to a kill."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.results.ledger import (
    COLUMNS,
    SENT,
    add_row,
    change_rows,
    file_sha256,
    ledger_table,
    noise,
    ranked,
    read_ledger,
    to_markdown,
)

ROOT = Path(__file__).parents[2]


def row(number=0, **changes):
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    known = {"run": f"base-s{number}", "name": "base", "sha256": sha256, "file": f"base-s{number}.csv"}
    return known | changes


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "submissions" / "ledger.csv"


def test_a_row_comes_back_as_it_was_given(ledger):
    given_row = row(
        competition="voices", metric="accuracy", higher_is_better="True", mix="none", backbone="conformer", cv=0.7237,
        cv_low=0.701, cv_high=np.float32(0.75), precision=0.1 + 0.2, public=1, private=None,
        experiment="../runs/base-s0/e.json", time_utc="2026-01-02T03:04:05Z",
    )  # fmt: skip
    add_row(ledger, given_row)
    table = read_ledger(ledger)
    assert list(table.columns) == list(COLUMNS) and len(table) == 1
    found = table.iloc[0].to_dict()
    assert np.isnan(found.pop("private")) and given_row.pop("private") is None
    assert found == given_row | dict.fromkeys(SENT, "")
    assert list(ledger.parent.glob("*.part")) == []


def test_what_is_not_known_is_empty_and_the_time_is_now(ledger):
    add_row(ledger, row())
    found = read_ledger(ledger).iloc[0]
    assert found["mix"] == "" and np.isnan(found["cv"])
    written = pd.to_datetime(found["time_utc"], format="%Y-%m-%dT%H:%M:%SZ", utc=True)
    assert abs((pd.Timestamp.now("UTC") - written).total_seconds()) < 60


def test_rows_stay_in_the_order_of_adding(ledger):
    for number in (2, 0, 1):
        add_row(ledger, row(number))
    assert read_ledger(ledger)["run"].tolist() == ["base-s2", "base-s0", "base-s1"]


def test_the_same_run_and_file_is_one_row_brought_up_to_date(ledger):
    add_row(ledger, row(0, cv=0.5, public=0.6))
    add_row(ledger, row(1))
    add_row(ledger, row(0, cv=0.55, mix="lpc"))
    table = read_ledger(ledger)
    assert table["run"].tolist() == ["base-s0", "base-s1"]
    assert table.loc[0, ["cv", "public", "mix"]].tolist() == [0.55, 0.6, "lpc"]
    add_row(ledger, row(0, run="other"))  # the same file of another run is another row
    assert len(read_ledger(ledger)) == 3


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1))
def test_any_name_survives(tmp_path_factory, name):
    ledger = tmp_path_factory.mktemp("names") / "ledger.csv"
    add_row(ledger, row(0, name=name))
    add_row(ledger, row(1, name=f'{name},"\n{name}'))
    assert read_ledger(ledger)["name"].tolist() == [name, f'{name},"\n{name}']


def test_numbers_and_na_as_names_stay_text(ledger):
    for number, name in enumerate(("007", "NA", "nan")):
        add_row(ledger, row(number, name=name))
    assert read_ledger(ledger)["name"].tolist() == ["007", "NA", "nan"]


def test_fields_are_set_in_the_rows_that_are_chosen(ledger):
    for number in range(3):
        add_row(ledger, row(number, public=0.1, ref="5"))
    add_row(ledger, row(1, run="again"))

    def scored(found):
        return {"public": 0.8, "status": "complete", "ref": None} if found["sha256"] == row(1)["sha256"] else {}

    assert change_rows(ledger, scored) == 2
    table = read_ledger(ledger)
    assert table["public"].tolist() == [0.1, 0.8, 0.1, 0.8]
    assert table["status"].tolist() == ["", "complete", "", "complete"] and table["ref"].tolist() == ["5", "", "5", ""]
    assert change_rows(ledger, lambda found: {}) == 0
    before = ledger.read_bytes()
    for fields, message in (
        ({"public": "high"}, "public must be a finite number or None, got 'high'"),
        ({"run": None}, "run must not be empty"),
        ({"pubic": 1}, "row must have columns of .*, got 'pubic'"),
    ):
        with pytest.raises(ValueError, match=message):
            change_rows(ledger, lambda found, fields=fields: fields)
    assert ledger.read_bytes() == before


def test_a_byte_order_mark_of_a_spreadsheet_is_no_part_of_it(ledger):
    add_row(ledger, row(0, cv=0.25))
    ledger.write_bytes(b"\xef\xbb\xbf" + ledger.read_bytes())
    assert read_ledger(ledger)["cv"].tolist() == [0.25]
    add_row(ledger, row(1))
    assert len(read_ledger(ledger)) == 2 and ledger.read_bytes().startswith(b"competition,")


ADD = """
import hashlib, sys
from kit.results.ledger import add_row
ledger, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, last):
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    add_row(ledger, {"run": f"base-s{number}", "name": "base", "sha256": sha256, "file": "x.csv"})
    print(number, flush=True)
"""


@pytest.fixture
def adder():
    """Starts processes that add rows first to last once they are told to go."""
    started = []

    def start(ledger, first, last):
        command = [sys.executable, "-c", ADD, str(ledger), str(first), str(last)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=ROOT, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_processes_that_add_at_once_lose_nothing_even_when_one_is_killed(ledger, adder):
    survivors, victim = [adder(ledger, 0, 15), adder(ledger, 100, 115)], adder(ledger, 1000, 10_000)
    for process in (*survivors, victim):
        assert process.stdout.readline() == "ready\n"
    for process in (*survivors, victim):
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [victim.stdout.readline() for _ in range(3)]
    victim.kill()
    told += victim.stdout.readlines()
    assert [survivor.wait() for survivor in survivors] == [0, 0]
    numbers = [int(run.removeprefix("base-s")) for run in read_ledger(ledger)["run"]]
    assert [number for number in numbers if number < 100] == list(range(15))  # none lost, none twice
    assert [number for number in numbers if 100 <= number < 1000] == list(range(100, 115))
    added = [number for number in numbers if number >= 1000]
    assert added == list(range(1000, 1000 + len(added)))
    assert len(added) - len(told) in (0, 1)  # one may have been written and not yet told of
    add_row(ledger, row(1))  # and the lock of the dead is open


def test_a_disk_that_is_full_leaves_the_old_ledger(ledger, monkeypatch):
    add_row(ledger, row(1))
    before, write = ledger.read_bytes(), Path.write_bytes

    def half(self, content):
        write(self, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        add_row(ledger, row(2))
    assert ledger.read_bytes() == before and list(ledger.parent.glob("*.part")) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cvv": 1}, "row must have columns of competition, run, .*, got 'cvv'"),
        ({"run": ""}, "run must not be empty"),
        ({"name": None}, "name must not be empty"),
        ({"sha256": "ABC"}, "sha256 must be 64 hexadecimal digits, got 'ABC'"),
        ({"cv": "high"}, "cv must be a finite number or None, got 'high'"),
        ({"public": float("inf")}, "public must be a finite number or None, got inf"),
        (
            {"file": "/home/me/x.csv"},
            "file must be a relative path, so that no one's home is told, got '/home/me/x.csv'",
        ),
        ({"experiment": "C:\\runs\\x.json"}, "experiment must be a relative path"),
        ({"mix": "a\rb"}, r"mix must have no carriage return or NUL, got 'a\\rb'"),
    ],
)
def test_a_wrong_row_is_refused_and_changes_nothing(change, message, ledger):
    add_row(ledger, row(1))
    before = ledger.read_bytes()
    with pytest.raises(ValueError, match=message):
        add_row(ledger, row(0) | change)
    assert ledger.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("competition,", "contest,", "ledger.csv: line 1: must be competition,run,.*, got contest,run"),
        ("base-s0.csv,", "base-s0.csv,,", r"ledger.csv: line 2: must have 22 fields, got 23"),
        (",0.25,", ",a quarter,", "ledger.csv: line 2: cv must be a number or empty, got 'a quarter'"),
        (",0.25,", ",inf,", "ledger.csv: line 2: cv must be a number or empty, got 'inf'"),
        ("base-s0,", '"base-s0', "ledger.csv: line 2: must be a UTF-8 CSV"),
        (",0.25,", ",0.25\n=======\n,", "ledger.csv: line 2: must have 22 fields, got 8"),
    ],
)
def test_a_ledger_that_was_broken_by_hand_is_named_and_kept(old, new, message, ledger):
    add_row(ledger, row(0, cv=0.25))
    broken = ledger.read_text().replace(old, new)
    ledger.write_text(broken)
    for action in (lambda: read_ledger(ledger), lambda: add_row(ledger, row(1))):
        with pytest.raises(ValueError, match=message):
            action()
    assert ledger.read_text() == broken


def test_a_ledger_that_is_not_there_is_named(ledger):
    with pytest.raises(FileNotFoundError, match=r"ledger\.csv"):
        read_ledger(ledger)
    with pytest.raises(FileNotFoundError, match=r"ledger\.csv: no such ledger"):
        change_rows(ledger, lambda found: {})
    assert not ledger.exists()


@pytest.fixture
def rows(ledger):
    kind = {"metric": "accuracy", "higher_is_better": True}
    add_row(
        ledger, row(0, **kind, name="simple", mix="none", cv=0.6, cv_low=0.55, cv_high=0.65, public=0.5, private=0.55)
    )
    add_row(
        ledger, row(1, **kind, name="strong", mix="lpc", cv=0.8, cv_low=0.75, cv_high=0.85, public=0.75, precision=0.7)
    )
    add_row(ledger, row(2, **kind, name="late", cv=0.7, public=0.75, private=0.5))
    add_row(ledger, row(3, **kind, name="unknown"))
    return read_ledger(ledger)


def test_the_table_by_hand(rows):
    table = ledger_table(rows, public_rows=100)
    assert table["name"].tolist() == ["simple", "strong", "late", "unknown"]
    assert table["CV"].tolist()[:2] == ["0.600 [0.550, 0.650]", "0.800 [0.750, 0.850]"] and table["CV"].iloc[3] == ""
    assert table["noise"].tolist() == pytest.approx([0.05, 0.0433, 0.0433, np.nan], abs=1e-4, nan_ok=True)
    assert table["CV rank"].tolist()[:3] == [3, 1, 2] and pd.isna(table["CV rank"].iloc[3])
    assert table["public rank"].tolist()[:3] == [3, 1, 1]  # equals share the better place
    assert table["private rank"].dropna().tolist() == [1, 2]
    assert table["Δ CV"].tolist() == pytest.approx([0, 0.2, 0.1, np.nan], nan_ok=True)
    assert table["Δ public"].tolist() == pytest.approx([0, 0.25, 0.25, np.nan], nan_ok=True)
    assert table["Δ private"].tolist() == pytest.approx([0, np.nan, -0.05, np.nan], nan_ok=True)


def test_the_baseline_is_a_name(rows):
    assert ledger_table(rows, baseline="strong")["Δ CV"].tolist()[:3] == pytest.approx([-0.2, 0, -0.1])
    with pytest.raises(ValueError, match="baseline must be one of the rows' names, got 'boss'"):
        ledger_table(rows, baseline="boss")


def test_a_part_of_the_rows_has_ranks_and_differences_of_its_own(rows):
    table = ledger_table(rows[rows["name"] != "simple"])
    assert table["CV rank"].tolist()[:2] == [1, 2] and table["Δ CV"].iloc[0] == 0
    assert table["noise"].isna().all()
    assert len(ledger_table(rows.iloc[:0])) == 0


def test_where_lower_is_better_the_lowest_is_first(rows):
    lower = rows.assign(metric="log_loss", higher_is_better="False")
    table = ledger_table(lower, public_rows=100)
    assert table["CV rank"].tolist()[:3] == [1, 3, 2] and table["public rank"].tolist()[:3] == [1, 2, 2]
    assert table["noise"].isna().all(), "a log loss is no share"
    assert ranked(lower, "cv")["name"].tolist() == ["simple", "late", "strong"]
    assert ranked(rows, "cv")["name"].tolist() == ["strong", "late", "simple"]


def test_rows_of_two_metrics_are_ranked_apart(rows):
    mixed = rows.assign(
        metric=["accuracy", "accuracy", "log_loss", "log_loss"], higher_is_better=["True"] * 2 + ["False"] * 2
    )
    assert ledger_table(mixed)["CV rank"].tolist()[:3] == [2, 1, 1]
    with pytest.raises(ValueError, match="rows to be ranked must be of one metric, got accuracy, log_loss"):
        ranked(mixed, "cv")


def test_the_noise_of_hw4s_public_half():
    assert noise(0.865, 4000) == pytest.approx(0.0054, abs=5e-5)
    assert noise(0.5, 100) == 0.05 and noise(1.0, 10) == 0
    with pytest.raises(ValueError, match="n_rows must be at least 1, got 0"):
        noise(0.5, 0)


def test_markdown_by_hand():
    table = pd.DataFrame({"name": ["a|b", "c\nd"], "cv": [0.5, np.nan], "Δ cv": [0.25, -0.125], "rank": [1, None]})
    table["rank"] = table["rank"].astype("Int64")
    assert to_markdown(table) == (
        "| name | cv | Δ cv | rank |\n| --- | --- | --- | --- |\n"
        "| a\\|b | 0.5000 | +0.2500 | 1 |\n| c d |  | -0.1250 |  |"
    )


def test_the_sha256_of_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
