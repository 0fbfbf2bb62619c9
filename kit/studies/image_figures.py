"""Notebook 08's figures: images, and confidence along the lines between them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from kit.results.figures import styled


def images(rows: Sequence[Tensor], channels: int, titles: Sequence[str], title: str) -> Figure:
    """Images (H, W · channels) of 0 to 255 side by side."""
    with styled():
        figure, grid = plt.subplots(1, len(rows), figsize=(0.95 * len(rows), 1.5), squeeze=False)
        for axes, row, name in zip(grid[0], rows, titles, strict=True):
            pixels = np.asarray(row).reshape(len(row), -1, channels) / 255
            axes.imshow(pixels[..., 0] if channels == 1 else pixels, cmap="gray", vmin=0, vmax=1)
            axes.set_title(name, fontsize=8, loc="center")
            axes.axis("off")
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def confidence(table: pd.DataFrame, n_pairs: int) -> Figure:
    """A curve an experiment: columns t and one of mean confidence for each."""
    with styled():
        figure, axes = plt.subplots(figsize=(7, 3.6))
        for name in table.columns.drop("t"):
            axes.plot(table["t"], table[name], lw=2, label=name)
        axes.set(
            title=f"How sure each net is between two test images, {n_pairs} pairs of two classes",
            xlabel="t, share of the second image", ylabel="mean of the highest probability", xlim=(0, 1),
        )  # fmt: skip
        axes.legend(loc="lower right", ncols=2)
    return figure
