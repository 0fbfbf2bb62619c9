import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from kit.studies import image_figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_images_show_their_pixels_and_titles():
    rows = torch.tensor([[[1, 2, 3, 4, 5, 6], [7, 8, 9, 250, 251, 252]]], dtype=torch.uint8)
    figure = image_figures.images(rows, 3, ["a cat"], "Animals")
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (2, 2, 3) and np.allclose(shown[1, 1] * 255, [250, 251, 252])
    assert figure.axes[0].get_title() == "a cat" and figure.get_suptitle() == "Animals"


def test_grey_images_are_on_the_scale_of_black_and_white():
    grey = image_figures.images(torch.tensor([[[100.0, 200], [0, 50]]]), 1, ["1"], "Digits").axes[0].images[0]
    assert grey.get_array().shape == (2, 2) and grey.get_clim() == (0, 1)


def test_a_curve_for_each_experiment():
    table = pd.DataFrame({"t": [0.0, 0.5, 1.0], "none": [0.9, 0.8, 0.9], "input": [0.8, 0.5, 0.8]})
    figure = image_figures.confidence(table, "Less sure between")
    axes = figure.axes[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["none", "input"]
    assert axes.lines[1].get_ydata().tolist() == [0.8, 0.5, 0.8]
    assert axes.get_title(loc="left") == "Less sure between" and axes.get_xlabel() and axes.get_ylabel()
