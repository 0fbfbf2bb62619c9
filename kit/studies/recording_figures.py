"""Figures of recordings: bands and boxes of what calls in them, and what a model hears frame by frame."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.data.store import Store
from kit.results.figures import RANGE_NATS, frequency_axis, mel_bin, styled
from kit.results.figures.style import COLORS
from kit.training.framewise import frame_edges

LIKELY = 0.5  # a class is drawn where a frame gives it as much
SHADES = 24  # of a spectrogram: more make its PNG larger, not clearer
LABEL_BINS = 8  # that a species' name takes
BANDS_KHZ = (0.25, 0.5, 1, 2, 4, 8, 16)


def species_bands(table: pd.DataFrame, title: str) -> Figure:
    """Each species' band, and how many of its boxes were right and wrong; a table of kit.studies.forest_calls."""
    place = np.arange(len(table))
    with styled():
        figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4.4), sharex=True, height_ratios=(3, 2))
        low, high = table["from (kHz)"], table["to (kHz)"]
        above.bar(place, high - low, bottom=low, width=0.7, color=COLORS[0])
        above.set(title=title, ylabel="band (kHz)", yscale="log")
        shown = [khz for khz in BANDS_KHZ if low.min() / 1.5 <= khz <= 1.5 * high.max()]
        above.set_yticks(shown, [f"{khz:g}" for khz in shown])
        above.minorticks_off()
        below.bar(place, table["right"], width=0.7, color=COLORS[2], label="right")
        below.bar(place, -table["wrong"], width=0.7, color=COLORS[1], label="wrong")
        below.axhline(0, color="0.4", lw=1)
        below.set(xlabel="species, the lowest band first", ylabel="checked boxes")
        below.yaxis.set_major_formatter(lambda count, _: f"{abs(count):g}")
        below.set_xticks(place, table["species"], rotation=60, fontsize=8)
        figure.legend(loc="outside right lower")
    return figure


def boxed_spectrogram(store: Store, row: int, calls: pd.DataFrame, title: str) -> Figure:
    """One recording with boxes: calls has columns label, t_min and t_max (s), f_min and f_max (Hz)."""
    with styled():
        figure, axes = plt.subplots(figsize=(8, 3))
        _draw_spectrogram(axes, store, row, calls)
        axes.set(title=title, xlabel="time (s)")
    return figure


def frame_predictions(store: Store, row: int, probability: np.ndarray, calls: pd.DataFrame, title: str) -> Figure:
    """As `boxed_spectrogram`, over the frame-wise probabilities (T', C) of the classes that call or are heard."""
    edges = frame_edges(len(probability), int(store.index["frames"].iat[row])) * store.mel.hop_seconds
    heard = [name for number, name in enumerate(store.classes) if probability[:, number].max() >= LIKELY]
    shown = sorted({*heard, *calls["label"]}, key=store.classes.index)
    with styled():
        figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4.8), sharex=True, height_ratios=(3, 2))
        _draw_spectrogram(above, store, row, calls)
        above.set_title(title)
        table = probability[:, [store.classes.index(name) for name in shown]].T  # (shown, T')
        mesh = below.pcolormesh(edges, np.arange(len(shown) + 1), table, vmin=0, vmax=1, cmap="Greys")
        for call in calls.itertuples():
            height = shown.index(call.label) + 0.5
            below.hlines(height, call.t_min, call.t_max, color=COLORS[1], lw=3)
        below.set_yticks(np.arange(len(shown)) + 0.5, shown, fontsize=8)
        below.set(xlabel="time (s); orange: where the boxes above are", ylabel="species")
        figure.colorbar(mesh, ax=below, label="probability\nof a frame", fraction=0.03)
    return figure


def _draw_spectrogram(axes: Axes, store: Store, row: int, calls: pd.DataFrame) -> None:
    mel = store.recording(row).numpy()
    highest = np.percentile(mel, 99.8)
    lowest = max(np.percentile(mel, 5), highest - RANGE_NATS)
    extent = (0, len(mel) * store.mel.hop_seconds, -0.5, store.n_mels - 0.5)
    axes.imshow(
        mel.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent, vmin=lowest, vmax=highest,
        cmap=plt.get_cmap("magma", SHADES),
    )  # fmt: skip
    for call in calls.itertuples():
        low, high = mel_bin(np.array([call.f_min, call.f_max]), store.mel)  # pyrefly: ignore[bad-argument-type]
        box = plt.Rectangle((call.t_min, low), call.t_max - call.t_min, high - low, fill=False, ec="white", lw=1)
        axes.add_patch(box)
        inside = min(high + 1, store.n_mels - LABEL_BINS)  # of the axes
        axes.text(call.t_min, inside, call.label, color="white", fontsize=8)
    frequency_axis(axes, store.mel)
