"""Images as spectrograms: an image of H × W pixels and C channels is H frames of W · C bins, channels side by side.

So CIFAR-10 goes through the store, the batches and the loop that sounds go through. A folder holds one parquet file
with columns split ("train" or "test"), label, and jpeg, png or image (a file's bytes); or the files themselves, as
train/<class>/<name>.png and test/<class>/<name>.png. Labels of the test part are known here: errors are measured on it.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from kit.competition.listing import CompetitionError, Listing, Problems
from kit.competition.names import near_equal, told

if TYPE_CHECKING:
    from torch import Tensor

    from kit.data.store import Store

SPLITS = ("train", "test")
CONTENTS = ("jpeg", "png", "image")  # what a parquet file may call its column of images
SUFFIXES = (".png", ".jpg", ".jpeg")
CHANNELS = {"L": 1, "RGB": 3}  # by Pillow's mode
MOST_PIXELS = 256  # a side
MOST_IMAGE_BYTES = 2**20
MOST_BYTES = 2**31  # of a parquet file, unpacked; CIFAR-10 has 55 MB


def find_images(listing: Listing) -> str | None:
    """The folder's one parquet file, or "train" where that has a folder of images a class; None without either."""
    parquet = [path for path in listing.entries if path.endswith(".parquet") and "/" not in path]
    if len(parquet) == 1:
        return parquet[0]
    return "train" if any(map(_is_image, listing.below("train"))) else None


def read_images(listing: Listing) -> dict:
    """The fields of a Competition. Raises CompetitionError naming every bad row."""
    source, problems = find_images(listing) or "", Problems(listing.folder)
    table = _files(listing, problems) if source == "train" else _parquet_rows(listing, source)
    for row in table[~table["split"].isin(SPLITS)].itertuples():
        problems.add(f"{row.where} ({row.path})", f"split must be train or test, got {row.split!r}")
    for row in table[table["label"] == ""].itertuples():
        problems.add(f"{row.where} ({row.path})", "label is empty")
    train, test = (table[table["split"] == split].drop(columns="split").reset_index(drop=True) for split in SPLITS)
    classes = tuple(sorted(train["label"].unique()))
    if len(classes) < 2:
        problems.add(source, f"must have at least two classes in its train part, got {len(classes)}")
    if test.empty:
        problems.add(source, "must have a test part, got no row of it")
    for label in sorted(set(test["label"]) - {*classes, ""}):
        alike = near_equal([label, *classes])
        hint = f", where train has {' and '.join(map(told, alike[0][1:]))}" if alike and label in alike[0] else ""
        problems.add(source, f"label {told(label)} is in the test part alone{hint}")
    problems.raise_if_any()
    return {
        "layout": "images",
        "features": "image",
        "n_mels": None,
        "train": train,
        "test": test,
        "classes": classes,
        "id_column": "id",
        "label_columns": ("label",),
        "cluster": None,
    }


def image_rows(folder: Path, table: pd.DataFrame) -> Iterator[np.ndarray | str]:
    """Each row's (H, W · C) uint8 pixels in order, or the rule that its image breaks; all must be the first's size."""
    shape = None
    for content in _contents(folder, table):
        pixels = _decoded(content)
        if not isinstance(pixels, str):
            shape = shape or pixels.shape
            if pixels.shape != shape:
                pixels = f"must be {_size(shape)}, as the first image is, got {_size(pixels.shape)}"
        yield pixels if isinstance(pixels, str) else pixels.reshape(len(pixels), -1)


def image_shape(store: "Store") -> tuple[int, int]:
    """Pixels a side and channels of a store's images. Raises ValueError where it holds no images."""
    sides = store.index["frames"][store.index["frames"] > 0]  # of a test image that can't be read there is none
    side = int(sides.iloc[0])
    if sides.nunique() > 1 or store.n_mels not in (side * channels for channels in CHANNELS.values()):
        raise ValueError(f"the data must be square images of one size, got rows of {store.n_mels} numbers")
    return side, store.n_mels // side


