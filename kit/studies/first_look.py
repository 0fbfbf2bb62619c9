"""Notebook 01: what the files are, how loud, silent and clipped, and what a class sounds like on average."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from kit.competition.competition import Competition
from kit.competition.headers import audio_header
from kit.data.audio import load_wave
from kit.data.features import LogMel
from kit.data.inspect import Suspicion, summaries
from kit.data.store import Store

MOST_FILES = 200  # of a split that are opened for what is in them
SILENT_DB = -60.0  # below full scale
CLIPPED = 0.999  # of full scale
BLOCK_SECONDS = 0.025
ALIKE = 1e-2  # nats by which the log-mels of a file, in half precision near −20, may differ from those of its audio


def overview(competition: Competition, store: Store) -> pd.DataFrame:
    """A row a split: how many utterances, hours and groups, how long they are, and the audio's sample rates."""
    hop = store.mel.hop_seconds if store.mel else LogMel().hop_seconds
    rows = []
    for split, table in {"train": competition.train, "test": competition.test}.items():
        seconds = store.index["frames"].iloc[store.rows(split)] * hop
        row = {
            "split": split, "utterances": len(seconds), "hours": f"{seconds.sum() / 3600:.2f}",
            "shortest (s)": f"{seconds.min():.2f}", "median (s)": f"{seconds.median():.2f}",
            "longest (s)": f"{seconds.max():.2f}", "sample rates": rates_told(competition, table),
            "groups": table["group"].nunique() if "group" in table else "none named",
        }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows)


def rates_told(competition: Competition, table: pd.DataFrame) -> str:
    """The sample rates of a table's files, the commonest first: "16 kHz (790), 44.1 kHz (10)"."""
    if "audio" not in table:
        return "no audio"
    headers = (audio_header(competition.listing, path) for path in dict.fromkeys(table["audio"]))
    rates = Counter("unreadable" if isinstance(header, str) else f"{header[1] / 1000:g} kHz" for header in headers)
    return ", ".join(f"{rate} ({count})" for rate, count in rates.most_common())


def levels(competition: Competition, seed: int = 0, most: int = MOST_FILES) -> pd.DataFrame | None:
    """A row a file, at most `most` of a split drawn at random: how loud it is (dB below full scale, of its mean power),

    which share of its blocks of 25 ms is silent (below −60 dB), and which of its samples clipped (at full scale). None
    where the folder has no audio.
    """
    if "audio" not in competition.train:
        return None
    rng, rows = np.random.default_rng(seed), []
    for split, table in {"train": competition.train, "test": competition.test}.items():
        paths = table["audio"][table.get("fault", pd.Series("", table.index)) == ""].unique()
        for path in rng.permutation(paths)[:most]:
            wave = load_wave(competition.folder / path, LogMel().sample_rate_hz).numpy()
            rows.append((split, path, *wave_levels(wave, LogMel().sample_rate_hz)))
    return pd.DataFrame(rows, columns=["split", "file", "loudness (dB)", "silent (%)", "clipped (%)"])


