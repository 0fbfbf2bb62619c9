"""Figures of the data: spectrograms with their frequencies, lengths, classes, mean spectra, a map of embeddings."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kit.data.features import LogMel
from kit.results.figures.style import COLORS, MARKERS, styled

RANGE_NATS = 12.0  # what a spectrogram shows below its loudest, 52 dB: silence would take all the colours
TICKS_HZ = (100, 200, 500, 1000, 2000, 4000, 8000, 16000)
LEAST_GAP = 0.07  # of an axis, between two ticks


def by_split(values: pd.Series, split: pd.Series, title: str, xlabel: str) -> Figure:
    """How a quantity of utterances is spread, training beside test."""
    with styled():
        figure, axes = plt.subplots(figsize=(7, 2.8))
        span = values.max() - values.min()
        bins = np.linspace(values.min() - 0.02 * span, values.max() + 0.02 * span, 25) if span else 1
        for color, name in zip(COLORS, split.unique(), strict=False):
            part = values[split == name]
            weights = np.full(len(part), 100 / len(part))
            axes.hist(part, bins, weights=weights, histtype="step", lw=2, label=name, color=color)
        axes.set(title=title, xlabel=xlabel, ylabel="share of the split (%)")
        figure.legend(loc="outside right center")
    return figure


def class_balance(train: pd.DataFrame) -> Figure:
    """Training utterances of each class, the commonest first."""
    counts = train["label"].value_counts()
    with styled():
        figure, axes = plt.subplots(figsize=(7, 2.6))
        axes.bar(np.arange(len(counts)), counts, width=0.9)
        span = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
        title = f"{len(counts)} classes, {span} training utterances each"
        axes.set(title=title, xlabel="class, by number of utterances", ylabel="training utterances")
    return figure


def spectrograms(
    mels: Sequence[Tensor],
    titles: Sequence[str],
    columns: int = 3,
    hop_seconds: float = 0.01,
    mel: LogMel | None = None,
) -> Figure:
    """Log-mels (T, F) side by side, on one colour scale.

    mel says what frequencies the bins are of, and the hop; where it is None the axis has bins, for no one knows more.
    """
    rows, hop_seconds = -(-len(mels) // columns), mel.hop_seconds if mel else hop_seconds
    lowest, highest = np.percentile(np.concatenate([np.ravel(one) for one in mels]), [2, 99.5])
    lowest = max(lowest, highest - RANGE_NATS)
    with styled():
        figure, grid = plt.subplots(rows, columns, figsize=(2.7 * columns, 1.8 * rows + 0.4), squeeze=False)
        for axes in grid.flat[len(mels) :]:
            axes.set_visible(False)
        for axes, one, title in zip(grid.flat, mels, titles, strict=False):
            extent = (0, len(one) * hop_seconds, -0.5, one.shape[1] - 0.5)
            image = axes.imshow(
                np.asarray(one).T, origin="lower", aspect="auto", interpolation="nearest", extent=extent,
                vmin=lowest, vmax=highest, cmap=plt.get_cmap("magma", 32),
            )  # fmt: skip
            axes.set_title(title, fontsize=9)
            frequency_axis(axes, mel, named=axes.get_subplotspec().is_first_col())
        for axes in grid[-1]:
            axes.set_xlabel("time (s)")
        figure.colorbar(image, ax=grid, label="log power (nats)", fraction=0.03)
    return figure


def frequency_axis(axes: Axes, mel: LogMel | None, named: bool = True) -> None:
    """Makes a spectrogram's upright axis, of bins, one in kHz; a log-mel that nobody knows keeps its bins."""
    if mel is not None:
        ticks, last = [], -np.inf
        for hz in TICKS_HZ:
            place = float(mel_bin(np.array(hz), mel))
            if -0.5 <= place <= mel.n_mels - 0.5 and place - last >= LEAST_GAP * mel.n_mels:
                ticks.append((hz, place))
                last = place
        axes.set_yticks([place for _, place in ticks], [f"{hz / 1000:g}" for hz, _ in ticks], fontsize=8)
    if named:
        axes.set_ylabel("mel bin" if mel is None else "frequency (kHz)")


def mel_bin(hz: np.ndarray, mel: LogMel) -> np.ndarray:
    """Where a frequency lies among the bins, a bin's number being where its triangle peaks; HTK's mel scale."""
    low, high, here = (np.log1p(np.asarray(value) / 700) for value in (mel.fmin_hz, mel.fmax_hz, hz))
    return (here - low) / (high - low) * (mel.n_mels + 1) - 1


def bin_hz(mel: LogMel) -> np.ndarray:
    """Where each bin's triangle peaks (F,), Hz."""
    low, high = np.log1p(np.array([mel.fmin_hz, mel.fmax_hz]) / 700)
    return 700 * np.expm1(low + (high - low) * np.arange(1, mel.n_mels + 1) / (mel.n_mels + 1))


def mean_spectra(levels: pd.DataFrame, shown: Sequence[str], mel: LogMel | None, title: str) -> Figure:
    """The mean log-mel (F,) of each class, a row of levels: those shown in colour, over where all others lie."""
    across = np.arange(levels.shape[1]) if mel is None else bin_hz(mel) / 1000
    with styled():
        figure, axes = plt.subplots(figsize=(7, 3.4))
        if len(rest := levels.loc[levels.index.difference(shown)]):
            axes.fill_between(across, rest.min(), rest.max(), color="0.88", lw=0, label=f"the other {len(rest)}")
        for name, color in zip(shown, COLORS, strict=False):
            axes.plot(across, levels.loc[name], lw=1.8, color=color, label=name)
        axes.set(title=title, ylabel="mean log power (nats)")
        if mel is None:
            axes.set_xlabel("mel bin")
        else:
            axes.set(xlabel="frequency (kHz)", xscale="log")
            ticks = [hz / 1000 for hz in TICKS_HZ if across[0] <= hz / 1000 <= across[-1]]
            axes.set_xticks(ticks, [f"{khz:g}" for khz in ticks])
            axes.minorticks_off()
        figure.legend(loc="outside right center")
    return figure


def embedding_map(points: np.ndarray, labels: np.ndarray | Sequence[str], shown: Sequence[str], title: str) -> Figure:
    """Utterances as points (N, 2): the classes shown in colour, all others in grey."""
    labels = np.asarray(labels)
    with styled():
        figure, axes = plt.subplots(figsize=(6.4, 4.4))
        rest = ~np.isin(labels, shown)
        if rest.any():
            axes.plot(*points[rest].T, ".", color="0.82", ms=4, label="other classes", zorder=0)
        for name, color, marker in zip(shown, COLORS, MARKERS, strict=False):
            axes.plot(*points[labels == name].T, ls="", marker=marker, color=color, ms=6, label=name)
        axes.set(title=title, xlabel="first coordinate (no unit)", ylabel="second coordinate (no unit)")
        axes.set_xticks([])
        axes.set_yticks([])
        figure.legend(loc="outside right center")
    return figure
