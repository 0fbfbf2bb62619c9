"""Notebook 09's figures: what they draw, and a player's bytes."""

import io
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from kit.data.features import LogMel
from kit.results.bootstrap import Difference
from kit.studies import chorus_figures

NAN = float("nan")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def store():
    """A clip, and a window at each of two sites; the frames of row n are n more than its bins' numbers."""
    mel = LogMel(16000, 8, 0.025, 0.1, 20.0, 7600.0)
    index = pd.DataFrame({"id": ["c", "a", "b"], "label": ["x -*", "-*", "x y -*"], "frames": [70, 49, 49]})
    recording = lambda row: (torch.arange(8.0) * (row + 1)).expand(int(index["frames"][row]), 8)  # noqa: E731
    return SimpleNamespace(index=index, mel=mel, recording=recording)


def test_bars_count_calls_and_classes_without_any():
    calls = pd.DataFrame({"clips": [5, 2, 0], "windows": [0, 3, 1]}, index=["x", "y", "z"])
    above, below = chorus_figures.class_bars(calls).axes
    assert [bar.get_height() for bar in above.patches] == [5, 2, 0]
    assert below.get_title(loc="left") == "Windows a class: 1 of 3 classes have none"
    assert [text.get_text() for text in below.get_xticklabels()] == ["x", "y", "z"]


def test_without_annotated_windows_there_are_bars_of_clips_alone():
    calls = pd.DataFrame({"clips": [5, 2], "windows": [0, 0]}, index=["x", "y"])
    (axes,) = chorus_figures.class_bars(calls).axes
    assert axes.get_title(loc="left") == "Clips a class: 0 of 2 classes have none"


def test_each_site_has_its_mean_spectrum_less_its_level(store):
    columns = {"id": ["c", "a"], "site": ["ana", "site S1"], "source": ["clip", "soundscape"]}
    others = pd.DataFrame({"id": ["b"], "site": ["train_soundscapes/1.ogg"]})
    competition = SimpleNamespace(train=pd.DataFrame(columns), unlabelled=others)
    axes = chorus_figures.site_spectra(competition, store).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(lines) == ["clips", "site S1", "soundscapes"]
    assert np.allclose(lines["site S1"], 2 * (np.arange(8) - 3.5))
    assert "kHz" in axes.get_xlabel() and "nats" in axes.get_ylabel()
    # Row n has n times its bins' numbers, 3.5 less: of the ends 2 · 3.5 and 3 · 3.5, which differ by 3.5.
    assert axes.get_title(loc="left").startswith("Sites differ by up to 3.5 nats, most at ")


def test_of_one_site_it_is_told_how_clips_differ(store):
    columns = {"id": ["c", "b"], "site": ["ana", "site S1"], "source": ["clip", "soundscape"]}
    axes = chorus_figures.site_spectra(SimpleNamespace(train=pd.DataFrame(columns), unlabelled=None), store).axes[0]
    assert axes.get_title(loc="left").startswith("Soundscapes and clips differ by up to 7.0 nats, most at ")


def test_rows_are_shown_with_what_calls(store):
    figure = chorus_figures.rows_shown(store, ["c", "a"])
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["x\nc", "nothing\na"]
    assert figure.axes[0].images[0].get_array().shape == (8, 50), "five seconds of 70 frames"


def test_a_player_plays_the_row_alone(tmp_path):
    seconds = np.arange(48000) / 16000
    wave = 0.1 * np.sin(2 * np.pi * np.where(seconds < 1, 500, 3000) * seconds)
    soundfile.write(tmp_path / "s.wav", wave, 16000, subtype="FLOAT")
    row = {"id": ["w"], "path": ["s.wav"], "start_seconds": [1.0], "end_seconds": [3.0]}
    audio = chorus_figures.player(SimpleNamespace(folder=tmp_path, train=pd.DataFrame(row)), "w")
    assert audio.mimetype == "audio/mpeg"
    played, rate = soundfile.read(io.BytesIO(audio.data))
    spectrum = np.abs(np.fft.rfft(played))
    assert rate == 16000 and abs(len(played) / rate - 2) < 0.2
    assert abs(spectrum.argmax() * rate / len(played) - 3000) < 5 and 0.7 < np.abs(played).max() < 1.1


def test_confusion_leaves_out_classes_that_never_call():
    share = pd.DataFrame([[0.9, 0.6, NAN], [0.5, 0.8, NAN], [NAN] * 3], ["x", "y", "z"], ["x", "y", "z"])
    axes = chorus_figures.confusion(share).axes[0]
    assert axes.images[0].get_array().shape == (2, 2) and axes.images[0].get_clim() == (0, 1)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["x", "y"]
    title = "A class ranks at 0.85 where it calls, at 0.55 where another does (medians)"
    assert axes.get_title(loc="left") == title, "of 0.9 and 0.8, of 0.6 and 0.5"


@pytest.mark.parametrize(("metric", "better", "arrow"), [("roc_auc", 1, "better →"), ("log_loss", 2, "← better")])
def test_gains_are_drawn_with_which_way_is_better(metric, better, arrow):
    ends = {"a": (0.2, 0.1, 0.3), "b": (-0.1, -0.2, -0.05), "c": (0.0, -0.1, 0.1), "d": (-0.3, -0.4, -0.1)}
    changes = {name: Difference(*values, p=0.5) for name, values in ends.items()}
    axes = chorus_figures.gains(changes, metric).axes[0]
    title = f"{better} of 4 changes are better than what they change, by their own intervals"
    assert axes.get_title(loc="left") == title
    assert axes.get_xlabel().endswith(arrow) and "uncorrected" in axes.get_xlabel()
    assert [text.get_text() for text in axes.get_yticklabels()] == ["d", "c", "b", "a"]
