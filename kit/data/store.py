"""The packed store: a competition's features in one memory-mapped array, with offsets and labels.

    <cache>/<key>/features.bin    (total frames, width) rows, end to end
                  index.parquet   one row an utterance: id, split, label, target, group, start, frames, fault, note
                  boxes.parquet   of a competition with boxes: row, number (of the class), true, start, end
                  store.json      width, dtype, kind, task, parameters

The key is a hash of the tables, of every file's content and of the parameters: data that were copied, moved or touched
open the same store, other data never do. It is written beside and renamed: a kill leaves the whole of it or nothing.
"""

import hashlib
import json
import os
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.std import tqdm

from kit.atomic import making
from kit.competition.competition import Competition
from kit.competition.labels import known_matrix
from kit.competition.listing import Problems
from kit.data.boxes import boxes_of_rows
from kit.data.digests import file_digests, remember
from kit.data.feature_file import FeatureFile
from kit.data.features import LogMel
from kit.data.rows import INT16 as INT16
from kit.data.rows import read_rows

VERSION = 2


@dataclass(frozen=True)
class Store:
    """An opened store. `features` (total, width) is mapped from disk, and never copied as a whole."""

    folder: Path
    features: Tensor  # float (total frames, F) log-mels, uint8 pixels likewise, or int16 (total samples, 1) waves
    index: pd.DataFrame
    kind: str  # "mel" or "wave"
    classes: tuple[str, ...]
    mel: LogMel | None  # how log-mels are, or will be, made from waves; None where the files held log-mels or pixels
    task: str = "single"
    boxes: pd.DataFrame | None = None  # start and end in frames, or samples, of the recording
    file: FeatureFile | None = None  # what `features` lie in; None where they are in memory
    resident: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False)  # copies of `features`

    @property
    def n_mels(self) -> int:
        return self.features.shape[1] if self.kind == "mel" else self.mel.n_mels

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of the index that belong to "train" or "test"."""
        return np.flatnonzero(self.index["split"] == split)

    def targets(self, rows: np.ndarray) -> np.ndarray:
        """Class numbers (N,) of rows, or with task "multi" what is known of them (N, C), as in labels.py."""
        if self.task == "multi":
            return known_matrix(self.index["label"].iloc[rows].fillna(""), self.classes)
        return self.index["target"].to_numpy()[np.asarray(rows)]

    def faults(self) -> pd.DataFrame:
        """Columns id, fault: the test rows whose files can't be used, and why."""
        return self._told("fault")

    def notes(self) -> pd.DataFrame:
        """Columns id, note: files that were read, and what is odd about them."""
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
) -> Store:
    """The competition's store, packed now or opened where it was packed before.

    kind "mel" holds log-mels (computed by `mel` where the files are audio), "wave" the audio itself.
    A test file that can't be read, is misshaped, or holds NaN or inf costs its own row: Store.faults() names it. Silent
    recordings and the like, which Store.notes() names, are counted in a warning.
    Raises CompetitionError naming each such training file.
    """
    if kind not in ("mel", "wave"):
        raise ValueError(f'kind must be "mel" or "wave", got {kind!r}')
    if kind == "wave" and "audio" not in competition.train:
        raise ValueError(f'kind "wave" needs audio files, and {competition.folder} has none')
    mel = (mel or LogMel()) if competition.features == "wave" or kind == "wave" else None
    table = _table(competition)
    digests = file_digests(competition.listing, _paths(table, kind), cache)
    folder = Path(cache) / _key(competition, table, mel, kind, digests)
    if not (folder / "store.json").exists():
        with making(folder) as beside:
            _write(competition, table, mel, kind, beside, progress)
    store = open_store(folder)
    remember(competition.listing, digests, folder)
    for note, files in store.notes().groupby("note")["id"]:
        told = f"{len(files)} of {len(store.index)} files, such as {files.iloc[0]}: {note}"
        warnings.warn(f"{competition.folder}: {told}", stacklevel=2)
    return store


