"""Pseudo labels in rounds: what models agree on about pairs that nobody checked, for the next models to train on.

A pair (recording, class) of which nothing is known becomes a label where enough models that never saw the recording
give it at least a threshold. A training recording is held out by one fold of each run, so each run has one such model
for it; of a test recording none has seen anything, and a run's vote is the mean over its folds. A fold trains on the
pseudo labels of its own training recordings and of the test's, never on those of its held-out recordings. (Its teachers
have seen the labels of its held-out part, as in any such scheme that is not nested: what they say of other recordings
is all that passes.)
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kit.atomic import replacing
from kit.competition.labels import UNKNOWN, known_matrix
from kit.data.store import Store
from kit.training.checkpoint import load_model
from kit.training.framewise import framewise_probability, peak_boxes
from kit.training.pseudo import TEST, LeakError

COLUMNS = ("id", "label", "fold", "votes", "probability", "start", "end")


def agreed(votes: np.ndarray, known: np.ndarray, threshold: float = 0.5, least: int = 3) -> np.ndarray:
    """The pairs (N, C) that become positive: unknown so far, and at least `threshold` in at least `least` models.

    votes (V, N, C) probabilities of V models; known (N, C) as in kit.competition.labels.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold}")
    if not 1 <= least <= len(votes):
        raise ValueError(f"least must be in 1 to the number of models ({len(votes)}), got {least}")
    return ((votes >= threshold).sum(0) >= least) & (known == UNKNOWN)


def make_pseudo_labels(
    runs: Sequence[str | Path],
    store: Store,
    out: str | Path,
    *,
    threshold: float = 0.5,
    least: int = 3,
    with_test: bool = True,
) -> Path:
    """A round's labels of the finished runs' votes, as `<out>/<hash>.parquet`, named by what it holds.

    Each label has a box (start, end: frames of the log-mel) where the surest run hears the class best. Raises LeakError
    where the runs' folds differ.
    """
    folders = [Path(run) for run in runs]
    parts = [_vote(folders, store, "oof.parquet", threshold, least)]
    if with_test:
        parts.append(_vote(folders, store, "test.parquet", threshold, least))
    table = pd.concat(parts, ignore_index=True)
    table = _located(table, folders, store)[list(COLUMNS)]
    digest = hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()[:12]
    path = Path(out) / f"{digest}.parquet"
    with replacing(path) as beside:
        table.to_parquet(beside)
    return path


def round_report(path: str | Path, truth: set[tuple[str, str]] | None = None) -> pd.DataFrame:
    """A row each for training and test recordings: labels, recordings, and the share that is in `truth`, if known.

    truth holds pairs (id, class) that are there.
    """
    table = pd.read_parquet(path)
    rows = []
    for part, found in (("train", table[table["fold"] != TEST]), ("test", table[table["fold"] == TEST])):
        right = [pair in truth for pair in zip(found["id"], found["label"], strict=True)] if truth is not None else []
        rows.append(
            {
                "part": part,
                "labels": len(found),
                "recordings": found["id"].nunique(),
                "precision": np.mean(right) if right else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _vote(runs: list[Path], store: Store, file: str, threshold: float, least: int) -> pd.DataFrame:
    """The agreed pairs of one part, and which run is the surest of each recording."""
    classes = list(store.classes)
    tables = [pd.read_parquet(run / file).sort_values("id", ignore_index=True) for run in runs]
    first = tables[0]
    for run, table in zip(runs, tables, strict=True):
        if list(table["id"]) != list(first["id"]) or "fold" in first and list(table["fold"]) != list(first["fold"]):
            raise LeakError(f"{run}: must have the recordings and folds of {runs[0]}, got others")
    votes = np.stack([table[classes].to_numpy() for table in tables])  # (V, N, C)
    labels = first["label"] if "label" in first else [""] * len(first)
    usable = ~first["id"].isin(store.faults()["id"]).to_numpy()[:, None]
    picked = agreed(votes, known_matrix(labels, classes), threshold, least) & usable
    surest = np.where(picked, votes, 0).sum(-1).argmax(0)  # (N,)
    row, number = np.nonzero(picked)
    return pd.DataFrame(
        {
            "id": first["id"].to_numpy()[row],
            "label": np.array(classes)[number],
            "number": number,
            "fold": first["fold"].to_numpy()[row] if "fold" in first else TEST,
            "votes": (votes >= threshold).sum(0)[row, number],
            "probability": votes.mean(0)[row, number],
            "run": surest[row],
        }
    )


def _located(table: pd.DataFrame, runs: list[Path], store: Store) -> pd.DataFrame:
    """With columns start and end, by the surest run's model that never saw the recording."""
    table = table.assign(start=0, end=0)
    row_of = pd.Series(np.arange(len(store.index)), index=store.index["id"])
    for (run, fold), part in table.groupby(["run", "fold"]):
        model, _ = load_model(runs[run] / f"fold{max(fold, 0)}" / "best.pt")
        for name, found in part.groupby("id"):
            row = int(row_of[name])
            probability = framewise_probability(model, store, row)
            start, end = peak_boxes(probability, found["number"].to_numpy(), int(store.index["frames"].iat[row]))
            table.loc[found.index, "start"], table.loc[found.index, "end"] = start, end
    return table
