"""What a BirdCLEF folder holds: recordings, calls a class, sites and hours, and a clip and a window to hear."""

from typing import Any

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.competition.labels import known_matrix
from kit.competition.row_ids import site_and_hour
from kit.data.store import Store

SOUNDSCAPE = "soundscape"  # the source of a row that is a window


def folder_table(competition: Competition, store: Store) -> pd.DataFrame:
    """A row a part of the folder: rows, recordings, who or where they are of, hours as packed, classes heard."""
    train, test = competition.train, competition.test
    clips, nothing = train["source"] != SOUNDSCAPE, train.iloc[:0].drop(columns="label")
    parts = {
        "clips": train[clips],
        "annotated windows": train[~clips],
        "windows without labels": nothing if competition.unlabelled is None else competition.unlabelled,
        "test, as it lies here": test[test["fault"] == ""],
    }
    return pd.DataFrame([{"part": name, **_facts(part, competition, store)} for name, part in parts.items()])


def call_table(competition: Competition) -> pd.DataFrame:
    """A row a class: in how many clips and in how many annotated windows it is known to be, most clips first."""
    present = known_matrix(competition.train["label"], competition.classes) == 1
    windows = (competition.train["source"] == SOUNDSCAPE).to_numpy()
    counts = {"clips": present[~windows].sum(0), "windows": present[windows].sum(0)}
    return pd.DataFrame(counts, index=list(competition.classes)).sort_values("clips", ascending=False, kind="stable")


def site_table(competition: Competition) -> pd.DataFrame:
    """A row a site that soundscapes' names tell: how many are annotated and how many not, and at which hours (UTC)."""
    train = competition.train[competition.train["source"] == SOUNDSCAPE]
    annotated = set(train["path"])
    others = set() if competition.unlabelled is None else set(competition.unlabelled["path"]) - annotated
    rows = [(*place, path in annotated) for path in sorted(annotated | others) if (place := site_and_hour(path))]
    table = pd.DataFrame(rows, columns=["site", "hour", "annotated"]).groupby("site")
    hours = table["hour"].agg(lambda hours: " ".join(map(str, sorted(set(hours)))))
    counts = {"annotated": table["annotated"].sum(), "not annotated": table["annotated"].agg(lambda a: (~a).sum())}
    return pd.DataFrame({**counts, "hours": hours}).reset_index()


def examples(competition: Competition) -> list[str]:
    """Ids of a clip and a window of one class, that which is heard alone in most windows; without windows two clips."""
    train = competition.train
    present = known_matrix(train["label"], competition.classes) == 1
    windows = (train["source"] == SOUNDSCAPE).to_numpy()
    alone = present & (present.sum(1) == 1)[:, None]
    clips = alone[~windows].sum(0)
    often = np.where(clips > 0, alone[windows].sum(0), -1) if windows.any() else clips
    of_class = alone[:, int(often.argmax())]
    rows = [np.flatnonzero(of_class & ~windows), np.flatnonzero(of_class & windows)]
    return [str(train["id"].iloc[row]) for row in np.concatenate([rows[0][: 1 if len(rows[1]) else 2], rows[1][:1]])]


def _facts(part: pd.DataFrame, competition: Competition, store: Store) -> dict[str, Any]:
    frames = store.index.drop_duplicates("id").set_index("id")["frames"].reindex(part["id"]).to_numpy(dtype=float)
    seconds = (part["end_seconds"] - part["start_seconds"]).to_numpy(dtype=float)
    seconds = np.where(np.isnan(seconds), frames * store.mel.hop_seconds, seconds)
    label = part["label"] if "label" in part else pd.Series([""] * len(part))
    heard = (known_matrix(label, competition.classes) == 1).any(0).sum() if len(part) else 0
    sites = part["site"].nunique() if "site" in part else 0
    counts = {"rows": len(part), "recordings": part["path"].nunique(), "authors or sites": sites}
    return {**counts, "hours": seconds.sum() / 3600, "classes": int(heard)}