def pick_images(store: "Store", rows: np.ndarray) -> "Tensor":
    """Some rows of a store of images, (N, H, W · C) uint8. Raises ValueError for one that could not be read."""
    side = image_shape(store)[0]
    if len(faulty := store.index.iloc[rows].query("frames == 0")):
        raise ValueError(f"rows must be of images that can be read, got {faulty['id'].iloc[0]}")
    import torch  # here, since no other reading of a folder needs it

    return torch.stack([store.features[start : start + side] for start in store.index["start"].to_numpy()[rows]])


def _is_image(path: str) -> bool:
    return len(PurePosixPath(path).parts) == 3 and path.lower().endswith(SUFFIXES)


def _files(listing: Listing, problems: Problems) -> pd.DataFrame:
    """Columns id, path, label, where, split."""
    paths = [path for split in SPLITS for path in listing.below(split) if _is_image(path)]
    for path in paths:
        if (size := listing.entries[path].size) > MOST_IMAGE_BYTES:
            problems.add(f"file ({path})", f"must have at most {MOST_IMAGE_BYTES:,} bytes, got {size:,}")
    parts = [PurePosixPath(path).parts for path in paths]
    table = pd.DataFrame({"id": paths, "path": paths, "label": [part[1] for part in parts], "where": "file"})
    return table.assign(split=[part[0] for part in parts])


def _parquet_rows(listing: Listing, name: str) -> pd.DataFrame:
    table = _read_parquet(listing.folder / name, ("split", "label")).to_pandas().fillna("")
    rows = [f"row {number}" for number in range(len(table))]
    return table.assign(id=rows, path=name, where=rows)


def _contents(folder: Path, table: pd.DataFrame) -> Iterator[bytes | None]:
    """Each row's encoded image: a file of its own, or a row of the parquet file."""
    path = folder / table["path"].iloc[0]
    if path.suffix != ".parquet":
        yield from ((folder / path).read_bytes() for path in table["path"])
        return
    column = _read_parquet(path, CONTENTS).column(0)
    for row in table["id"]:
        yield column[int(row.removeprefix("row "))].as_py()


def _read_parquet(path: Path, wanted: tuple[str, ...]) -> pa.Table:
    """split and label, or the one column of images, after a look at the file's own facts. Raises CompetitionError."""
    with _named(path):
        file = pq.ParquetFile(path)
    size = sum(file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups))
    if size > MOST_BYTES:
        raise CompetitionError(f"{path}: must unpack to at most {MOST_BYTES:,} bytes, got {size:,}")
    names = file.schema_arrow.names
    columns = [name for name in wanted if name in names]
    images = [name for name in CONTENTS if name in names]
    if len(images) != 1 or not {"split", "label"} <= set(names):
        raise CompetitionError(
            f"{path}: must have columns split, label and one of {', '.join(CONTENTS)}, got {', '.join(names)}"
        )
    for column in columns:
        dtype = file.schema_arrow.field(column).type
        texts, bytes_ = (pa.string(), pa.large_string()), (pa.binary(), pa.large_binary())
        if dtype not in (bytes_ if column in CONTENTS else texts):
            rule = "bytes" if column in CONTENTS else "text"
            raise CompetitionError(f"{path}: column {column} must hold {rule}, got {dtype}")
    with _named(path):
        return file.read(columns)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CompetitionError(f"{path}: not a parquet file that can be read ({first})") from None


def _decoded(content: bytes | None) -> np.ndarray | str:
    """Pixels (H, W) or (H, W, C), or the rule that the image breaks; its size is known before its pixels are read."""
    if not content:
        return "holds no image"
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        width, height = image.size
        if width != height or width > MOST_PIXELS:
            return f"must be square, of at most {MOST_PIXELS} pixels a side, got {height} x {width}"
        if image.mode not in CHANNELS:
            return f"must be grey or RGB of 8 bits (mode {' or '.join(CHANNELS)}), got mode {image.mode}"
        return np.asarray(image)
    except Exception as error:  # a decoder that is fed noise may raise anything
        return f"not a PNG or JPEG that can be read ({type(error).__name__})"


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]} with {shape[2] if len(shape) == 3 else 1} channels"
