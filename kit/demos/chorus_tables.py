"""The tables of the demo dawn chorus, with BirdCLEF 2026's columns in their order, and the plan behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kit.demos.chorus_sites import SITES
from kit.demos.chorus_voices import WITHOUT_CLIPS, Voice, draw_voices
from kit.demos.publish import hidden_name

TAIL = 0.75  # clips of a class against those of the class before it
N_COMMON = 7  # classes with the most clips are birds, as in the real ones
AUTHORS = ("Ana Prado", "Ben Okoye", "chen li", "Dora Vik", "Eli Roth", "Fay Ngata", "Gus Holm", "Hana Sato", "Unknown")
SECONDARY_SHARE, UNNAMED_SHARE = 0.15, 0.1  # of clips: with others that are named, and with one that nobody named
SHORTEST, LONGEST = 0.4, 40.0  # s, of one clip each; the others are of 3 to 15 s
HOURS = (4, 5, 5, 6, 6, 7, 8, 18, 19, 21, 23)  # UTC, as often as they stand here
SITES_OF = {"labelled": (0, 0, 0, 0, 1, 1, 2), "unlabelled": (0, 1, 2, 3), "hidden": (0, 1, 2, 3)}  # likewise
TWICE = 2  # how often each row of labels stands in the table
PUBLIC_SHARE = 0.34  # of the hidden soundscapes
PARTLY_EVERY = 6  # of every six labelled soundscapes one is annotated in its first half only


@dataclass(frozen=True)
class Clip:
    number: int
    label: str
    secondary: tuple[str, ...]
    unnamed: tuple[str, ...]  # others to be heard that the author did not name
    author: int
    seconds: float
    name: str  # in train_audio/


@dataclass(frozen=True)
class Soundscape:
    number: int
    part: str  # a key of SITES_OF
    site: int
    hour: int
    path: str


def class_sizes(n_clips: int, n_classes: int) -> np.ndarray:
    """Clips of each class (n_classes,), most first, a sum of n_clips and at least one each.

    >>> class_sizes(200, 18).tolist()
    [47, 35, 27, 20, 16, 11, 10, 7, 5, 5, 3, 3, 3, 2, 2, 1, 2, 1]
    """
    share = TAIL ** np.arange(n_classes)
    bounds = np.round(np.cumsum(share) / share.sum() * (n_clips - n_classes)).astype(int)
    return 1 + np.diff(bounds, prepend=0)


def plan_clips(seed: int, n_clips: int) -> list[Clip]:
    rng = np.random.default_rng((seed, 6, 0))
    voices = draw_voices(seed)
    named = [voice.label for voice in voices if voice.label not in WITHOUT_CLIPS]
    birds = [voice.label for voice in voices if voice.kind == "Aves"]
    order = [str(label) for label in rng.permutation(birds)[:N_COMMON]]
    order += [str(label) for label in rng.permutation([name for name in named if name not in order])]
    labels = np.repeat(order, class_sizes(n_clips, len(order)))
    kind = {voice.label: voice.kind for voice in voices}
    clips = []
    for number, label in enumerate(map(str, labels)):
        others = [name for name in named if name != label]
        beside = [str(name) for name in rng.choice(others, 3, replace=False)]
        secondary = tuple(beside[: rng.integers(1, 3)]) if rng.random() < SECONDARY_SHARE else ()
        unnamed = (beside[2],) if rng.random() < UNNAMED_SHARE else ()
        author = int(min(rng.geometric(0.25) - 1, len(AUTHORS) - 1))
        seconds = round(4 * float(rng.gamma(4, 1.0) + 3)) / 4  # lengths of which a spectrum is quick
        source = "iNat" if kind[label] != "Aves" or rng.random() < 0.2 else "XC"
        name = f"{label}/{source}{100000 + number * 37}.ogg"
        clips.append(Clip(number, label, secondary, unnamed, author, min(seconds, 15.0), name))
    return [_of_length(clip) for clip in clips]


def _of_length(clip: Clip) -> Clip:
    """The third clip is nearly empty, the fifth long."""
    seconds = {2: SHORTEST, 4: LONGEST}.get(clip.number, clip.seconds)
    return replace(clip, seconds=seconds)


def plan_soundscapes(seed: int, counts: Mapping[str, int]) -> list[Soundscape]:
    rng = np.random.default_rng((seed, 6, 1))
    soundscapes = []
    for part, count in counts.items():
        test = part == "hidden"
        for row in range(count):
            site, hour = SITES_OF[part][row % len(SITES_OF[part])], int(rng.choice(HOURS))
            day, minute = int(rng.integers(1, 28)), int(rng.integers(0, 60))
            number = len(soundscapes)
            stem = f"BC2026_{'Test' if test else 'Train'}_{(row if test else number) + 1:04}_{SITES[site].name}"
            name = f"{stem}_202502{day:02}_{hour:02}{minute:02}02.ogg"
            folder = "hidden/test_soundscapes" if test else "train_soundscapes"
            soundscapes.append(Soundscape(number, part, site, hour, f"{folder}/{name}"))
    return soundscapes


def clip_table(clips: Sequence[Clip], voices: Sequence[Voice], seed: int) -> pd.DataFrame:
    """train.csv."""
    rng = np.random.default_rng((seed, 6, 2))
    taxa = taxonomy_table(voices).set_index("primary_label")
    rows = []
    for clip in clips:
        taxon, inat = taxa.loc[clip.label], clip.name.rpartition("/")[2].startswith("iNat")
        rows.append(
            {
                "primary_label": clip.label,
                "secondary_labels": str(list(clip.secondary)),
                "type": str(["call"] if rng.random() < 0.5 else ["song"]),
                "latitude": round(rng.uniform(-22, -15), 4),
                "longitude": round(rng.uniform(-58, -55), 4),
                "scientific_name": taxon["scientific_name"],
                "common_name": taxon["common_name"],
                "class_name": taxon["class_name"],
                "inat_taxon_id": taxon["inat_taxon_id"],
                "author": AUTHORS[clip.author],
                "license": "cc0",
                "rating": 0.0 if inat else float(rng.integers(4, 11) / 2),
                "url": f"https://example.org/{hidden_name('clip', seed, clip.number)[:8]}",
                "filename": clip.name,
                "collection": "iNat" if inat else "XC",
            }
        )
    return pd.DataFrame(rows)


def taxonomy_table(voices: Sequence[Voice]) -> pd.DataFrame:
    rows = [
        (voice.label, 7001 + row, f"Fictor {voice.label}", f"Made-up {voice.label}", voice.kind)
        for row, voice in enumerate(voices)
    ]
    return pd.DataFrame(
        rows, columns=["primary_label", "inat_taxon_id", "scientific_name", "common_name", "class_name"]
    )


def label_table(
    soundscapes: Sequence[Soundscape], heard: Mapping[str, list[set[int]]], voices: Sequence[Voice]
) -> pd.DataFrame:
    """train_soundscapes_labels.csv: each soundscape's rows twice. A window where nothing is heard has none."""
    rows = []
    for place, item in enumerate(soundscapes):
        windows = heard[item.path]
        shown = len(windows) // 2 if place % PARTLY_EVERY == PARTLY_EVERY - 1 else len(windows)
        name = item.path.rpartition("/")[2]
        block = [
            (name, _clock(5 * row), _clock(5 * row + 5), ";".join(voices[number].label for number in sorted(present)))
            for row, present in enumerate(windows[:shown])
            if present
        ]
        rows += block * TWICE
    return pd.DataFrame(rows, columns=["filename", "start", "end", "primary_label"])


def window_table(
    soundscapes: Sequence[Soundscape], heard: Mapping[str, list[set[int]]], voices: Sequence[Voice]
) -> pd.DataFrame:
    """solution.csv: row_id, a column of 0 and 1 a class, Usage."""
    rows, n_public = [], max(1, round(PUBLIC_SHARE * len(soundscapes)))
    usage = {item.path: "Public" for item in sorted(soundscapes, key=lambda item: hidden_name(item.path))[:n_public]}
    for item in soundscapes:
        stem = item.path.rpartition("/")[2].removesuffix(".ogg")
        for row, present in enumerate(heard[item.path]):
            labels = {voice.label: int(number in present) for number, voice in enumerate(voices)}
            rows.append({"row_id": f"{stem}_{5 * row + 5}", **labels, "Usage": usage.get(item.path, "Private")})
    return pd.DataFrame(rows)


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
