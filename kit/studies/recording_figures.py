"""Figures of recordings: a spectrogram with the boxes of what calls in it, and what a model hears frame by frame."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.data.features import LogMel
from kit.data.store import Store
from kit.results.figures import RANGE_NATS, styled
from kit.training.framewise import frame_edges

LIKELY = 0.5  # a class is drawn where a frame gives it as much


def boxed_spectrogram(store: Store, row: int, calls: pd.DataFrame, title: str) -> Figure:
    """One recording with boxes: calls has columns label, t_min and t_max (s), f_min and f_max (Hz)."""
    with styled():
        figure, axes = plt.subplots(figsize=(9, 3.2))
        _draw_spectrogram(axes, store, row, calls)
        axes.set(title=title, xlabel="time (s)")
    return figure


def frame_predictions(store: Store, row: int, probability: np.ndarray, calls: pd.DataFrame, title: str) -> Figure:
    """As `boxed_spectrogram`, over the frame-wise probabilities (T', C) of the classes that call or are heard."""
    edges = frame_edges(len(probability), int(store.index["frames"].iat[row])) * store.mel.hop_seconds
    heard = [name for number, name in enumerate(store.classes) if probability[:, number].max() >= LIKELY]
    shown = sorted({*heard, *calls["label"]}, key=store.classes.index)
    with styled():
        figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5), sharex=True, height_ratios=(3, 2))
        _draw_spectrogram(above, store, row, calls)
        above.set_title(title)
        table = probability[:, [store.classes.index(name) for name in shown]].T  # (shown, T')
        mesh = below.pcolormesh(edges, np.arange(len(shown) + 1), table, vmin=0, vmax=1, cmap="Greys")
        for call in calls.itertuples():
            height = shown.index(call.label) + 0.5
            below.hlines(height, call.t_min, call.t_max, color="#e07a3f", lw=3)
        below.set_yticks(np.arange(len(shown)) + 0.5, shown, fontsize=8)
        below.set(xlabel="time (s)", ylabel="class")
        below.set_title("probability of each frame; lines are where it truly calls", fontsize=9)
        figure.colorbar(mesh, ax=below, label="probability", fraction=0.03)
    return figure


def mel_bin(hz: np.ndarray, mel: LogMel) -> np.ndarray:
    """Where a frequency lies among the bins, a bin's number being where its triangle peaks; HTK's mel scale."""
    low, high, here = (np.log1p(np.asarray(value) / 700) for value in (mel.fmin_hz, mel.fmax_hz, hz))
    return (here - low) / (high - low) * (mel.n_mels + 1) - 1


def _draw_spectrogram(axes: Axes, store: Store, row: int, calls: pd.DataFrame) -> None:
    mel = store.recording(row).numpy()
    highest = np.percentile(mel, 99.8)
    lowest = max(np.percentile(mel, 5), highest - RANGE_NATS)
    extent = (0, len(mel) * store.mel.hop_seconds, -0.5, store.n_mels - 0.5)
    axes.imshow(mel.T, origin="lower", aspect="auto", extent=extent, vmin=lowest, vmax=highest, cmap="magma")
    for call in calls.itertuples():
        low, high = mel_bin(np.array([call.f_min, call.f_max]), store.mel)
        box = plt.Rectangle((call.t_min, low), call.t_max - call.t_min, high - low, fill=False, ec="white", lw=1)
        axes.add_patch(box)
        axes.text(call.t_min, high + 1, call.label, color="white", fontsize=8)
    axes.set_ylabel("mel bin")
