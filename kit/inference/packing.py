"""The test part of a competition as a store of its own: the training files need not be there.

Under a clock it is packed a share of the files at a time, so that packing can be measured and stopped; the shares are
then joined to the store that kit.data.store.pack makes of the whole.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.std import tqdm

from kit.atomic import making
from kit.competition.competition import Competition
from kit.data.features import LogMel
from kit.data.recording_files import FILES
from kit.data.store import WITH, Store, open_store, pack, packed_folder
from kit.inference.decoding import Decodings

FIRST_FILES = 16  # of the first share, by which a clock measures; each next one has twice as many
MOST_FILES, MOST_BYTES = 512, 1 << 25  # of any: seconds, so that a clock can stop between two
NO_TIME = "no time was left to read it"


def without_training(competition: Competition) -> Competition:
    """The competition without its training rows, boxes and unlabelled rows."""
    alone = {"train": competition.train.iloc[:0], "boxes": None, "unlabelled": None}
    return replace(competition, **alone, test=competition.test.reset_index(drop=True))


def features_key(features: Any) -> tuple[LogMel | None, str]:
    """What a store is packed by: two nets of one key share it."""
    return getattr(features, "mel", None), features.packs


def packed_before(competition: Competition, features: Any, cache: Path, name: str) -> Store | None:
    """The store of this name, by which a run was trained, where it lies in the cache and is of this very folder."""
    folder = cache / name
    if not name or not (folder / "store.json").exists():
        return None
    own = packed_folder(competition, cache, *features_key(features)).name
    return open_store(folder) if name.partition(WITH)[0] == own else None  # unlabelled rows may be there or not


class Packing:
    """Packs the test part for one sort of features; `step` does a share of the files, `store` joins what is there.

    in_shares: several, or all files at once. Sorts that step by step share their `decodings` decode a file once.
    """

    def __init__(
        self, competition: Competition, features: Any, cache: Path, in_shares: bool, progress: bool = True,
        decodings: Decodings | None = None,
    ):  # fmt: skip
        self.competition, self.cache = without_training(competition), cache
        self.mel, kind = features_key(features)
        self.kind = "wave" if kind == FILES else kind  # a test part is small, and is predicted by several nets
        self.folder = packed_folder(self.competition, cache, self.mel, self.kind)
        self.is_packed = (self.folder / "store.json").exists()
        everything = [np.arange(len(competition.test))]
        shares = list(_shares(self.competition, self.kind)) if in_shares else everything
        self.rows = [] if self.is_packed else shares
        self.shares: list[Path] = []
        self.progress, self.decodings = progress, decodings
        hidden = not progress or len(self.rows) < 2  # the bar of a whole is pack's own
        self.bar = tqdm(total=len(competition.test), desc="packing", unit="row", disable=hidden)

    @property
    def left(self) -> int:
        """Rows whose files are still to be packed."""
        return sum(map(len, self.rows[len(self.shares) :]))

    @property
    def next_rows(self) -> int:
        """Rows of the next share, 0 where there is none."""
        return len(self.rows[len(self.shares)]) if self.left else 0

    def step(self) -> Store:
        """Pack the next share."""
        rows = self.rows[len(self.shares)]
        if self.decodings:
            self.decodings.begin(len(self.shares))
        test = self.competition.test.iloc[rows].reset_index(drop=True)
        with warnings.catch_warnings():  # oddities are told once, of the whole
            warnings.simplefilter("ignore")
            shown = self.progress and len(self.rows) == 1
            store = pack(replace(self.competition, test=test), self.cache, self.mel, self.kind, shown,
                         reader=self.decodings)  # fmt: skip
        self.shares.append(store.folder)
        self.bar.update(len(rows))
        return store

    def store(self) -> Store:
        """All that is packed as one store; the other rows have a fault."""
        self.bar.close()
        if self.is_packed:
            return open_store(self.folder)
        if len(self.rows) == len(self.shares) == 1:
            return open_store(self.shares[0])
        if self.left:
            named = hashlib.sha256(" ".join(path.name for path in self.shares).encode()).hexdigest()[:16]
            folder = self.cache / f"{self.folder.name}-{named}"
        else:
            folder = self.folder
        if not (folder / "store.json").exists():
            with making(folder) as beside:
                _join(self.shares, self.rows, self.competition, beside)
        if not self.left:
            for path in self.shares:
                shutil.rmtree(path, ignore_errors=True)
        return open_store(folder)


def _shares(competition: Competition, kind: str) -> Iterator[np.ndarray]:
    """Positions of test rows, those of one file together, in shares of so many files or bytes."""
    paths = competition.test["audio" if kind == "wave" else "path"].fillna("").map(os.path.normpath)
    entries = competition.listing.entries
    number, names = pd.factorize(paths)
    share, files, size = 0, 0, 0
    share_of = []
    for name in names:
        most = min(FIRST_FILES << share, MOST_FILES)
        if files and (files >= most or size >= MOST_BYTES):
            share, files, size = share + 1, 0, 0
        files, size = files + 1, size + (entries[name].size if name in entries else 0)
        share_of.append(share)
    of_row = np.array(share_of, dtype=int)[number]
    for share in range(of_row.max(initial=-1) + 1):
        yield np.flatnonzero(of_row == share)


def _join(shares: list[Path], rows: list[np.ndarray], competition: Competition, folder: Path) -> None:
    """Write the store of all test rows: the features of the shares end to end, their indexes in the test's order."""
    headers = [json.loads((path / "store.json").read_text(encoding="utf-8")) for path in shares]
    filled = [header for header in headers if header["total"]]
    shape = {name: (filled or headers)[0][name] for name in ("width", "dtype")}
    for path, header in zip(shares, headers, strict=True):
        if header["total"] and {name: header[name] for name in shape} != shape:
            raise ValueError(f"{path}: features must be {shape['dtype']} of width {shape['width']} in all test files, "
                             f"got {header['dtype']} of width {header['width']}")  # fmt: skip
    starts = np.cumsum([0, *(header["total"] for header in headers)])
    with (folder / "features.bin").open("wb") as file:
        for path in shares:
            with (path / "features.bin").open("rb") as share:
                shutil.copyfileobj(share, file, 1 << 22)
        file.flush()
        os.fsync(file.fileno())
    indexes = [pd.read_parquet(path / "index.parquet") for path in shares]
    tables = [
        index.assign(start=index["start"] + start * (index["frames"] > 0), position=of_row)
        for index, start, of_row in zip(indexes, starts, rows, strict=False)
    ]
    if left := rows[len(shares) :]:
        tables.append(_unread(competition, np.concatenate(left), indexes[0]))
    index = pd.concat(tables).sort_values("position").drop(columns="position").reset_index(drop=True)
    index.to_parquet(folder / "index.parquet")
    header = {**headers[0], **shape, "total": int(starts[-1])}
    (folder / "store.json").write_text(json.dumps(header, indent=1), encoding="utf-8")


def _unread(competition: Competition, rows: np.ndarray, like: pd.DataFrame) -> pd.DataFrame:
    """An index of rows whose files were not read, with the columns of another."""
    test = competition.test.iloc[rows]
    known = {name: test[name].to_numpy() for name in like if name in test}
    fixed = {"split": "test", "target": -1, "start": 0, "frames": 0, "fault": NO_TIME, "note": ""}
    return pd.DataFrame({**known, **fixed}).reindex(columns=like.columns).astype(like.dtypes).assign(position=rows)
