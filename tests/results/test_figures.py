import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from kit.data.store import pack
from kit.results import figures
from kit.training.runs import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def ledger():
    return pd.DataFrame(
        {"name": ["a", "b"], "cv": [0.5, 0.7], "cv_low": [0.4, 0.6], "cv_high": [0.6, 0.8], "public": [0.45, 0.72]}
    ).assign(metric="accuracy", higher_is_better="True")


def learned(folder, metric="accuracy"):
    """A run of one fold whose validation score rises from 0.2 to 0.3."""
    (folder / "fold0").mkdir(parents=True)
    pd.DataFrame({"step": [1, 2], "valid_score": [0.2, 0.3]}).to_csv(folder / "fold0/log.csv")
    return Run("run", {"name": "run"}, {"seed": 0, "metric": metric}, pd.DataFrame(), folder)


def drawn(voices, tmp_path):
    store = pack(voices, tmp_path, progress=False)
    table = pd.DataFrame({"name": ["a", "b"], "delta": [0.1, np.nan], "low": [0.0, np.nan], "high": [0.2, np.nan]})
    return {
        "lengths": figures.lengths(store),
        "balance": figures.class_balance(voices.train),
        "spectrograms": figures.spectrograms([torch.rand(9, 4)] * 4, list("abcd")),
        "curves": figures.learning_curves([learned(tmp_path / "run")]),
        "intervals": figures.intervals(table, "delta", "title", "difference", zero=True),
        "ledger": figures.cv_against_lb(ledger(), "title"),
    }


def test_every_figure_names_its_axes_and_says_something(voices, tmp_path):
    for name, figure in drawn(voices, tmp_path).items():
        shown = [axes for axes in figure.axes if axes.get_visible()]
        assert any(axes.get_title(loc=side) for axes in shown for side in ("left", "center")), name
        assert (
            any(axes.get_xlabel() for axes in shown) and any(axes.get_ylabel() for axes in shown) or name == "intervals"
        )


def test_an_interval_is_drawn_from_low_to_high():
    table = pd.DataFrame({"name": ["a"], "delta": [0.1], "low": [0.05], "high": [0.2]})
    axes = figures.intervals(table, "delta", "t", "x").axes[0]
    (segment,) = axes.collections[0].get_segments()
    assert segment[:, 0].tolist() == [0.05, 0.2]


def test_scatter_has_cv_across_and_public_up():
    axes = figures.cv_against_lb(ledger(), "t").axes[0]
    assert axes.lines[0].get_xdata().tolist() == [0.5, 0.7] and axes.lines[0].get_ydata().tolist() == [0.45, 0.72]


def test_scatter_marks_what_fell_and_shows_the_chance_of_the_public_rows():
    rows = ledger().assign(public=[0.45, 0.40])
    axes = figures.cv_against_lb(rows, "t", public_rows=100).axes[0]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["CV rose, LB fell", "95 % of chance, 100 public rows"]
    band = axes.collections[-1].get_paths()[0].vertices
    middle = 0.4 - 0.175  # the mean of public less CV is -0.175, and 0.4 where the band begins
    half = 1.96 * np.sqrt(middle * (1 - middle) / 100)
    at_first = band[np.isclose(band[:, 0], 0.4), 1]
    assert (at_first.min(), at_first.max()) == (pytest.approx(middle - half), pytest.approx(middle + half))
    assert figures.cv_against_lb(ledger(), "t").axes[0].get_legend() is None


def test_the_best_epoch_is_marked_by_the_metrics_direction(tmp_path):
    for metric, best, limits in (("accuracy", (2, 0.3), (0, 1)), ("log_loss", (1, 0.2), None)):
        axes = figures.learning_curves([learned(tmp_path / metric, metric)]).axes[0]
        mark = axes.lines[1]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == best
        assert (axes.get_ylim() == limits) == (limits is not None)
    assert axes.get_ylabel() == "validation log_loss (lower is better)"


def test_a_metric_that_is_no_share_has_no_band():
    rows = ledger().assign(metric="log_loss", higher_is_better="False")
    assert len(figures.cv_against_lb(rows, "t", public_rows=100).axes[0].collections) == 1  # the intervals of CV alone


def test_importing_the_figures_changes_no_setting():
    code = (
        "import matplotlib; before = dict(matplotlib.rcParams.copy())\n"
        "import kit.results.figures, kit.studies.session_figures\n"
        "import matplotlib.pyplot as plt; assert not plt.get_fignums()\n"
        "changed = [k for k, v in matplotlib.rcParams.copy().items() if before[k] != v]\n"
        "assert not changed, changed"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_settings_outside_stay_as_they_are():
    before = dict(plt.rcParams)
    figures.intervals(pd.DataFrame({"name": ["a"], "x": [0.1], "low": [0.0], "high": [0.2]}), "x", "t", "x")
    assert dict(plt.rcParams) == before
