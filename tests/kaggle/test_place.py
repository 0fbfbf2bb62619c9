import re

import pytest
import torch

from kit.kaggle import place
from kit.kaggle.place import hand_in, say_where
from kit.results.ledger import add_row


@pytest.fixture
def card(monkeypatch):
    """A machine whose GPU is the CPU in disguise."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    full = torch.full
    monkeypatch.setattr(torch, "full", lambda size, value, device: full(size, value))
    monkeypatch.setenv(place.RUN_TYPE, "Batch")


def test_one_line_says_where_and_on_what(monkeypatch, capsys):
    monkeypatch.delenv(place.RUN_TYPE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    say_where(gpu=True)  # at home it may do without
    out = capsys.readouterr().out
    assert re.fullmatch(r"runs at home on the CPU, \d+ cores, Python 3[\d.]+, torch [\w.+]+\n", out)


def test_a_card_that_multiplies_is_named(card, capsys):
    say_where(gpu=True)
    assert capsys.readouterr().out.startswith("runs Kaggle (Batch) on 2 x Tesla T4 (sm_75), ")


def test_a_card_that_fails_stops_the_kernel_that_asked_for_it(card, monkeypatch, capsys):
    def no_kernel(*arguments, **options):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(torch, "full", no_kernel)
    with pytest.raises(
        RuntimeError, match=r"must have one that works, got a GPU that fails \(CUDA error: no kernel image"
    ):
        say_where(gpu=True)
    assert len(capsys.readouterr().out.splitlines()) == 1
    say_where(gpu=False)


def test_a_card_that_multiplies_wrongly_and_no_card_stop_it_too(card, monkeypatch):
    full = torch.full
    monkeypatch.setattr(torch, "full", lambda size, value, device: full(size, value, device) + 1)
    with pytest.raises(RuntimeError, match="which multiplies wrongly"):
        say_where(gpu=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="asked for a GPU and must have one that works, got the CPU"):
        say_where(gpu=True)


def test_packed_features_are_no_output_on_kaggle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache/store").mkdir(parents=True)
    monkeypatch.delenv(place.RUN_TYPE, raising=False)
    hand_in()
    assert (tmp_path / "cache/store").exists()
    monkeypatch.setenv(place.RUN_TYPE, "Batch")
    hand_in()
    assert not (tmp_path / "cache").exists()


def test_the_best_by_cv_is_handed_in(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(place.RUN_TYPE, raising=False)
    hand_in()
    assert capsys.readouterr().out == "no submission was made\n"
    for number, cv in enumerate([0.5, 0.75, None]):
        (tmp_path / f"{number}.csv").write_text(str(number))
        row = {"run": "a", "name": "a", "sha256": str(number) * 64, "file": f"{number}.csv", "cv": cv}
        add_row("submissions/ledger.csv", row)
    hand_in()
    assert (tmp_path / "submission.csv").read_text() == "1"
    assert capsys.readouterr().out == "submission.csv: 1.csv, CV 0.7500\n"


def test_where_lower_is_better_the_lowest_is_handed_in(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(place.RUN_TYPE, raising=False)
    rows = [(0.5, "log_loss", False), (0.25, "log_loss", False), (0.1, "accuracy", True)]
    for number, (cv, metric, higher) in enumerate(rows):
        (tmp_path / f"{number}.csv").write_text(str(number))
        row = {"run": "a", "name": "a", "sha256": str(number) * 64, "file": f"{number}.csv", "cv": cv}
        add_row("submissions/ledger.csv", row | {"metric": metric, "higher_is_better": higher})
    hand_in()
    assert (tmp_path / "submission.csv").read_text() == "1"
    assert capsys.readouterr().out == "submission.csv: 1.csv, CV 0.2500\n"
