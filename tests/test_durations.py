"""The demo's plan: what runs, and how long it took where that was measured."""

import json
from pathlib import Path

import pytest

from kit import durations
from kit.durations import keep, plan, told
from kit.notebooks import numbered


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(durations, "FILE", tmp_path / "seconds.json")
    return tmp_path / "seconds.json"


def test_the_plan_adds_up(kept):
    seconds = {"01_look_at_the_data": 14.0, "02_first_submission": 62.0, "03_the_ladder": 212.0}
    kept.write_text(json.dumps({"day": "2026-11-27", "cores": 2, "seconds": seconds}))
    lines = plan([Path(f"{name}.ipynb") for name in seconds]).splitlines()
    assert [line.split(maxsplit=1) for line in lines[:4]] == [
        ["01_look_at_the_data", "about 15 s"],
        ["02_first_submission", "about 60 s   the first scored submission, about 75 s after the start"],
        ["03_the_ladder", "about 4 min"],
        ["together", "about 5 min"],
    ]
    assert lines[4] == "by a run on 2 cores on 2026-11-27; beside other work it takes longer"


def test_what_was_never_measured_is_said(kept):
    lines = plan([Path("01_look_at_the_data.ipynb"), Path("02_first_submission.ipynb")]).splitlines()
    assert [line.split()[1:3] for line in lines] == [["not", "measured"]] * 3
    assert lines[1].endswith("not measured   the first scored submission")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "about 5 s"), (97, "about 95 s"), (100, "about 2 min"), (354, "about 6 min"), (None, "not measured")],
)
def test_times_are_told_as_roughly_as_they_are_known(seconds, words):
    assert told(seconds) == words


def test_new_times_take_the_place_of_old_ones(kept):
    keep({"b": 2.04, "a": 1.0})
    keep({"b": 3.0})
    written = json.loads(kept.read_text())
    assert written["seconds"] == {"a": 1.0, "b": 3.0} and written["cores"] >= 1


def test_every_notebook_of_the_kit_was_measured():
    names = [path.stem for path in numbered()]
    assert sorted(json.loads(durations.FILE.read_text())["seconds"]) == names
