"""One utterance's log-mels out of a `.pt` file that someone else made: no code in it runs, and it can't fill memory."""

import io
import struct
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

MOST_NUMBERS = 2**28  # in one tensor, 1 GiB; a view with strides of 0 claims any number of them and weighs nothing
AHEAD_FILES, AHEAD_BYTES = 64, 1 << 26  # what is read before it is needed
READERS = 8
DTYPES = {"float16": torch.float16, "float32": torch.float32}


class ArchiveError(ValueError):
    """An archive that is not given to torch.load; the message is the rule that it breaks."""


def mel_dtype(path: Path) -> str:
    """What to keep a folder's log-mels as, by its first file: "float16" where that holds half, or "float32"."""
    try:
        return "float16" if _load(path.read_bytes()).dtype == torch.float16 else "float32"
    except Exception:  # whatever is wrong with the first file, reading it as a row names it
        return "float32"


def read_mels(
    paths: Sequence[Path], sizes: Sequence[int], shapes: Sequence[tuple[int, int]], dtype: str
) -> Iterator[np.ndarray | str]:
    """read_mel of each file, of `sizes` bytes, in order; of a file that can not be read, the rule.

    Threads read ahead, since a disk or a network answers late. This one alone unpickles: two at it, which must have
    Python's lock by turns, take twice as long as one.
    """
    with ThreadPoolExecutor(READERS) as readers:
        first = 0
        while first < len(paths):
            end, size = first + 1, sizes[first]
            while end < len(paths) and end - first < AHEAD_FILES and size + sizes[end] <= AHEAD_BYTES:
                size += sizes[end]
                end += 1
            for content, shape in zip(readers.map(_content, paths[first:end]), shapes[first:end], strict=True):
                yield content if isinstance(content, str) else read_mel(content, shape, dtype)
            first = end


def read_mel(content: bytes, shape: tuple[int, int], dtype: str) -> np.ndarray | str:
    """(frames, n_mels) of the dtype of that name, or the rule that a file of this content breaks."""
    try:
        mel = _load(content)
    except ArchiveError as error:
        return str(error)
    except Exception as error:  # an unpickler that is fed noise may raise anything
        return _unsafe(error)
    if not isinstance(mel, Tensor) or not mel.is_floating_point() or mel.layout != torch.strided:
        return f"must hold a floating-point tensor, got {getattr(mel, 'dtype', type(mel).__name__)}"
    if mel.device.type != "cpu":
        return f"must hold a tensor with its numbers, got one on device {mel.device}"
    if tuple(mel.shape) != shape:
        return f"must have shape {shape} (mel_len, n_mels), got {tuple(mel.shape)}"
    if mel.numel() > MOST_NUMBERS:
        return f"must hold at most {MOST_NUMBERS:,} numbers, got {mel.numel():,}"
    mel = mel.to(DTYPES[dtype])  # NumPy has no bfloat16
    # Of the numbers as they are kept, for those of a wider type can be too large.
    return mel.numpy(force=True) if mel.isfinite().all() else f"holds NaN or inf as {dtype}"


def _content(path: Path) -> bytes | str:
    try:
        return path.read_bytes()
    except OSError as error:
        return _unsafe(error)


def _unsafe(error: Exception) -> str:
    return f"not a tensor file that can be read safely ({type(error).__name__})"


def _load(content: bytes) -> object:
    """Raises ArchiveError with the rule where an archive is larger than its file, and whatever torch.load raises."""
    if content[:4] == b"PK\x03\x04":  # as torch tells an archive from the format before it
        _check_archive(content)
    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")


def _check_archive(content: bytes) -> None:
    """torch.save compresses nothing, and torch.load would unpack whatever the archive's directory says."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked, start = sum(entry.file_size for entry in archive.infolist()), archive.start_dir
    if unpacked > len(content):
        raise ArchiveError(
            f"must be an archive without compression, got {unpacked:,} bytes in a file of {len(content):,}"
        )
    # zipfile finds the directory by its length and torch by its place: two directories would be one for each.
    end = content.rindex(b"PK\x05\x06")
    (directory,) = struct.unpack_from("<I", content, end + 16)
    if content[end - 20 : end - 16] == b"PK\x06\x07":  # the end of an archive that may exceed 4 GiB
        (end_64,) = struct.unpack_from("<Q", content, end - 12)
        (directory,) = struct.unpack_from("<Q", content, end_64 + 48) if end_64 == end - 76 else (-1,)
    if directory != start:
        raise ArchiveError(f"must be an archive with one directory, got one at byte {start} and one at {directory}")
