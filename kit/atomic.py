"""Write beside and rename: a kill or a full disk leaves the old file or the new one, never a part."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder; it becomes `path` when the block ends, and goes if the block raises.

    An OSError that names no file, as that of a full disk, is given the name of `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        yield Path(beside)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)  # mkstemp's own mode would hide the file from others
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        Path(beside).unlink(missing_ok=True)
        _name(error, path)
        raise


@contextmanager
def making(folder: str | Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, which it becomes when the block ends; it goes if the block raises.

    What killed makers left of the same folder goes first, for it may fill the disk. Where another process made `folder`
    meanwhile, that one stays. OSErrors are named as by `replacing`.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stray in folder.parent.glob(f"{folder.name}-*.part"):
        # A living maker holds its folder, unless it is still empty.
        with suppress(FileNotFoundError):
            if any(stray.iterdir()) and (lock := _lock(stray)) is not None:
                shutil.rmtree(stray, ignore_errors=True)
                os.close(lock)
    beside = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", suffix=".part", dir=folder.parent))
    lock = _lock(beside)
    try:
        yield beside
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    except BaseException as error:
        _name(error, folder)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def link(path: str | Path, target: str | Path) -> None:
    """The file under another name too, in folders made for it; a copy where the disk has no hard links."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:  # another disk, or one without hard links
        shutil.copy2(path, target)


def _lock(folder: Path) -> int | None:
    """An open file that holds the folder until it is closed or its process dies; None where it can't be held."""
    handle = None
    try:
        import fcntl  # which Windows lacks

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # another process holds it, or, as on NFS, folders know no locks
        if handle is not None:
            os.close(handle)
        return None
    return handle


def _name(error: BaseException, path: Path) -> None:
    if isinstance(error, OSError) and error.errno and error.filename is None:
        error.filename = str(path)
