"""Is an audio file whole? libsndfile reads what it can find, and does not say where a file ends too soon.

    WAV, RF64, AIFF, W64, CAF   the chunk of samples must lie in the file; the size of the whole is often wrong
    AU, NIST                    the header's count must lie in the file
    Ogg                         a stream must have all of its pages, the last included, and be the only one
    MP3                         frames are counted where an index is missing or counts fewer than there are
    FLAC                        libsndfile refuses what is cut; frames are counted where the header counts fewer

All else that libsndfile reads (VOC, IRCAM, SDS and the like) is refused: nothing tells whether it is whole.
Sources: RIFF (Microsoft and IBM, 1991), EBU Tech 3306 (RF64), AIFF-C (Apple, 1991), CAF (Apple, 2005), RFC 3533 (Ogg),
flac.py and mp3.py.
"""

import io
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from kit.competition.audio_files import AUDIO, convert_hint
from kit.competition.flac import MAGIC, STREAM_INFO, flac_samples, with_count
from kit.competition.mp3 import mp3_frames, with_index

UNKNOWN = 0xFFFFFFFF  # the size of a chunk that was written to a pipe, or that is told elsewhere
MOST_CHUNKS = 10_000  # before the samples; a file of noise may hold millions
W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
KNOWN = "WAV, RF64, FLAC, Ogg, MP3, AIFF, AU, CAF, W64 or NIST SPHERE"
JOINED = "one after another, of which one would be read"
CUT = "must be as long as its header says, got {}, which is cut short"
OGG_BEGIN, OGG_END = 2, 4  # flags of a page


class AudioError(ValueError):
    """An audio file that cannot be used; the message names the file and the rule it breaks."""


def whole_source(path: Path) -> Path | io.BytesIO:
    """What soundfile is to read: the file, or its content with a header or an index that counts all of it.

    Raises: AudioError where sound is missing from the file, or would be left out, or nothing tells whether it is.
    """
    with open(path, "rb") as file:
        magic = file.read(12)
        if magic[:4] == MAGIC:
            return _counted_flac(path, file)
        size = os.fstat(file.fileno()).st_size
        if magic[:4] == b"OggS":
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:  # of hours, it need not be in memory
                rule = _ogg_fault(content)
        elif magic[:4] in (b"RIFF", b"RIFX", b"RF64"):
            rule = _riff_fault(file, size, ">" if magic[:4] == b"RIFX" else "<")
        elif magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
            rule = _aiff_fault(file, size)
        elif magic[:4] == b"riff":
            rule = _w64_fault(file, size)
        elif magic[:4] == b"caff":
            rule = _caf_fault(file, size)
        elif magic[:4] in (b".snd", b"dns."):
            rule = _au_fault(magic, size)
        elif magic[:4] == b"NIST":
            file.seek(0)
            rule = _nist_fault(file.read(4096), size)
        elif magic[:3] == b"ID3" or magic[:1] == b"\xff" or path.suffix.lower() == ".mp3":
            file.seek(0)
            return _counted_mp3(path, file.read())
        else:
            hint = "" if path.suffix.lower() in AUDIO else f": {convert_hint(path.name)}"
            raise AudioError(f"audio file must be {KNOWN}, got {path}, which is none of them{hint}")
    if rule:
        raise AudioError(f"audio file {rule.format(path)}")
    return path


def _counted_flac(path: Path, file: io.BufferedReader) -> Path | io.BytesIO:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(MAGIC + STREAM_INFO, 1) > 0:
            raise AudioError(f"audio file must hold one stream, got {path} with several, {JOINED}")
    samples = flac_samples(file)
    if samples is None or samples[0] >= samples[1]:  # of a count that is too large libsndfile itself tells
        return path
    file.seek(0)
    return io.BytesIO(with_count(file.read(), samples[1]))


def _counted_mp3(path: Path, content: bytes) -> Path | io.BytesIO:
    frames = mp3_frames(content)
    if frames and frames.cut and frames.count > (frames.counted or 0):
        raise AudioError(f"audio file must end with a whole frame, got {path}, which is cut short within its last")
    if frames is None or frames.counted is not None and frames.count <= max(1, frames.counted):
        return path
    return io.BytesIO(with_index(content, frames))


def _chunks(file: io.BufferedReader, start: int, form: str, align: int = 2) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and size of each chunk's content; `form` is how a name and a size are packed."""
    head = struct.calcsize(form)
    for _ in range(MOST_CHUNKS):
        file.seek(start)
        if len(content := file.read(head)) < head:
            return
        name, size = struct.unpack(form, content)
        yield name, start + head, size
        start += head + size + -size % align


