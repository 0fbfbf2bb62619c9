"""The trial changes the mixup and nothing else, and tells sizes, minutes and fit as they are."""

from types import SimpleNamespace

import pandas as pd
import pytest

from kit import preset
from kit.data.samplers import SomeRows
from kit.experiment import changes
from kit.studies import mixup_trial
from kit.studies.mixup_pages import gain_by_size, page
from kit.studies.mixup_trial import Fit, at_equal_minutes, budget, fitted, mixups, of_size


def test_the_six_differ_in_their_mixup_alone():
    none, *others = mixups(budget(preset("demo"), 400, 48), has_audio=True)
    assert [other.name for other in others] == ["input", "manifold", "last_layer", "lpc", "lpc_input"]
    for other in others:
        changed = {name.split("__")[0] for name in changes(none.to_dict(), other.to_dict())}
        assert "name" in changed and changed <= {"name", "mix", "views"}


def test_a_budget_has_its_updates_and_nothing_that_regularises():
    base = budget(preset("demo"), 450, 48)
    assert (base.loop.epochs, base.loop.epoch_steps, base.loop.patience) == (4, 112, 4)
    assert base.augment == () and base.net.backbone.dropout == 0 and base.net.backbone.ff_width == 96


def test_a_size_changes_the_rows_alone():
    base = preset("demo")
    assert of_size(base, 1) is base and of_size(base, 0.25).sampler == SomeRows(0.25)


def test_what_takes_longer_gets_fewer_updates(monkeypatch):
    experiments = mixups(budget(preset("demo"), 400, 48), has_audio=True)[:3]
    minutes = pd.DataFrame({"name": ["none", "input", "manifold"], "minutes": [2.0, 2.2, 5.0]})
    monkeypatch.setattr(mixup_trial, "cv_table", lambda runs: minutes)
    (shorter,) = at_equal_minutes([], experiments)
    assert shorter.name == "manifold, equal minutes" and shorter.loop.epoch_steps == 40, "100 updates an epoch / 2.5"
    assert set(changes(experiments[2].to_dict(), shorter.to_dict())) == {"name", "loop__epoch_steps"}


def test_the_fit_is_the_last_epochs_over_folds(tmp_path):
    for fold, accuracy in enumerate((0.5, 1.0)):
        (tmp_path / f"fold{fold}").mkdir()
        log = pd.DataFrame(
            {"train_accuracy": [0.0] * 7 + [accuracy], "valid_score": [0.0] * 5 + [0.2, 0.3, 0.25 + fold]}
        )
        log.to_csv(tmp_path / f"fold{fold}/log.csv", index=False)
    fit = fitted([SimpleNamespace(folder=tmp_path)])
    assert fit == pytest.approx(Fit(0.75, 0.55)), (
        "a quarter of eight epochs is two: 0.25 - 0.2 and 1.25 - 0.2, their mean"
    )


def test_a_page_tells_the_size_the_fit_and_the_minutes():
    nan = float("nan")
    table = pd.DataFrame(
        [("none", 1, 0.5, 0.0, nan, nan, nan, ""), ("lpc", 1, 0.6, 0.1, 0.05, 0.15, 0.01, "differs")],
        columns=["name", "seeds", "score", "delta", "low", "high", "p", "verdict"],
    ).assign(p_holm=[nan, 0.01], minutes=[1.0, 2.5], size=0.5)  # fmt: skip
    text = page(table, Fit(0.991, 0.002), 90, 400)
    assert text.startswith("## 0.5 of each class's rows")
    assert "90 rows out of fold, 1 seed, 400 updates" in text and "99.1% of its training crops" in text
    assert "+0.002" in text and "| lpc" in text and "2.5" in text
    larger = table.assign(size=1.0)
    figure = gain_by_size([table, larger], "accuracy")
    (axes,) = figure.axes
    assert "better →" in axes.get_ylabel() and [tick.get_text() for tick in axes.get_xticklabels()] == ["0.5", "1"]
