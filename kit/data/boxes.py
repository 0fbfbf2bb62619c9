"""Training crops of recordings of which only some is known: around a box, with what is known of the crop.

A box is where a species calls (true), where a detector was wrong (false), or where models agree that it calls (pseudo).
As in RFCX, what a false box says holds for the whole recording: the pair (recording, species) is known to be false.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kit.data.features import LogMel

TRUE_SHARE = 0.5  # of the crops of a recording that has both are around a true box, if a sampler says no other
HEARD_SHARE = 0.5  # of a box, or of the crop, that must be in a crop for the call to be heard there
FALSE, TRUE, PSEUDO = 0, 1, 2


@dataclass(frozen=True)
class Boxes:
    """The boxes of one recording, as arrays (K,): first and last unit (frame or sample), class number, and FALSE, TRUE
    or PSEUDO.
    """

    start: np.ndarray
    end: np.ndarray
    number: np.ndarray
    says: np.ndarray


def frame_box(t_min: np.ndarray, t_max: np.ndarray, frames: np.ndarray, mel: LogMel) -> tuple[np.ndarray, np.ndarray]:
    """First frame and the one after the last whose centres lie between two times (s), at least one frame in all."""
    centre = mel.window_seconds / 2
    start = np.ceil((np.asarray(t_min) - centre) / mel.hop_seconds).clip(0, np.asarray(frames) - 1).astype(np.int64)
    end = np.floor((np.asarray(t_max) - centre) / mel.hop_seconds).astype(np.int64) + 1
    return start, np.maximum(end, start + 1).clip(max=frames)


def boxes_of_rows(boxes: pd.DataFrame, classes: Sequence[str], table: pd.DataFrame, mel: LogMel, packed: str):
    """A competition's boxes by row of a store's index and class number: columns row, number, true, start, end.

    start and end are in frames, or where a store packs "wave" in samples.
    """
    train = table[table["split"] == "train"]
    row = pd.Series(train.index, index=train["id"])[boxes["id"]].to_numpy()
    size = table["frames"].to_numpy()[row]
    if packed == "mel":
        start, end = frame_box(boxes["t_min"], boxes["t_max"], size, mel)
    else:
        times = boxes[["t_min", "t_max"]].to_numpy().T
        start, end = (times * mel.sample_rate_hz).round().clip(0, size).astype(np.int64)
    number = [classes.index(label) for label in boxes["label"]]
    return pd.DataFrame({"row": row, "number": number, "true": boxes["true"], "start": start, "end": end})


class BoxCrops:
    """Where training crops lie, and what is known of them.

    store: a Store with boxes; pseudo: a table row, number, start, end of boxes that models agree on, or None.
    weights_at(epoch) gives the weights of true and of pseudo positives, from epoch 0.
    true_share: of the crops of a recording that has true and false boxes, how many are around a true one.
    Draws are made from the generator that is passed; an item's are the same whatever else is in its batch's rows.
    """

    def __init__(
        self,
        store,
        pseudo=None,
        weights_at: Callable[[int], tuple[float, float]] | None = None,
        true_share: float = TRUE_SHARE,
    ):
        self.n_classes, self.true_share = len(store.classes), true_share
        self.weights_at = weights_at or (lambda epoch: (1.0, 1.0))
        table = store.boxes.assign(says=np.where(store.boxes["true"], TRUE, FALSE))
        self.of_row = _by_row(table)
        self.pseudo_of_row = {} if pseudo is None else _by_row(pseudo.assign(says=PSEUDO))

    def draw_starts(
        self, row: np.ndarray, is_pseudo: np.ndarray, size: np.ndarray, segment: int, generator
    ) -> np.ndarray:
        """Where each item's crop begins in its recording (B,): a box lies in it, or it lies in the box."""
        drawn = torch.rand(len(row), 3, generator=generator).tolist()
        starts = []
        for number, pseudo, n, (says, which, where) in zip(row.tolist(), is_pseudo, size.tolist(), drawn, strict=True):
            low, high = 0, max(0, n - segment)
            if boxes := (self.pseudo_of_row if pseudo else self.of_row).get(number):
                box = _pick(boxes, says >= self.true_share, which)
                begin, end = int(boxes.start[box]), int(boxes.end[box])
                first, last = sorted((end - segment, begin))  # a box longer than the crop holds the crop
                low, high = min(max(first, 0), high), min(max(last, 0), high)
            starts.append(low + int(where * (high - low + 1)))
        return np.array(starts)

    def known(self, row, is_pseudo, start, length) -> tuple[Tensor, Tensor]:
        """What is known of crops: target (B, C) of 1, 0 and NaN, and true (B, C), False where a 1 is a pseudo label."""
        target = torch.full((len(row), self.n_classes), torch.nan)
        is_true = torch.ones(len(row), self.n_classes, dtype=torch.bool)
        items = zip(row.tolist(), is_pseudo, start.tolist(), length.tolist(), strict=True)
        for item, (number, pseudo, begin, n) in enumerate(items):
            if pseudo and number in self.pseudo_of_row:
                boxes = self.pseudo_of_row[number]
                heard = _heard(boxes, begin, n)
                target[item, boxes.number[heard]] = 1.0
                is_true[item, boxes.number[heard]] = False
            if boxes := self.of_row.get(number):
                heard, says_true = _heard(boxes, begin, n), boxes.says == TRUE
                target[item, boxes.number[~says_true]] = 0.0
                is_true[item, boxes.number[~says_true | heard]] = True
                target[item, boxes.number[says_true & heard]] = 1.0
        return target, is_true

    def serve(self, row, is_pseudo, start, length, epoch: int) -> tuple[Tensor, Tensor]:
        """Target (B, C), and the weight (B, C) of its positive part in this epoch."""
        target, is_true = self.known(row, is_pseudo, start, length)
        true, pseudo = self.weights_at(epoch)
        return target, torch.where(is_true, true, pseudo)


def _by_row(table) -> dict[int, Boxes]:
    columns = ("start", "end", "number", "says")
    return {int(row): Boxes(*(group[name].to_numpy() for name in columns)) for row, group in table.groupby("row")}


def _pick(boxes: Boxes, false: bool, which: float) -> int:
    """A box: a false one, or else a true or pseudo one, where there are both kinds; then any of those."""
    wanted = boxes.says == FALSE if false else boxes.says != FALSE
    choices = np.flatnonzero(wanted) if wanted.any() else np.arange(len(wanted))
    return int(choices[int(which * len(choices))])


def _heard(boxes: Boxes, begin: int, n: int) -> np.ndarray:
    shared = np.minimum(boxes.end, begin + n) - np.maximum(boxes.start, begin)
    return shared >= HEARD_SHARE * np.minimum(boxes.end - boxes.start, n)
