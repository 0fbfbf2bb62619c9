"""Who calls in recordings with boxes: species and their bands, calls to hear, and false alarms beside right ones."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.competition.labels import present_names
from kit.data.audio import load_wave
from kit.data.store import Store
from kit.studies.players import player
from kit.training.checkpoint import load_model
from kit.training.framewise import frame_edges, framewise_probability
from kit.training.runs import Run

if TYPE_CHECKING:
    from IPython.display import HTML

PLAYED_HZ, PLAYED_SECONDS = 32000, 2.0


def call_table(competition: Competition, truth: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row a species with a box, by its band, the lowest first: that in kHz, the median of its boxes, and how many
    boxes were right and wrong; with the truth of a made-up forest also how many calls there are.
    """
    boxes = competition.boxes
    right, wrong = (boxes[boxes["true"] == true]["label"] for true in (True, False))
    band = boxes.groupby("label")[["f_min", "f_max"]].median() / 1000
    table = pd.DataFrame({"from (kHz)": band["f_min"], "to (kHz)": band["f_max"]})
    table["right"], table["wrong"] = (part.value_counts().reindex(table.index, fill_value=0) for part in (right, wrong))
    if truth is not None:
        mine = truth[truth["id"].isin(competition.train["id"])]["label"]
        table["truly there"] = mine.value_counts().reindex(table.index, fill_value=0)
    return table.sort_values("from (kHz)").rename_axis("species").reset_index()


@dataclass(frozen=True)
class Scene:
    """A piece of a training recording to hear, around a time in seconds."""

    competition: Competition
    name: str
    seconds: float

    def html(self) -> str:
        path = self.competition.train.set_index("id")["audio"][self.name]
        wave = load_wave(self.competition.folder / path, PLAYED_HZ).numpy()
        first = max(0, round((self.seconds - PLAYED_SECONDS / 2) * PLAYED_HZ))
        return player(wave[first : first + round(PLAYED_SECONDS * PLAYED_HZ)], PLAYED_HZ)


def calls_to_hear(competition: Competition, most: int = 3) -> pd.DataFrame:
    """A right box of species from the lowest to the highest band, each alone among the checked calls around it."""
    calls, table = competition.boxes[competition.boxes["true"]], call_table(competition)
    table = table[table["right"] > 0]
    rows = []
    for place in np.linspace(0, len(table) - 1, min(most, len(table))).round().astype(int):
        name, low, high = table.iloc[place][["species", "from (kHz)", "to (kHz)"]]
        box = calls[calls["label"] == name].iloc[0]
        middle = (box["t_min"] + box["t_max"]) / 2
        scene = Scene(competition, box["id"], middle)
        rows.append((name, f"{low:.1f} to {high:.1f} kHz", box["id"], f"{middle:.1f} s", scene))
    return pd.DataFrame(rows, columns=["species", "band", "recording", "at", "call"])


def false_alarms(
    run: Run, store: Store, competition: Competition, truth: pd.DataFrame | None = None, most: int = 4
) -> pd.DataFrame:
    """The likeliest species that people heard not to be there, a row a species, each beside its likeliest right call.

    Out of fold, each where the fold's net hears it best. "calls there" is what was found, or with the truth all.
    """
    wrong, right = (np.where(run.target == known, run.probability, -1.0) for known in (0, 1))
    both = np.flatnonzero((run.target == 0).any(0) & (run.target == 1).any(0))
    order, rows = both[np.argsort(-wrong[:, both].max(0), kind="stable")][:most], []
    for number in order:
        row, good = int(wrong[:, number].argmax()), int(right[:, number].argmax())
        name, at, at_good = run.oof["id"][row], _heard_at(run, store, row, number), _heard_at(run, store, good, number)
        there = present_names(run.oof["label"][row]) if truth is None else _truly_at(truth, name, at)
        rows.append(
            {
                "said": run.classes[number],
                "probability": f"{wrong[row, number]:.2f}",
                "recording": f"{name}, {at:.1f} s",
                "calls there": ", ".join(there) or "nothing",
                "false alarm": Scene(competition, name, at),
                "right call": Scene(competition, run.oof["id"][good], at_good),
            }
        )
    return pd.DataFrame(rows)


def listening(table: pd.DataFrame) -> "HTML":
    """A table for a notebook, in which scenes are players."""
    from IPython.display import HTML

    shown = table.map(lambda value: value.html() if isinstance(value, Scene) else value)
    return HTML(shown.to_html(index=False, border=0, escape=False))


def _heard_at(run: Run, store: Store, row: int, number: int) -> float:
    """The middle (s) of the frame where the net that held the recording out gives a class its highest probability."""
    model, _ = load_model(run.folder / f"fold{run.oof['fold'][row]}" / "best.pt")  # pyrefly: ignore[unsupported-operation]
    place = int(np.flatnonzero(store.index["id"] == run.oof["id"][row])[0])
    probability = framewise_probability(model, store, place)
    edges = frame_edges(len(probability), int(store.index["frames"].iat[place]))
    peak = int(probability[:, number].argmax())
    return (edges[peak] + edges[peak + 1]) / 2 * store.mel.hop_seconds


def _truly_at(truth: pd.DataFrame, name: str, at: float) -> list[str]:
    """The species with a call in what is played around a time."""
    half = PLAYED_SECONDS / 2
    near = truth[(truth["id"] == name) & (truth["t_min"] < at + half) & (truth["t_max"] > at - half)]
    return list(dict.fromkeys(near["label"]))
