"""A folder that is made over more than one life of a process: what a kill leaves of it is there for the next."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def resuming(folder: str | Path) -> Iterator[Path]:
    """A folder `<folder>.part`, which becomes `folder` when the block ends; it goes if the block raises an error.

    After a kill or an interrupt it stays, and the next process is given it as it is. Another one that wants it
    meanwhile waits; `folder` may be there when its turn comes, and then stays as it is. Where folders know no locks, as
    on Windows, each process makes one of its own, anew.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside, lock = _held(folder.with_name(f"{folder.name}.part"))
    try:
        yield beside
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            shutil.rmtree(beside, ignore_errors=True)
    except Exception as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(folder)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _held(beside: Path) -> tuple[Path, int | None]:
    """The folder and an open file that holds it until it is closed or its process dies."""
    while True:
        beside.mkdir(exist_ok=True)
        try:
            import fcntl  # which Windows lacks

            lock = os.open(beside, os.O_RDONLY)
        except FileNotFoundError:  # it was finished just now
            continue
        except ImportError:
            return _own(beside), None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if beside.is_dir() and os.path.samestat(os.fstat(lock), os.stat(beside)):
                return beside, lock
        except FileNotFoundError:
            pass
        except OSError:  # as on NFS
            os.close(lock)
            return _own(beside), None
        os.close(lock)  # of a folder that another process finished or gave up


def _own(beside: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{beside.stem}-", suffix=beside.suffix, dir=beside.parent))
