"""The first cell of a pushed notebook: the kit of the checkout where there is one, else the one that it carries.

This file's text is put into the notebook as it stands, so it needs nothing but Python.
"""

import base64
import hashlib
import io
import lzma
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath

STARTED = "KIT_STARTED"  # in the environment: when the first cell began, in seconds
MOST_BYTES = 5_000_000  # of all files unpacked; an archive can hold far more than its size says


def start(sha256: str, payload: str, own: dict[str, str] | None = None) -> Path:
    """Put the kit on the path of this process and of those that it starts, and say which kit; the folder it is in."""
    os.environ[STARTED] = repr(time.time())
    here = Path.cwd()
    home = next((folder for folder in (here, *here.parents) if (folder / "kit/__main__.py").is_file()), None)
    if home:
        os.chdir(home)
        print("kit: the checkout's")
    else:
        files = unpacked(sha256, payload, own)
        home = Path(tempfile.mkdtemp(prefix="kit-"))
        for name, content in files.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(content)
        print(f"kit: the bundle's, sha256 {sha256}, {len(files)} files\n{' '.join(files)}")
    sys.path.insert(0, str(home))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")]))
    return home


def unpacked(sha256: str, payload: str, own: dict[str, str] | None = None) -> dict[str, bytes]:
    """The files of a bundle, by their POSIX path: the kit's, and those of `own` with the sha256 of each.

    Raises ValueError for one that may write elsewhere, or is not what the sha256 says.
    """
    own = own or {}
    try:
        content = lzma.LZMADecompressor().decompress(base64.b64decode(payload), 2 * MOST_BYTES)
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (ValueError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise ValueError(f"the bundle must be a compressed zip archive in base64, got {error}") from None
    size = sum(entry.file_size for entry in archive.infolist())
    if size > MOST_BYTES:
        raise ValueError(f"the bundle must unpack to at most {MOST_BYTES} bytes, got {size}")
    files, digest = {}, hashlib.sha256()
    for entry in archive.infolist():
        path, kind = PurePosixPath(entry.filename), entry.external_attr >> 28  # 8 of a regular file, 10 of a link
        known = path.parts[:1] == ("kit",) or entry.filename in own
        if not known or path.is_absolute() or ".." in path.parts or "\\" in entry.filename or kind != 8:
            raise ValueError(f"the bundle must hold regular files below kit/, got {entry.filename!r}")
        content = files[str(path)] = archive.read(entry)
        if entry.filename not in own:
            digest.update(str(path.relative_to("kit")).encode() + b"\0" + content)
        elif hashlib.sha256(content).hexdigest() != own[entry.filename]:
            raise ValueError(f"{path} of the bundle must have sha256 {own[entry.filename]}")
    if digest.hexdigest() != sha256:
        raise ValueError(f"the bundle must have sha256 {sha256}, got {digest.hexdigest()}")
    return files