def open_store(folder: str | Path) -> Store:
    """A store that lies on disk; its pages are read when they are touched. Raises ValueError where it is broken."""
    folder = Path(folder)
    try:
        header = json.loads((folder / "store.json").read_text())
        index = pd.read_parquet(folder / "index.parquet")
        has_boxes = (folder / "boxes.parquet").exists()
        boxes = pd.read_parquet(folder / "boxes.parquet") if has_boxes else None
        shape = (int(index["frames"].sum()), header["width"])
        mel = LogMel(**header["mel"]) if header["mel"] else None
        expected = int(np.prod(shape)) * np.dtype(header["dtype"]).itemsize
        kind, classes, task = header["kind"], tuple(header["classes"]), header.get("task", "single")
    except (LookupError, TypeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # else it is pyarrow's word for a file cut short
            raise
        raise ValueError(f"{folder}: not a whole store ({type(error).__name__}); delete the folder") from error
    path = folder / "features.bin"
    size = path.stat().st_size
    if size != expected:
        raise ValueError(f"{path}: must have {expected} bytes, has {size}; delete the folder")
    # Mode "c" (copy on write) gives PyTorch the writable array that it asks for and leaves the file alone.
    mapped = np.memmap(path, dtype=header["dtype"], mode="c", shape=shape)
    return Store(folder, torch.from_numpy(mapped), index, kind, classes, mel, task, boxes, FeatureFile(path))


def _table(competition: Competition) -> pd.DataFrame:
    table = pd.concat(
        [competition.train.assign(split="train"), competition.test.assign(split="test")], ignore_index=True
    )
    numbers = {name: number for number, name in enumerate(competition.classes)}
    table["target"] = table["label"].map(numbers).fillna(-1).astype("int64")
    table["fault"] = table["fault"].fillna("") if "fault" in table else ""
    return table


def _paths(table: pd.DataFrame, kind: str) -> list[str]:
    return list(map(os.path.normpath, table["audio"] if kind == "wave" else table["path"]))


def _key(competition: Competition, table: pd.DataFrame, mel: LogMel | None, kind: str, digests: dict[str, str]) -> str:
    files = [(path, digests[path]) for path in _paths(table, kind)]
    rows = table[[name for name in ("id", "label", "group", "split") if name in table]].astype(str).to_numpy().tolist()
    facts = [VERSION, kind, competition.classes, asdict(mel) if mel else None, files, rows]
    if competition.boxes is not None:
        facts.append(competition.boxes.astype(str).to_numpy().tolist())
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _write(competition, table, mel, kind, folder: Path, progress: bool) -> None:
    problems, lengths, width, dtype, notes = Problems(competition.folder), [], 0, "", {}
    # A file may hold a sparse tensor, which is refused, but must not be trusted until then.
    with (folder / "features.bin").open("wb") as file, torch.sparse.check_sparse_tensor_invariants():
        items = read_rows(competition, table, mel, kind, notes)
        read = tqdm(items, "packing", len(table), disable=not progress, unit="file")
        for row, item in zip(table.itertuples(), read, strict=True):
            if isinstance(item, str) and row.split == "test":
                table.at[row.Index, "fault"] = item  # it has no frames, and costs the submission nothing
                lengths.append(0)
                continue
            if isinstance(item, str):
                problems.add(f"{row.where} ({row.audio if kind == 'wave' else row.path})", item)
                continue
            lengths.append(len(item))
            width, dtype = item.shape[1], str(item.dtype)
            file.write(np.ascontiguousarray(item))  # tofile would not say why a disk took no more
        problems.raise_if_any()
        file.flush()
        os.fsync(file.fileno())
    table["frames"] = lengths
    table["start"] = np.cumsum([0, *lengths[:-1]])
    table["note"] = [notes.get(path, "") for path in table["audio" if kind == "wave" else "path"]]
    kept = ["id", "split", "label", "target", "group", "start", "frames", "fault", "note"]
    table[[name for name in kept if name in table]].to_parquet(folder / "index.parquet")
    if competition.boxes is not None:
        boxes_of_rows(competition.boxes, competition.classes, table, mel, kind).to_parquet(folder / "boxes.parquet")
    header = {
        "kind": kind,
        "classes": competition.classes,
        "mel": asdict(mel) if mel else None,
        "total": int(sum(lengths)),
        "width": width,
        "dtype": dtype,
        "task": competition.task,
    }
    (folder / "store.json").write_text(json.dumps(header, indent=1))
