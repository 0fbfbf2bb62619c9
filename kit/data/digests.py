"""A digest of each file's content, remembered by size and times, so that a file left alone is read for it once.

    <cache>/<store>/digests-<folder>.parquet    path, size, mtime_ns, ctime_ns, digest: one file a data folder

The digest is SHA-256 of the whole content: a cheaper one, of ends or of times, would take other data for the same.
Files are read by threads, since a disk answers late and hashing needs no lock.
"""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pyarrow as pa

from kit.atomic import replacing
from kit.competition.listing import Listing

READERS, TOGETHER = 8, 64  # threads, and files that one of them takes at once
SMALL = 2**22  # bytes that are read in one piece


def file_digests(listing: Listing, paths: Iterable[str], cache: str | Path) -> dict[str, str]:
    """Each path's digest, "" where there is no such file or it can't be read; known ones are taken from the cache."""
    known = _remembered(listing, Path(cache))
    digests = {path: known.get(path, "") for path in dict.fromkeys(paths)}
    wanted = [path for path in digests if path in listing and path not in known]
    parts = [wanted[first : first + TOGETHER] for first in range(0, len(wanted), TOGETHER)]
    with ThreadPoolExecutor(READERS) as readers:
        for part, hashes in zip(parts, readers.map(lambda part: _digests(listing.folder, part), parts), strict=True):
            digests.update(zip(part, hashes, strict=True))
    return digests


def remember(listing: Listing, digests: dict[str, str], store: Path) -> None:
    """Keep digests in a store's folder, unless they lie there, or it can't be written to."""
    known = _load(store / _name(listing), listing)
    kept = {path: digest for path, digest in digests.items() if digest}
    if known == kept:
        return
    rows = [{"path": path, **asdict(listing.entries[path]), "digest": digest} for path, digest in kept.items()]
    with suppress(OSError), replacing(store / _name(listing)) as beside:
        pd.DataFrame(rows, columns=["path", "size", "mtime_ns", "ctime_ns", "digest"]).to_parquet(beside)


def _name(listing: Listing) -> str:
    return f"digests-{hashlib.sha256(str(listing.folder).encode(errors='surrogateescape')).hexdigest()[:16]}.parquet"


def _remembered(listing: Listing, cache: Path) -> dict[str, str]:
    """From the store that was packed or opened last of this folder's."""
    tables = sorted(cache.glob(f"*/{_name(listing)}"), key=lambda path: path.stat().st_mtime_ns)
    return _load(tables[-1], listing) if tables else {}


def _load(path: Path, listing: Listing) -> dict[str, str]:
    """The digests of files whose size and times are what they were."""
    try:
        table = pd.read_parquet(path)
        columns = [table[name].tolist() for name in ("path", "size", "mtime_ns", "ctime_ns", "digest")]
    except (OSError, pa.ArrowException, KeyError):  # none, or one cut short
        return {}
    entries, known = listing.entries, {}
    for name, size, mtime_ns, ctime_ns, digest in zip(*columns, strict=True):
        entry = entries.get(name)
        if entry and (entry.size, entry.mtime_ns, entry.ctime_ns) == (size, mtime_ns, ctime_ns):
            known[name] = digest
    return known


def _digests(folder: Path, paths: list[str]) -> list[str]:
    return [_digest(folder / path) for path in paths]


def _digest(path: Path) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read(SMALL)
            if len(content) < SMALL:
                return hashlib.sha256(content).hexdigest()
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # reading it as a row names it
        return ""
