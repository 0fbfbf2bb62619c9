"""Notebook 09's figures and players: calls a class, the sites' own sound, what is taken for what, what gains what."""

import io
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kit.competition.competition import Competition
from kit.competition.labels import present_names
from kit.competition.metrics import MetricLike, as_metric
from kit.data.audio import load_wave
from kit.data.store import Store
from kit.results.bootstrap import Difference
from kit.results.figures import bin_hz, intervals, spectrograms, styled
from kit.studies.chorus_folder import SOUNDSCAPE

if TYPE_CHECKING:
    from IPython.display import Audio

PLAYED_HZ, PLAYED_SECONDS = 16000, 5.0
NAMED = 40  # classes that an axis names one by one
ROWS_OF_SITE = 60  # whose mean spectrum stands for a site's
SITES = 6


def class_bars(calls: pd.DataFrame) -> Figure:
    """Clips and annotated windows, if there are any, of each class; calls has a row a class, and these as columns."""
    columns = [column for column in calls if calls[column].any()]
    with styled():
        size = (9, 0.8 + 1.7 * len(columns))
        figure, grid = plt.subplots(len(columns), 1, figsize=size, sharex=True, squeeze=False)
        for axes, column in zip(grid[:, 0], columns, strict=True):
            axes.bar(np.arange(len(calls)), calls[column], width=0.85)
            none = int((calls[column] == 0).sum())
            axes.set(title=f"{column.capitalize()} a class: {none} of {len(calls)} classes have none", ylabel=column)
        if len(calls) <= NAMED:
            axes.set_xticks(np.arange(len(calls)), calls.index, rotation=60, ha="right", fontsize=8)
        axes.set_xlabel("class, most clips first")
    return figure


def site_spectra(competition: Competition, store: Store) -> Figure:
    """The mean log-mel of each site's soundscapes, and of clips, each less its own mean, as nets are given them."""
    tables = [competition.train, *([] if competition.unlabelled is None else [competition.unlabelled])]
    rows = pd.concat(tables, ignore_index=True)
    clip = (rows["source"] != SOUNDSCAPE) & rows["source"].notna()
    named = rows["site"].where(rows["site"].str.startswith("site "), "soundscapes")  # else it is a path
    name = named.where(~clip, "clips")
    shown = ["clips", *name[~clip].value_counts().index[:SITES]]
    number = pd.Series(np.arange(len(store.index)), index=store.index["id"])
    hz, levels = bin_hz(store.mel), {}  # pyrefly: ignore[bad-argument-type]
    for one in shown:
        ids = rows["id"][name == one]
        ids = ids.iloc[:: -(-len(ids) // ROWS_OF_SITE)]
        means = [store.recording(row).mean(0).numpy() for row in number.loc[ids] if store.index["frames"][row]]
        level = np.mean(means, axis=0)  # (F,)
        levels[one] = level - level.mean()
    with styled():
        figure, axes = plt.subplots(figsize=(7, 3.4))
        for one, level in levels.items():
            style = {"color": "0.4", "ls": "--"} if one == "clips" else {}
            axes.plot(hz / 1000, level, lw=1.8, label=one, **style)
        axes.set(title=_told_apart(levels, hz), xscale="log")
        axes.set(xlabel="frequency (kHz)", ylabel="mean log power, less its mean (nats)")
        axes.set_xticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
        axes.legend(fontsize=8)
    return figure


def _told_apart(levels: dict[str, np.ndarray], hz: np.ndarray) -> str:
    """Where soundscapes of different sites differ most; of one site alone, where they differ from clips."""
    sites = [name for name in levels if name != "clips"]
    what, names = ("Sites differ", sites) if len(sites) > 1 else ("Soundscapes and clips differ", list(levels))
    gap = np.ptp([levels[name] for name in names], axis=0)  # (F,)
    return f"{what} by up to {gap.max():.1f} nats, most at {hz[gap.argmax()] / 1000:.2g} kHz"


def rows_shown(store: Store, ids: list[str]) -> Figure:
    """Spectrograms of the first seconds of rows, those that `player` plays."""
    frames = max(1, round(PLAYED_SECONDS / store.mel.hop_seconds))
    numbers = [int(np.flatnonzero(store.index["id"] == name)[0]) for name in ids]
    labels = [", ".join(present_names(store.index["label"][row])) or "nothing" for row in numbers]
    titles = [f"{label}\n{name.rpartition('/')[2]}" for label, name in zip(labels, ids, strict=True)]
    mels = [store.recording(row)[:frames] for row in numbers]
    return spectrograms(mels, titles, columns=2, mel=store.mel)


def player(competition: Competition, name: str) -> "Audio":
    """What a training row's first seconds sound like, as MP3 at 16 kHz, so that a notebook stays small."""
    import soundfile
    from IPython.display import Audio

    row = competition.train.set_index("id").loc[name]
    first = 0 if np.isnan(row["start_seconds"]) else round(row["start_seconds"] * PLAYED_HZ)
    wave = load_wave(competition.folder / row["path"], PLAYED_HZ)[first : first + round(PLAYED_SECONDS * PLAYED_HZ)]
    wave, file = wave.numpy(), io.BytesIO()
    soundfile.write(file, 0.9 * wave / max(1e-6, np.abs(wave).max()), PLAYED_HZ, format="MP3")
    audio = Audio(file.getvalue())
    audio.mimetype = "audio/mpeg"  # it takes bytes for WAV
    return audio


def confusion(share: pd.DataFrame) -> Figure:
    """The table of kit.studies.chorus_errors.taken_for, of the classes that have rows, or the 40 hardest of them."""
    kept = share.index[share.notna().any(axis=1)]
    hardest = sorted(kept, key=lambda name: np.nan_to_num(share.loc[name, name]))[:NAMED]
    kept = [name for name in kept if name in set(hardest)]
    with styled():
        figure, axes = plt.subplots(figsize=(7.4, 6))
        image = axes.imshow(share.loc[kept, kept], vmin=0, vmax=1, cmap=plt.get_cmap("RdBu_r", 20))
        axes.set_xticks(np.arange(len(kept)), kept, rotation=90, fontsize=8)
        axes.set_yticks(np.arange(len(kept)), kept, fontsize=8)
        shown = share.loc[kept, kept].to_numpy()
        own, others = np.nanmedian(np.diag(shown)), np.nanmedian(shown[~np.eye(len(kept), dtype=bool)])
        axes.set(title=f"A class ranks at {own:.2f} where it calls, at {others:.2f} where another does (medians)")
        axes.set_xlabel("class that is ranked")
        axes.set_ylabel("class that calls")
        figure.colorbar(image, ax=axes, label="mean rank among all rows (0.5: as by chance)", fraction=0.04)
    return figure


def gains(changes: dict[str, Difference], metric: MetricLike) -> Figure:
    """What each change gains, with the interval of its own comparison."""
    metric = as_metric(metric)
    ends = [(name, one.delta, one.low, one.high) for name, one in changes.items()]
    table = pd.DataFrame(ends, columns=["name", "delta", "low", "high"])
    better = sum(all(metric.better(end, 0) for end in (one.low, one.high)) for one in changes.values())
    title = f"{better} of {len(changes)} changes are better than what they change, by their own intervals"
    return intervals(
        table, "delta", title, f"difference in {metric.name} (95 %, uncorrected)", zero=True, metric=metric
    )