def _riff_fault(file: io.BufferedReader, length: int, order: str) -> str | None:
    size_64 = None
    for name, offset, size in _chunks(file, 12, f"{order}4sI"):
        if name == b"ds64":
            file.seek(offset + 8)
            size_64 = int.from_bytes(file.read(8), "little")
        if name == b"data":
            if size == UNKNOWN:
                size = length - offset if size_64 is None else size_64
            if offset + size > length:
                return CUT
            return _uncounted(file, offset + size, length)
    return None


def _uncounted(file: io.BufferedReader, end: int, length: int) -> str | None:
    """The rule where what follows the samples is neither a chunk nor padding, but samples that no header counts."""
    file.seek(end)
    rest = file.read(4096)
    names = [rest[pad : pad + 4] for pad in (end % 2, 0)]
    known = any(name.isascii() and name.decode("ascii", "replace").isprintable() for name in names if len(name) == 4)
    if len(rest) < 8 or known or not any(rest):
        return None
    return f"must count its samples in its header, got {{}} with {length - end:,} bytes behind those that it counts"


def _aiff_fault(file: io.BufferedReader, length: int) -> str | None:
    for name, offset, size in _chunks(file, 12, ">4sI"):
        if name == b"SSND":
            return CUT if offset + size > length else None
    return None


def _caf_fault(file: io.BufferedReader, length: int) -> str | None:
    for name, offset, size in _chunks(file, 8, ">4sq", align=1):
        if name == b"data" or size < 0:  # -1 is to the end of the file
            return CUT if offset + size > length else None
    return None


def _w64_fault(file: io.BufferedReader, length: int) -> str | None:
    offset = 40  # after the GUIDs of the file and of its form
    for _ in range(MOST_CHUNKS):
        file.seek(offset)
        head = file.read(24)
        if len(head) < 24:
            return None
        size = int.from_bytes(head[16:], "little")  # its head of 24 bytes included
        if head[:16] == W64_DATA:
            return CUT if offset + size > length else None
        offset += max(24, size + -size % 8)
    return None


def _au_fault(magic: bytes, length: int) -> str | None:
    start, size = struct.unpack(">II" if magic[:4] == b".snd" else "<II", magic[4:])
    return CUT if size != UNKNOWN and start + size > length else None


def _nist_fault(head: bytes, length: int) -> str | None:
    """SPHERE's header: a size, then lines such as `sample_count -i 46797`."""
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines()]
    facts = {line[0]: line[2] for line in lines if len(line) == 3}
    try:
        counts = [int(facts[name]) for name in ("sample_count", "channel_count", "sample_n_bytes")]
        start = int(lines[1][0])
    except (LookupError, ValueError):  # an odd header is libsndfile's to judge
        return None
    return CUT if start + counts[0] * counts[1] * counts[2] > length else None


def _ogg_fault(content: mmap.mmap) -> str | None:
    begun, ended, pages = set(), set(), {}
    for flags, _, serial, page, end in _ogg_pages(content):
        if end > len(content):
            return CUT
        if flags & OGG_BEGIN:
            if ended:
                return f"must hold one stream, got {{}} with several, {JOINED}"
            begun.add(serial)
        elif page != pages.get(serial, page - 1) + 1:
            return f"must have all of its pages, got {{}}, which lacks those before page {page}"
        pages[serial] = page
        if flags & OGG_END:
            ended.add(serial)
    if begun - ended:
        return "must have the page that ends it, got {}, which is cut short"
    return None


def _ogg_pages(content: mmap.mmap) -> Iterator[tuple[int, int, int, int, int]]:
    """Flags, granule, serial, number and end (bytes) of each page: the granule counts the samples that end in it."""
    offset = 0
    while content[offset : offset + 4] == b"OggS" and offset + 27 <= len(content):
        granule, serial, page = struct.unpack_from("<qII", content, offset + 6)
        lacing = content[offset + 27 : offset + 27 + content[offset + 26]]
        end = offset + 27 + content[offset + 26] + sum(lacing)
        yield content[offset + 5], granule, serial, page, end
        offset = end


def last_page(path: Path) -> int:
    """The granule with which the last page of an Ogg stream begins, 0 where it is the only one with samples."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        granules = [granule for _, granule, *_ in _ogg_pages(content) if granule > 0]  # -1 where no packet ends
    return granules[-2] if len(granules) > 1 else 0
