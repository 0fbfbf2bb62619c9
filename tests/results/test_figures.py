"""What the figures draw: the numbers they were given, axes with names and units, a colour a run."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from kit import preset
from kit.data.features import LogMel
from kit.results import figures
from kit.results.figures.style import COLORS, PLACES
from kit.studies.mixup_trial import mixups
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
    log = {"step": [1, 2], "lr": [1e-3, 0.0], "loss": [3.0, 2.0], "train_accuracy": [0.1, 0.4]}
    pd.DataFrame({**log, "valid_score": [0.2, 0.3], "valid_loss": [3.1, 2.5]}).to_csv(folder / "fold0/log.csv")
    return Run("run", {"name": "run"}, {"seed": 0, "metric": metric}, pd.DataFrame(), folder)


def drawn(folder):
    table = pd.DataFrame({"name": ["a", "b"], "delta": [0.1, np.nan], "low": [0.0, np.nan], "high": [0.2, np.nan]})
    cost = pd.DataFrame({"name": ["a"], "oof": [0.5], "low": [0.4], "high": [0.6], "minutes": [2.0]})
    square = pd.DataFrame(np.eye(2), ["a", "b"], ["a", "b"])
    bins = pd.DataFrame({"says": [0.2, 0.8], "right": [0.3, 0.7], "low": [0.2, 0.6], "high": [0.4, 0.8]})
    levels = pd.DataFrame(np.zeros((3, 40)), list("abc"))
    seconds, split = pd.Series([1.0, 2.0, 1.5]), pd.Series(["train", "train", "test"])
    return {
        "by split": figures.by_split(seconds, split, "Lengths", "length (s)"),
        "balance": figures.class_balance(pd.DataFrame({"label": ["a", "a", "b"]})),
        "spectrograms": figures.spectrograms([torch.rand(9, 40)] * 4, list("abcd"), mel=LogMel()),
        "mean spectra": figures.mean_spectra(levels, ["a", "b"], LogMel(), "Means"),
        "map": figures.embedding_map(np.zeros((3, 2)), list("abc"), ["a", "b"], "Map"),
        "curves": figures.learning_curves([learned(folder / "run")]),
        "minutes": figures.score_against_minutes(cost, "Cost"),
        "intervals": figures.intervals(table, "delta", "Differences", "difference", zero=True),
        "confusion": figures.confusion(square, "Confusion"),
        "calibration": figures.calibration(bins, "Calibration"),
        "errors": figures.error_correlation(square, "Errors"),
        "ledger": figures.cv_against_lb(ledger(), "Ledger"),
        "folds": figures.folds_against_lb({"a": [0.4, 0.5]}, {"a": 0.45}, "Folds"),
        "shake-up": figures.shake_up(pd.DataFrame({"name": ["a"], "public": [0.5], "private": [0.4]}), "Shake-up"),
    }


def test_every_figure_has_a_title_names_its_axes_and_keeps_legends_outside(tmp_path):
    named_by_ticks = {"intervals": "x", "errors": "", "shake-up": "y"}  # the other axis holds names of runs
    for name, figure in drawn(tmp_path).items():
        assert figure.dpi == 150, name
        shown = [axes for axes in figure.axes if axes.get_visible()]
        assert any(axes.get_title(loc="left") for axes in shown), name
        for axis in named_by_ticks.get(name, "xy"):
            assert any(getattr(axes, f"get_{axis}label")() for axes in shown), (name, axis)
        assert not any(axes.get_legend() for axes in shown), name


def test_an_interval_is_drawn_from_low_to_high_and_says_which_way_is_better():
    table = pd.DataFrame({"name": ["simple", "mine"], "delta": [0.1, -0.1], "low": [0.05, -0.3], "high": [0.2, 0.0]})
    axes = figures.intervals(table, "delta", "t", "gain").axes[0]
    segments = [line.get_segments()[0][:, 0].tolist() for line in axes.collections]
    assert segments == [[-0.3, 0.0], [0.05, 0.2]]  # the first row on top
    assert [line.get_color() for line in axes.lines] == [COLORS[1], COLORS[0]]
    assert axes.get_xlabel() == "gain    better →"
    axes = figures.intervals(table, "delta", "t", "gain", metric="log_loss").axes[0]
    assert axes.get_xlabel() == "gain    ← better"


def test_a_run_has_its_colour_whatever_stands_beside_it():
    alone, among = figures.run_styles(["masks"]), figures.run_styles(["mine", "masks", "simple", "yours"])
    assert alone["masks"] == among["masks"] and len({style["color"] for style in among.values()}) == 4
    many = figures.run_styles([f"run {number}" for number in range(14)])
    assert len({(style["color"], style["marker"]) for style in many.values()}) == 14
    assert figures.run_styles(["a", "a"]).keys() == {"a"}


def named_in(number):
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return set(re.findall(r'\bname=\\"([^"\\]+)\\"', path.read_text(encoding="utf-8"))) & set(PLACES)


@pytest.mark.parametrize(
    "names",
    [named_in("02"), named_in("03"), {experiment.name for experiment in mixups(preset("demo"), has_audio=True)}],
    ids=["02", "03", "04"],
)
def test_each_run_of_a_notebook_has_a_colour_of_its_own(names):
    assert names and len({PLACES[name] for name in names}) == len(names)


def test_colours_stay_apart_for_those_who_see_red_and_green_alike():
    """Simulated after Viénot, Brettel and Mollon 1999 (their matrix for deuteranopes, in linear RGB)."""
    rgb = np.array([[int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)] for color in COLORS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = linear @ np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]).T
    apart = np.linalg.norm(seen[:, None] - seen, axis=2) + np.eye(len(COLORS))
    assert apart.min() > 0.07, apart.round(2)


def test_scatter_has_cv_across_and_public_up_with_what_chance_leaves():
    axes = figures.cv_against_lb(ledger(), "t", public_rows=100).axes[0]
    marks = [line for line in axes.lines if line.get_marker() in ("o", "s")]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks] == [(0.5, 0.45), (0.7, 0.72)]
    across, up = (bars.get_segments()[0] for bars in axes.collections[:2])
    assert across[:, 0] == pytest.approx([0.4, 0.6])
    half = 1.96 * np.sqrt(0.45 * 0.55 / 100)
    assert up[:, 1] == pytest.approx([0.45 - half, 0.45 + half])
    assert axes.get_ylabel().startswith("public score (95 % of chance, 100 rows)")


def test_scatter_rings_what_fell():
    figure = figures.cv_against_lb(ledger().assign(public=[0.45, 0.40]), "t")
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "b"
    assert "CV rose, LB fell" in [text.get_text() for text in figure.legends[0].get_texts()]
    (ring,) = [line for line in figure.axes[0].lines if line.get_label() == "CV rose, LB fell"]
    assert ring.get_xdata().tolist() == [0.7]


def test_a_metric_that_is_no_share_has_no_bars_of_chance_and_its_own_direction():
    rows = ledger().assign(metric="log_loss", higher_is_better="False")
    axes = figures.cv_against_lb(rows, "t", public_rows=100).axes[0]
    assert len(axes.collections) == 2  # the intervals of CV alone
    assert axes.get_xlabel().endswith("← better")


def test_two_runs_of_one_name_are_both_drawn():
    axes = figures.cv_against_lb(ledger().assign(name="a"), "t").axes[0]
    assert len(axes.collections) == 2


def test_the_best_epoch_is_marked_by_the_metrics_direction(tmp_path):
    for metric, best, limits in (("accuracy", (2, 0.3), (0, 1)), ("log_loss", (1, 0.2), None)):
        loss, score, rate = figures.learning_curves([learned(tmp_path / metric, metric)]).axes
        mark = score.lines[1]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == best
        assert (score.get_ylim() == limits) == (limits is not None)
        assert [line.get_ydata().tolist() for line in loss.lines] == [[3.1, 2.5], [3.0, 2.0]]
        assert rate.lines[0].get_ydata().tolist() == [1e-3, 0.0]
        assert len(score.lines) == (3 if metric == "accuracy" else 2)
    assert score.get_ylabel() == "log_loss    ← better"


def test_a_run_on_all_rows_has_curves_without_a_mark(tmp_path):
    run = learned(tmp_path / "all")
    path = run.folder / "fold0/log.csv"
    pd.read_csv(path, index_col=0).assign(valid_score=np.nan, valid_loss=np.nan).to_csv(path)
    _, score, _ = figures.learning_curves([run]).axes
    assert [len(line.get_xdata()) for line in score.lines] == [2, 2], "validation, all NaN, and training"


def test_a_spectrogram_has_its_frequencies_where_its_bins_peak():
    mel = LogMel()
    axes = figures.spectrograms([torch.zeros(9, 40)], ["a"], columns=1, mel=mel).axes[0]
    assert axes.get_ylabel() == "frequency (kHz)"
    peaks = np.interp(axes.get_yticks(), np.arange(40), figures.bin_hz(mel) / 1000)
    labels = [float(text.get_text()) for text in axes.get_yticklabels()]
    assert labels == pytest.approx(peaks, rel=0.01)  # between two peaks a bin's number goes as the mel, not as the Hz
    assert np.allclose(figures.mel_bin(figures.bin_hz(mel), mel), np.arange(40))
    unknown = figures.spectrograms([torch.zeros(9, 40)], ["a"], columns=1).axes[0]
    assert unknown.get_ylabel() == "mel bin"


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
