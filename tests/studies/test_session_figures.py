from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from kit.data.features import LogMel
from kit.studies.session_draws import Sessions
from kit.studies.session_figures import confused_players, difference_intervals, prototype_similarities, session_curves
from kit.studies.session_protocol import Protocol

SMALL = Protocol(("on", "off", "up", "down"), n_base=2, sessions=2, ways=1, shots=1)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def sessions():
    """One row a word in two draws: all right, but "up" in the second draw after the last session."""
    target = np.arange(4)
    predicted = np.broadcast_to(target[:, None], (1, 2, 4, 3)).copy()
    predicted[0, 1, 2, 2] = 0
    return Sessions(SMALL, target, target, None, {"plain": predicted, "other": predicted})


def test_curves_are_means_in_a_band_of_one_sd():
    left, right = session_curves(sessions(), ["plain"], "t").axes
    assert left.lines[0].get_ydata().tolist() == pytest.approx([1, 1, 7 / 8])
    assert right.lines[0].get_xdata().tolist() == [1, 2], "new words come with the first session"
    assert right.lines[0].get_ydata().tolist() == pytest.approx([1, 3 / 4])
    band = right.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(3 / 4 - np.std([1, 1 / 2], ddof=1))
    assert [label.get_text() for label in left.get_xticklabels()] == ["0\n2 words", "1\n3 words", "2\n4 words"]
    assert left.get_ylabel() == "accuracy, all words so far" and left.get_xlabel()


def test_a_method_has_its_colour_whatever_else_is_drawn():
    both, alone = session_curves(sessions(), ["plain", "other"], "t"), session_curves(sessions(), ["other"], "t")
    assert both.axes[0].lines[1].get_color() == alone.axes[0].lines[0].get_color()


def test_differences_have_the_colours_of_the_curves():
    table = pd.DataFrame([("other − plain", "other", 0.1, 0.0, 0.3), ("plain − other", "plain", -0.1, -0.3, 0.0)],
                         columns=["name", "ours", "delta", "low", "high"])  # fmt: skip
    axes = difference_intervals(table, sessions(), "t", "Δ accuracy").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["plain − other", "other − plain"]
    curves = session_curves(sessions(), ["plain", "other"], "t").axes[0].lines
    assert [dot.get_color() for dot in axes.lines[:2]] == [line.get_color() for line in curves]
    assert axes.collections[1].get_segments()[0].tolist() == [[0.0, 1.0], [0.3, 1.0]]
    assert axes.get_xlabel() == "Δ accuracy    better →"


def test_similarities_are_named_and_new_classes_marked():
    similarity = np.array([[1.0, 0.2, -0.4], [0.2, 1.0, 0.1], [-0.4, 0.1, 1.0]])
    axes = prototype_similarities(similarity, ["on", "off", "up"], 2, "t").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["on", "off", "up"]
    assert [label.get_fontweight() == "bold" for label in axes.get_xticklabels()] == [False, False, True]
    assert axes.images[0].get_clim() == (-0.4, 0.4), "the diagonal leaves the colours to the rest"
    assert axes.lines[0].get_xdata()[0] == 1.5, "the line is between base and new"


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"similarity must be \(2, 2\) like names, got \(3, 3\)"):
        prototype_similarities(np.eye(3), ["a", "b"], 1, "t")
    with pytest.raises(ValueError, match="n_base must be above 0 and below 2, got 2"):
        prototype_similarities(np.eye(2), ["a", "b"], 2, "t")


@dataclass
class Sounds:
    """As much of a store as is played."""

    kind: str = "wave"
    classes: tuple = ("on", "off", "up")
    mel: LogMel = LogMel()
    index: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"target": [0, 1, 2, 2, 0]}))
    played: list = field(default_factory=list)

    def recording(self, row):
        self.played.append(int(row))
        return torch.randn(1600, 1)


def test_confusions_are_played_beside_examples_of_both_words():
    table = pd.DataFrame([("up", "on", 0.25, 3, 0.5)], columns=["word", "taken_for", "share", "row", "times"])
    store = Sounds()
    page = confused_players(table, store, np.array([4, 2, 1]), 2).data
    assert store.played == [3, 2, 4] and page.count("<audio") == 3
    assert "up (new)" in page and "on (base)" in page and "0.250" in page and "0.500" in page
    mute = confused_players(table, Sounds(kind="mel"), np.array([4, 2, 1]), 2).data
    assert "<audio" not in mute and mute.count("no audio") == 3
