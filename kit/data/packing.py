"""Writes a store: every file once, end to end, then the index of which part of it each row is."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.std import tqdm

from kit.competition.competition import Competition
from kit.competition.listing import Problems
from kit.data.boxes import boxes_of_rows
from kit.data.features import LogMel
from kit.data.packed_files import PackedFile, PackedFiles
from kit.data.recording_files import FILES, write_recordings
from kit.data.rows import read_files
from kit.data.store_size import check_room
from kit.data.stretches import needed_samples, stretch_units

TIMES = ["start_seconds", "end_seconds"]
COLUMNS = ("id", "split", "label", "target", "group", "source", "site", "counts", "start", "frames", "fault", "note")


def write_store(
    competition: Competition, table: pd.DataFrame, mel: LogMel | None, kind: str, folder: Path, progress: bool,
    reader: Callable | None = None,
) -> None:  # fmt: skip
    """Fill a folder with a store of the rows of a table, read by `reader`; what a kill left there is gone on with.

    Raises CompetitionError naming each bad training row, OSError where the disk is too small.
    """
    left, kind = kind == FILES, "wave" if kind == FILES else kind
    table = table.assign(file=_file_numbers(competition, table, kind))
    files = _files(table, mel)
    # A file may hold a sparse tensor, which is refused, but must not be trusted until then.
    with PackedFiles(folder) as packed, torch.sparse.check_sparse_tensor_invariants():
        done = len(packed.files)
        if mel is not None and not left:
            check_room(competition, files, mel, kind, folder, done, progress)
        read = read_files(competition, files.iloc[done:], mel, kind, None if left else folder, None if left else reader)
        for item in tqdm(
            read, "listening" if left else "packing", len(files), initial=done, disable=not progress, unit="file"
        ):
            packed.add(item)
    index = _index(competition, table, packed.files, mel, kind)
    index[[name for name in COLUMNS if name in index]].to_parquet(folder / "index.parquet")
    if competition.boxes is not None:
        boxes_of_rows(competition.boxes, competition.classes, index, mel, kind).to_parquet(folder / "boxes.parquet")  # pyrefly: ignore[bad-argument-type]
    shape = packed.shape(1 if kind == "wave" else mel.n_mels if mel else competition.n_mels or 1)
    header = {"kind": kind, "classes": competition.classes, "mel": asdict(mel) if mel else None, **shape}
    (folder / "store.json").write_text(json.dumps({**header, "task": competition.task}, indent=1))
    if left:
        facts = ("start", "frames", "channel")
        columns = {name: [getattr(file, name) for file in packed.files] for name in facts}
        units = [file.units for file in packed.files]
        table = pd.DataFrame({"path": files["audio"].to_list(), "samples": units, **columns})
        write_recordings(folder, competition.folder, table)
        (folder / "features.bin").unlink()
    packed.forget()


def _file_numbers(competition: Competition, table: pd.DataFrame, kind: str) -> np.ndarray:
    """The number of each row's file (N,), from 0 in the order of the rows, or -1 where the row is faulty already."""
    usable = (table["fault"] == "").to_numpy()
    if competition.features == "image":  # each a row of a parquet file
        key = pd.Series(table.index, index=table.index)
    else:
        key = table["audio" if kind == "wave" else "path"]
        key = key + ":" + table["frames"].astype(str) if competition.features == "mel" and kind == "mel" else key
    numbers = np.full(len(table), -1)
    numbers[usable] = pd.factorize(key[usable])[0]
    return numbers


def _files(table: pd.DataFrame, mel: LogMel | None) -> pd.DataFrame:
    """The first row of each file, with `most`: how many samples of it are needed by any row."""
    used = table[table["file"] >= 0]
    if mel is not None:
        most = [needed_samples(*stretch, mel) for stretch in _stretches(used)]
        used = used.assign(most=pd.Series(most, used.index, dtype=float).groupby(used["file"]).transform("max"))
    return used.drop_duplicates("file")


def _stretches(table: pd.DataFrame) -> list[tuple[float, float]]:
    """Start and end of each row in its file (s), NaN where it is the whole."""
    times = [table[name].astype(float) if name in table else [math.nan] * len(table) for name in TIMES]
    return list(zip(*times, strict=True))


def _index(competition: Competition, table: pd.DataFrame, files: list[PackedFile], mel, kind: str) -> pd.DataFrame:
    """The table with start, frames, fault and note. Of a file, the first of its rows tells the note or the fault."""
    problems, told, found = Problems(competition.folder), set(), []
    for row, stretch in zip(table.itertuples(), _stretches(table), strict=True):
        file = files[row.file] if row.file >= 0 else None
        start, frames, fault = _place(file, stretch, mel, kind) if file else (0, 0, row.fault)
        is_first = file is None or row.file not in told
        if fault and row.split == "train" and (is_first or not file.fault):
            problems.add(f"{row.where} ({row.audio if kind == 'wave' else row.path})", fault)
        found.append((start, frames, fault, file.note if file and is_first and not fault else ""))
        if file and (file.fault or not fault):
            told.add(row.file)
    problems.raise_if_any()
    start, frames, fault, note = zip(*found, strict=True)
    return table.assign(start=start, frames=frames, fault=fault, note=note)


def _place(file: PackedFile, stretch: tuple[float, float], mel: LogMel | None, kind: str) -> tuple[int, int, str]:
    """Start and frames of a row in the store, and its fault or ""."""
    if file.fault:
        return 0, 0, file.fault
    if mel is None:  # no audio: a row is all of its file
        return file.start, file.units, ""
    try:
        start, frames = stretch_units(*stretch, file.samples, mel, kind)
    except ValueError as error:
        return 0, 0, str(error)
    return file.start + start, frames, ""
