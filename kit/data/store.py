"""The packed store: a competition's features in one memory-mapped array, with offsets and labels.

    <cache>/<key>/features.bin    (total frames, width): every file's frames once, end to end; or in its place what
                                  kit.data.recording_files reads
                  index.parquet   id, split, label, target, group, source, site, start, frames, fault, note of each row,
                                  whose frames are all of a file's or a stretch of them; rows may share frames
                  boxes.parquet   of a competition with boxes: row, number (of the class), true, start, end
                  store.json      total, width, dtype, kind, task, parameters

The key is a hash of the tables, of every file's content and of the parameters: data that were copied, moved or touched
open the same store, other data never do. With unlabelled rows it is the key without them, "+", and a hash of all, so
that what stands before the "+" names the training and test rows. The store is written beside and renamed: a kill leaves
the whole of it or nothing.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kit.competition.competition import Competition
from kit.competition.labels import known_matrix
from kit.data.digests import file_digests, remember
from kit.data.eight_bits import from_bytes
from kit.data.feature_file import FeatureFile
from kit.data.features import LogMel
from kit.data.packing import write_store
from kit.data.recording_files import FILES, RECORDINGS, RecordingFiles, remember_folder
from kit.data.unfinished import resuming

VERSION = 2
WITH = "+"  # in a store's name, before the hash of its unlabelled rows
# Which the key follows.
ROW_FACTS = ("id", "label", "group", "split", "source", "site", "counts", "start_seconds", "end_seconds")


@dataclass(frozen=True)
class Store:
    """An opened store. `features` (total, width) is mapped from disk, and never copied as a whole."""

    folder: Path
    # (total frames, F) log-mels, in floats or bytes, uint8 pixels, or int16 (total samples, 1) waves; None of "files"
    features: Tensor | None
    index: pd.DataFrame
    kind: str  # "mel" or "wave"
    classes: tuple[str, ...]
    mel: LogMel | None  # how log-mels are, or will be, made from waves; None where the files held log-mels or pixels
    task: str = "single"
    boxes: pd.DataFrame | None = None  # start and end in frames, or samples, of the recording
    file: FeatureFile | RecordingFiles | None = None  # what is read from; None where `features` are in memory
    resident: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False)  # copies of `features`

    @property
    def n_mels(self) -> int:
        return self.features.shape[1] if self.kind == "mel" else self.mel.n_mels

    def values(self, features: Tensor) -> Tensor:
        """What some of the features stand for, in single precision: log-mels, pixels, or samples in steps of INT16."""
        if self.kind == "mel" and self.mel is not None and self.mel.bits == 8:
            return from_bytes(features, self.mel)
        return features.float()

    def recording(self, row: int) -> Tensor:
        """The values (frames, width) of a row of the index."""
        return self.stretch(*(int(self.index[name].iat[row]) for name in ("start", "frames")))

    def stretch(self, start: int, length: int) -> Tensor:
        """The values (length, width) from one of the store's units on."""
        if self.features is not None:
            return self.values(self.features[start : start + length])
        raw = self.empty(1, length)
        self.file.read(np.array([start]), np.array([length]), raw.numpy())
        return self.values(raw[0])

    def empty(self, items: int, length: int, **options: Any) -> Tensor:
        """Room for so many stretches (items, length, width), as they lie in the store."""
        dtype, width = (torch.int16, 1) if self.features is None else (self.features.dtype, self.features.shape[1])
        return torch.empty(items, length, width, dtype=dtype, **options)

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of the index that belong to "train", "test" or "unlabelled"."""
        return np.flatnonzero(self.index["split"] == split)

    def targets(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """Class numbers (N,) of rows, or with task "multi" what is known of them (N, C), as in labels.py."""
        if self.task == "multi":
            return known_matrix(self.index["label"].iloc[rows].fillna(""), self.classes)
        return self.index["target"].to_numpy()[np.asarray(rows)]

    def counts(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """Which rows (N,) count in a score: all, unless the competition says that some sort does not."""
        if "counts" not in self.index:
            return np.ones(len(rows), dtype=bool)
        return self.index["counts"].to_numpy()[np.asarray(rows)]

    def holds(self, data: str) -> bool:
        """Are this store's training and test rows those of the store of this name? Unlabelled rows may differ."""
        return data.partition(WITH)[0] == self.folder.name.partition(WITH)[0]

    def faults(self) -> pd.DataFrame:
        """Columns id, fault: the rows, none of them for training, that can't be used, and why."""
        return self._told("fault")

    def notes(self) -> pd.DataFrame:
        """Columns id, note: files that were read, by the first of their rows, and what is odd about them."""
        return self._told("note")

    def _told(self, column: str) -> pd.DataFrame:
        if column not in self.index:
            return pd.DataFrame({"id": [], column: []})
        return self.index.loc[self.index[column] != "", ["id", column]].reset_index(drop=True)