def wave_levels(wave: np.ndarray, rate_hz: int) -> tuple[float, float, float]:
    """Loudness (dB below full scale), silent blocks (%) and clipped samples (%) of a wave (N,)."""
    size = max(1, round(BLOCK_SECONDS * rate_hz))
    blocks = wave[: len(wave) // size * size].reshape(-1, size) if len(wave) >= size else wave[None]
    power = 10 * np.log10(np.square(blocks).mean(1).clip(1e-12))
    loudness = 10 * np.log10(max(1e-12, float(np.square(wave).mean())))
    return loudness, 100 * float((power < SILENT_DB).mean()), 100 * float((np.abs(wave) >= CLIPPED).mean())


def levels_table(levels: pd.DataFrame) -> pd.DataFrame:
    """A row a split: files opened, their median loudness and its middle 90 %, files with silence and with clipping."""
    rows = []
    for split, part in levels.groupby("split", sort=False):
        low, middle, high = part["loudness (dB)"].quantile([0.05, 0.5, 0.95])
        told = f"{middle:.1f} [{low:.1f}, {high:.1f}]"
        half, clipped = (part["silent (%)"] > 50).sum(), (part["clipped (%)"] > 0).sum()
        rows.append((split, len(part), told, f"{part['silent (%)'].mean():.1f}", half, clipped))
    silent = f"silent (mean % of blocks of {1000 * BLOCK_SECONDS:g} ms below {SILENT_DB:g} dB)"
    columns = ["split", "files opened", "loudness (dB) [middle 90 %]", silent, "more than half silent", "clipped"]
    return pd.DataFrame(rows, columns=columns)


def mel_of_files(competition: Competition, store: Store) -> LogMel | None:
    """What frequencies the store's bins are of: the LogMel that packed them, or that the files were made with.

    The latter is tried: where the first training file's audio lies beside its log-mel, and the kit's usual log-mel of
    it is the file's, then that is what it is. None where nothing tells.
    """
    if store.mel is not None or "audio" not in competition.train:
        return store.mel
    usual = LogMel(n_mels=store.n_mels)
    wave = load_wave(competition.folder / competition.train["audio"].iloc[0], usual.sample_rate_hz)[None]
    ours, files = usual.make()(wave)[0], store.recording(0)
    alike = ours.shape == files.shape and torch.allclose(ours, files, rtol=0, atol=ALIKE)
    return usual if alike else None


def class_examples(competition: Competition, most: int = 6) -> pd.DataFrame:
    """The first training row of each of `most` classes, evenly spaced among all."""
    train = competition.train.assign(row=np.arange(len(competition.train)))
    first = train.drop_duplicates("label").set_index("label")
    names = [name for name in competition.classes if name in first.index]
    chosen = [
        names[place] for place in np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))
    ]
    return first.loc[chosen].reset_index()


def class_means(store: Store, most: int = 2000, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The mean log-mel (F,) of each class, a row each, of at most `most` training rows drawn at random.

    Then those rows (N,), and their summaries (N, 2F) as kit.data.inspect.summaries gives them.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(store.rows("train"))[:most])
    facts = summaries(store, rows)
    means = pd.DataFrame(facts[:, : store.n_mels]).groupby(store.index["label"].iloc[rows].to_numpy()).mean()
    return means, rows, facts


def neighbours_alike(facts: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The share of rows whose nearest other row, by standardised summaries (N, D), has their label; and by chance."""
    from sklearn.neighbors import NearestNeighbors

    scaled = _standardised(facts)
    nearest = NearestNeighbors(n_neighbors=2).fit(scaled).kneighbors(return_distance=False)[:, 0]
    counts = pd.Series(labels).value_counts().to_numpy()
    return float((labels[nearest] == labels).mean()), float(
        (counts * (counts - 1)).sum() / len(labels) / (len(labels) - 1)
    )


def map_of(facts: np.ndarray, seed: int = 0) -> np.ndarray:
    """Summaries (N, D) as points (N, 2): t-SNE (van der Maaten and Hinton 2008) from their two principal components."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(facts) - 1) / 3)
    return TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(_standardised(facts))


def _standardised(facts: np.ndarray) -> np.ndarray:
    return (facts - facts.mean(0)) / facts.std(0).clip(1e-6)


def suspicions(found: Mapping[str, Suspicion]) -> pd.DataFrame:
    """A row a look: its score, the range that the shuffled have, p, and what to make of it."""
    rows = []
    for what, one in found.items():
        if np.isnan(one.score):
            rows.append((what, "too few rows", "", "", ""))
            continue
        verdict = "look closer" if one.p < 0.05 else "no suspicion"
        rows.append((what, f"{one.score:.3f}", f"{one.low:.3f} to {one.high:.3f}", f"{one.p:.3f}", verdict))
    return pd.DataFrame(rows, columns=["look", "score", "shuffled (middle 95 %)", "p", "verdict"])
