"""The packed store: a competition's features in one memory-mapped array, with offsets and labels.

    <cache>/<key>/features.bin    (total frames, width) rows, end to end
                  index.parquet   one row an utterance: id, split, label, target, group, start, frames
                  boxes.parquet   of a competition with boxes: row, number (of the class), true, start, end
                  store.json      width, dtype, kind, task, parameters

The key is a hash of the tables, of every file's name, size and time of change, and of the parameters, so that a store
can't outlive its data. It is written beside and renamed: a kill leaves the whole of it or nothing.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.std import tqdm

from kit.competition.competition import Competition
from kit.competition.images import image_rows
from kit.competition.labels import known_matrix
from kit.competition.listing import Problems
from kit.data.atomic import making
from kit.data.audio import LogMel, MelSpec, load_wave
from kit.data.boxes import boxes_of_rows
from kit.data.feature_file import FeatureFile
from kit.data.tensors import mel_dtype, read_mels

VERSION = 1
INT16 = 32767.0
MOST_FRAMES = 1024  # of one log-mel at once: a minute at 48 kHz takes 350 MB of spectra, on each core


@dataclass(frozen=True)
class Store:
    """An opened store. `features` (total, width) is mapped from disk, and never copied as a whole."""

    folder: Path
    features: Tensor  # float (total frames, F) log-mels, uint8 pixels likewise, or int16 (total samples, 1) waves
    index: pd.DataFrame
    kind: str  # "mel" or "wave"
    classes: tuple[str, ...]
    mel: MelSpec | None  # how log-mels are, or will be, made from waves; None where the files held log-mels or pixels
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
        """Columns id, fault: the test recordings that can't be used, and why."""
        if "fault" not in self.index:
            return pd.DataFrame({"id": [], "fault": []})
        return self.index.loc[self.index["fault"] != "", ["id", "fault"]].reset_index(drop=True)


def pack(
    competition: Competition,
    cache: str | Path = "cache",
    mel: MelSpec | None = None,
    kind: str = "mel",
    progress: bool = True,
) -> Store:
    """The competition's store, packed now or opened where it was packed before.

    kind "mel" holds log-mels (computed by `mel` where the files are audio), "wave" the audio itself.
    Raises CompetitionError naming each file that can't be read, is misshaped, or holds NaN or inf.
    """
    if kind not in ("mel", "wave"):
        raise ValueError(f'kind must be "mel" or "wave", got {kind!r}')
    if kind == "wave" and "audio" not in competition.train:
        raise ValueError(f'kind "wave" needs audio files, and {competition.folder} has none')
    mel = (mel or MelSpec()) if competition.features == "wave" or kind == "wave" else None
    table = _table(competition)
    folder = Path(cache) / _key(competition, table, mel, kind)
    if not (folder / "store.json").exists():
        with making(folder) as beside:
            _write(competition, table, mel, kind, beside, progress)
    return open_store(folder)


def open_store(folder: str | Path) -> Store:
    """A store that lies on disk; its pages are read when they are touched. Raises ValueError where it is broken."""
    folder = Path(folder)
    try:
        header = json.loads((folder / "store.json").read_text())
        index = pd.read_parquet(folder / "index.parquet")
        has_boxes = (folder / "boxes.parquet").exists()
        boxes = pd.read_parquet(folder / "boxes.parquet") if has_boxes else None
        shape = (int(index["frames"].sum()), header["width"])
        mel = MelSpec(**header["mel"]) if header["mel"] else None
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
    if "fault" in table:
        table["fault"] = table["fault"].fillna("")
    return table


def _key(competition: Competition, table: pd.DataFrame, mel: MelSpec | None, kind: str) -> str:
    names = table["audio"] if kind == "wave" else table["path"]
    entries = competition.listing.entries
    files = [
        (path, *(asdict(entries[path]).values() if path in entries else ())) for path in map(os.path.normpath, names)
    ]
    rows = table[[name for name in ("id", "label", "group", "split") if name in table]].astype(str).to_numpy().tolist()
    facts = [VERSION, kind, competition.classes, asdict(mel) if mel else None, files, rows]
    if competition.boxes is not None:
        facts.append(competition.boxes.astype(str).to_numpy().tolist())
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _write(competition, table, mel, kind, folder: Path, progress: bool) -> None:
    problems, lengths, width, dtype = Problems(competition.folder), [], 0, ""
    # A file may hold a sparse tensor, which is refused, but must not be trusted until then.
    with (folder / "features.bin").open("wb") as file, torch.sparse.check_sparse_tensor_invariants():
        read = tqdm(_read(competition, table, mel, kind), "packing", len(table), disable=not progress, unit="file")
        for row, item in zip(table.itertuples(), read, strict=True):
            if isinstance(item, str) and row.split == "test" and "fault" in table:
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
    kept = ["id", "split", "label", "target", "group", "start", "frames", "fault"]
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


def _read(competition, table, mel, kind) -> Iterator[np.ndarray | str]:
    """Each row's (frames, width) array in order, or the rule that its file breaks."""
    if competition.features == "image":
        return (yield from image_rows(competition.folder, table))
    faults = table.get("fault", [""] * len(table))
    if kind == "wave":
        files = zip(table["audio"], faults, strict=True)
        jobs = (_job(_wave, fault, competition.folder / path, mel) for path, fault in files)
    elif competition.features == "wave":
        to_mel = LogMel(mel)
        files = zip(table["path"], faults, strict=True)
        jobs = (_job(_wave_mel, fault, competition.folder / path, mel, to_mel) for path, fault in files)
    else:
        paths = [competition.folder / path for path in table["path"]]
        sizes = [competition.listing.entries[os.path.normpath(path)].size for path in table["path"]]
        shapes = [(int(n), competition.n_mels) for n in table["frames"]]
        return (yield from read_mels(paths, sizes, shapes, mel_dtype(paths[0])))
    found = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(jobs)
    try:
        for item in found:  # noqa: UP028 - yield from would close it itself
            yield item
    finally:
        with warnings.catch_warnings(action="ignore"):  # joblib's, of what was read in vain where a disk is full
            found.close()


def _job(function: Callable, fault: str, *arguments):
    """A job that reads a file, or hands on the fault that it is known to have."""
    return joblib.delayed(str)(fault) if fault else joblib.delayed(function)(*arguments)


def _wave(path: Path, mel: MelSpec) -> np.ndarray | str:
    try:
        wave = load_wave(path, mel.sample_rate_hz)  # (N,)
    except ValueError as error:
        return str(error)
    if len(wave) < mel.window_samples:
        return f"must hold at least one window of {mel.window_samples} samples, got {len(wave)}"
    return (wave.clamp(-1, 1) * INT16).round().to(torch.int16).numpy()[:, None]


def _wave_mel(path: Path, mel: MelSpec, to_mel: LogMel) -> np.ndarray | str:
    try:
        wave = load_wave(path, mel.sample_rate_hz)[None]  # (1, N)
        # Half precision: its steps at these values are under 0.016, or 0.07 dB.
        return torch.cat([to_mel(part)[0].half() for part in _stretches(wave, mel)]).numpy()  # (T, F)
    except ValueError as error:
        return str(error)


def _stretches(wave: Tensor, mel: MelSpec) -> Iterator[Tensor]:
    """A wave (1, N) in parts whose frames, end to end, are those of the whole."""
    hop, reach = mel.hop_samples, (MOST_FRAMES - 1) * mel.hop_samples + mel.window_samples
    for first in range(0, max(1, mel.n_frames(wave.shape[1])), MOST_FRAMES):
        yield wave[:, first * hop : first * hop + reach]
