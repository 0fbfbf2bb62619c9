"""How many samples a FLAC holds, told by its last frame: its header may count fewer, or none where a pipe wrote it.

libsndfile stops where the header's count ends, and reads no file without one. Streams and frames: RFC 9639, sections
8.2 and 9.1.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

MAGIC = b"fLaC"
STREAM_INFO = b"\0\0\0\x22"  # the first block of metadata: type 0 of 34 bytes, which may also be marked as the last one
COUNT_AT = 21  # bytes from the magic to the byte whose lower four bits begin the 36 of the count
MOST_COUNTED = 2**36 - 1
LEAST_TAIL = 2**16  # bytes at the end in which the last two frames lie


@dataclass(frozen=True)
class _Frame:
    """A frame's samples, numbered from the start of the stream."""

    start: int
    end: int


def flac_samples(file: BufferedReader) -> tuple[int, int] | None:
    """Samples (of each channel) that the header counts, 0 for none, and that the frames hold.

    None where the file does not end with two frames in a row, or with the only one.
    """
    file.seek(0)
    head = file.read(COUNT_AT + 5)
    if len(head) < COUNT_AT + 5 or head[:4] != MAGIC or head[5:8] != STREAM_INFO[1:]:
        return None
    block, largest = struct.unpack_from(">H", head, 10)[0], int.from_bytes(head[15:18], "big")
    counted = int.from_bytes(head[COUNT_AT : COUNT_AT + 5], "big") & MOST_COUNTED
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - max(LEAST_TAIL, 3 * largest)))
    frames = list(_frames(file.read(), block, head[18:21]))
    ends = {0, *(frame.end for frame in frames)}
    held = [frame.end for frame in frames if frame.start in ends]
    return (counted, held[-1]) if held else None


def with_count(content: bytes, samples: int) -> bytes:
    """The same FLAC with this count in its header."""
    count = bytearray(samples.to_bytes(5, "big"))
    count[0] |= content[COUNT_AT] & 0xF0
    return content[:COUNT_AT] + bytes(count) + content[COUNT_AT + 5 :]


def _frames(content: bytes, block: int, facts: bytes) -> Iterator[_Frame]:
    """Each frame whose header lies in the content. block: samples of a frame where all have as many."""
    offset = -1
    while (offset := content.find(b"\xff", offset + 1)) >= 0:
        if content[offset + 1 : offset + 2] in (b"\xf8", b"\xf9") and (frame := _frame(content, offset, block)):
            yield frame


def _frame(content: bytes, offset: int, block: int) -> _Frame | None:
    header = content[offset : offset + 16].ljust(16, b"\0")  # the longest there is; a frame may be shorter
    if header[3] & 1:
        return None
    number, at = _coded_number(header)
    code, rate_code = header[2] >> 4, header[2] & 15
    size_bytes = {6: 1, 7: 2}.get(code, 0)
    end = at + size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not at or code == 0 or rate_code == 15 or _crc8(header[:end]) != header[end]:
        return None
    if size_bytes:
        samples = int.from_bytes(header[at : at + size_bytes], "big") + 1
    else:
        samples = 192 if code == 1 else 144 << code if code < 6 else 1 << code
    start = number if header[1] & 1 else number * block
    return _Frame(start, start + samples)


def _coded_number(header: bytes) -> tuple[int, int]:
    """The number from byte 4 on, coded as UTF-8 codes letters but in up to 7 bytes, and where it ends; or (0, 0)."""
    first = header[4]
    if first < 0x80:
        return first, 5
    length = 8 - (first ^ 0xFF).bit_length()  # as many bytes as there are leading ones
    rest = header[5 : 4 + length]
    if length == 1 or length == 8 or any(byte >> 6 != 2 for byte in rest):
        return 0, 0
    number = first & (0x7F >> length)
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return number, 4 + length


def _crc8(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
    return crc