def pack(
    competition: Competition,
    cache: str | Path = "cache",
    mel: LogMel | None = None,
    kind: str = "mel",
    progress: bool = True,
    unlabelled: bool = False,
    reader: Callable | None = None,
) -> Store:
    """The competition's store, packed now or opened where it was packed before.

    unlabelled: with its unlabelled rows, of which there may be many times as many hours; make_soft_labels needs them.
    reader: what reads audio files in the place of a WaveReader, and gives the same waves.
    kind "mel" holds log-mels (computed by `mel` where the files are audio), "wave" the audio itself; of "files" all is
    listened to once, and nothing kept but where it is: what is asked for is decoded from the recordings each time.
    A test file that can't be read, is misshaped, or holds NaN or inf costs its own row: Store.faults() names it. Silent
    recordings and the like, which Store.notes() names, are counted in a warning.
    Raises CompetitionError naming each such training file.
    """
    folder, table, mel, digests = _asked(competition, cache, mel, kind, unlabelled)
    if not (folder / "store.json").exists():
        with resuming(folder) as beside:
            if not (folder / "store.json").exists():  # else another process packed it meanwhile
                remember(competition.listing, digests, beside)  # before hours that a kill may end
                write_store(competition, table, mel, kind, beside, progress, reader)
    if kind == FILES:
        remember_folder(folder, competition.folder)
    store = open_store(folder)
    remember(competition.listing, digests, folder)
    for note, files in store.notes().groupby("note")["id"]:
        told = f"{len(files)} of {len(digests)} files, such as {files.iloc[0]}: {note}"
        warnings.warn(f"{competition.folder}: {told}", stacklevel=2)
    return store


def packed_folder(competition: Competition, cache: str | Path, mel: LogMel | None = None, kind: str = "mel") -> Path:
    """Where `pack` puts this store, without unlabelled rows, or has put it."""
    return _asked(competition, cache, mel, kind, unlabelled=False)[0]


def _asked(
    competition: Competition, cache: str | Path, mel: LogMel | None, kind: str, unlabelled: bool
) -> tuple[Path, pd.DataFrame, LogMel | None, dict[str, str]]:
    """A store's folder, its rows, how its log-mels are made, and the digests of its files."""
    if kind not in ("mel", "wave", FILES):
        raise ValueError(f'kind must be "mel", "wave" or "{FILES}", got {kind!r}')
    if kind != "mel" and "audio" not in competition.train:
        raise ValueError(f'kind "{kind}" needs audio files, and {competition.folder} has none')
    mel = mel or LogMel()
    if competition.features != "wave" and kind == "mel":
        _check_unheeded(competition, mel)
        mel = None
    table = _table(competition, unlabelled)
    digests = file_digests(competition.listing, _paths(table, kind), cache)
    key = _key(competition, table, mel, kind, digests)
    if (table["split"] == "unlabelled").any():
        key = f"{_key(competition, _table(competition, unlabelled=False), mel, kind, digests)}{WITH}{key}"
    return Path(cache) / key, table, mel, digests


def open_store(folder: str | Path) -> Store:
    """A store that lies on disk; its pages are read when they are touched. Raises ValueError where it is broken."""
    folder = Path(folder)
    try:
        header = json.loads((folder / "store.json").read_text())
        index = pd.read_parquet(folder / "index.parquet")
        has_boxes = (folder / "boxes.parquet").exists()
        boxes = pd.read_parquet(folder / "boxes.parquet") if has_boxes else None
        shape = (header["total"], header["width"])
        mel = LogMel(**header["mel"]) if header["mel"] else None
        expected = int(np.prod(shape)) * np.dtype(header["dtype"]).itemsize
        kind, classes, task = header["kind"], tuple(header["classes"]), header.get("task", "single")
        end = int((index["start"] + index["frames"]).max())
    except (LookupError, TypeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # else it is pyarrow's word for a file cut short
            raise
        raise ValueError(f"{folder}: not a whole store ({type(error).__name__}); delete the folder") from error
    if end > header["total"]:
        raise ValueError(f"{folder}: a row must end within {header['total']} frames, got {end}; delete the folder")
    if (folder / RECORDINGS).exists():
        return Store(folder, None, index, kind, classes, mel, task, boxes, RecordingFiles(folder, mel.sample_rate_hz))
    path = folder / "features.bin"
    size = path.stat().st_size
    if size != expected:
        raise ValueError(f"{path}: must have {expected} bytes, has {size}; delete the folder")
    # Mode "c" (copy on write) gives PyTorch the writable array that it asks for and leaves the file alone.
    mapped = np.memmap(path, header["dtype"], "c", shape=shape) if size else np.empty(shape, header["dtype"])
    return Store(folder, torch.from_numpy(mapped), index, kind, classes, mel, task, boxes, FeatureFile(path))


def _check_unheeded(competition: Competition, mel: LogMel) -> None:
    for name, value in (("bits", 16), ("most_seconds", 0)):
        if getattr(mel, name) != value:
            rule = f"{name} must be {value}, got {getattr(mel, name)}"
            raise ValueError(f"{competition.folder} holds no audio, and is packed as it is: {rule}")


def _table(competition: Competition, unlabelled: bool) -> pd.DataFrame:
    splits = {"train": competition.train, "test": competition.test}
    splits |= {"unlabelled": competition.unlabelled} if unlabelled else {}
    parts = [part.assign(split=split) for split, part in splits.items() if part is not None]
    table = pd.concat(parts, ignore_index=True)
    numbers = {name: number for number, name in enumerate(competition.classes)}
    table["target"] = table["label"].map(numbers).fillna(-1).astype("int64")
    if "counts" in table:
        table["counts"] = table["counts"].eq(True)
    table["fault"] = table["fault"].fillna("") if "fault" in table else ""
    return table


def _paths(table: pd.DataFrame, kind: str) -> list[str]:
    return list(map(os.path.normpath, table["path" if kind == "mel" else "audio"].fillna("")))


def _key(competition: Competition, table: pd.DataFrame, mel: LogMel | None, kind: str, digests: dict[str, str]) -> str:
    files = [(path, digests[path]) for path in _paths(table, kind)]
    rows = table[[name for name in ROW_FACTS if name in table]].astype(str).to_numpy().tolist()
    facts = [VERSION, kind, competition.classes, asdict(mel) if mel else None, files, rows]
    if competition.boxes is not None:
        facts.append(competition.boxes.astype(str).to_numpy().tolist())
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
