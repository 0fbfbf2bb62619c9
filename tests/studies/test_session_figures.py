import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kit.studies.session_figures import prototype_similarities, session_curves


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def table():
    draws = [(0.9, 0.7), (0.9, 0.5)]
    rows = [
        {"recipe": "plain", "draw": draw, "session": session, "classes": 4 + 2 * session, "accuracy": value, "new": new}
        for draw, values in enumerate(draws)
        for session, (value, new) in enumerate(zip(values, (np.nan, 0.3), strict=True))
    ]
    return pd.DataFrame(rows)


def test_a_curve_is_the_mean_in_a_band_of_one_sd():
    axes = session_curves(table()).axes[0]
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([0.9, 0.6])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    sd = 0.2 / np.sqrt(2)
    assert (band.min(), band.max()) == pytest.approx((0.6 - sd, 0.9))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0\n4 classes", "1\n6 classes"]
    assert axes.get_title(loc="left") and axes.get_xlabel() and axes.get_ylabel() == "accuracy, all classes seen"


def test_the_new_classes_curve_starts_where_they_do():
    axes = session_curves(table(), "new").axes[0]
    assert axes.lines[0].get_xdata().tolist() == [1]


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
