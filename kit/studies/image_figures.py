"""Notebook 08's figures: images, and confidence along the lines between them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from kit.results.figures import run_styles, styled


def images(rows: Sequence[Tensor], channels: int, titles: Sequence[str], title: str) -> Figure:
    """Images (H, W · channels) of 0 to 255 side by side."""
    with styled():
        figure, grid = plt.subplots(1, len(rows), figsize=(0.75 * len(rows), 1.3), squeeze=False)
        for axes, row, name in zip(grid[0], rows, titles, strict=True):
            pixels = np.asarray(row).reshape(len(row), -1, channels) / 255
            axes.imshow(pixels[..., 0] if channels == 1 else pixels, cmap="gray", vmin=0, vmax=1)
            axes.set_title(name, fontsize=8, loc="center")
            axes.axis("off")
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure


def confidence(table: pd.DataFrame, title: str) -> Figure:
    """A curve an experiment: columns t and one of mean confidence for each."""
    names = list(table.columns.drop("t"))
    with styled():
        figure, axes = plt.subplots(figsize=(7, 3.8))
        for name, style in run_styles(names).items():
            axes.plot(table["t"], table[name], lw=2, ms=5, label=name, **style)
        axes.set(title=title, xlabel="t, share of the second image", xlim=(0, 1))
        axes.set_ylabel("mean of the highest probability")
        figure.legend(loc="outside lower center", ncols=len(names))
    return figure
