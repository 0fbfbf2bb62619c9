"""MPEG audio layer III, frame by frame: what an MP3 holds, where its index is missing or counts only a part.

The index (Xing's, LAME's or VBRI's) is a first frame without sound that counts the others. Where a cutter, a stream or
a recorder left it out, decoders estimate the length from the first bitrate and the file's size; where two files were
joined, it counts the first alone. Header and frame sizes: ISO/IEC 11172-3, section 2.4, and 13818-3.
"""

import struct
from dataclasses import dataclass

# kbit/s by the header's four bits, of MPEG-1 and of MPEG-2 and 2.5; 0 is "free", of which no size follows.
KBPS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
RATES_HZ = (44100, 48000, 32000)  # of MPEG-1
SAME = 0xFFFE0C00  # the bits that all frames of a stream share: sync, version, layer, sample rate
LEAST_INDEX = 160  # bytes of a frame that holds an index: header, 32 of side information, then 12


@dataclass(frozen=True)
class Mp3Frames:
    """The whole frames of sound in a file; `counted` is what its index says, or None without one.

    cut: the file ends within a frame. One that was cut between two of them can't be told from a whole file.
    """

    count: int
    counted: int | None
    start: int  # of the first frame with sound, in bytes
    header: int  # of that frame
    cut: bool


def mp3_frames(content: bytes) -> Mp3Frames | None:
    """None where the content has no two frames of layer III in a row, or one of them does not tell its size."""
    offset = _first_frame(content, _after_tag(content))
    if offset is None:
        return None
    header = _header(content, offset)
    counted = _index(content, offset, header)
    if counted is not None:
        offset += _frame_bytes(header)
    start, count, cut = offset, 0, False
    while offset + 4 <= len(content):
        other = _header(content, offset)
        size = _frame_bytes(other) if (other ^ header) & SAME == 0 else 0
        if size and offset + size <= len(content):
            count += _index(content, offset, other) is None
            offset += size
        elif size:
            cut = True
            break
        else:  # a tag, the seam of two files, or damage
            after = _first_frame(content, max(offset + 1, _after_tag(content, offset)), header)
            if after is None:
                break
            offset = after
    rest = content[offset : offset + 2]  # of a frame's header, where fewer than its 4 bytes are left
    cut = cut or len(content) - offset < 4 and rest != b"" and header.to_bytes(4, "big").startswith(rest)
    return Mp3Frames(count, counted, start, header, cut)


def with_index(content: bytes, frames: Mp3Frames) -> bytes:
    """The same sound behind an index that counts all of its frames, which a decoder takes its length from."""
    for kbps in range(1, 15):
        header = frames.header & ~(0xF << 12) & ~(1 << 9) | kbps << 12 | 1 << 16  # no padding, no checksum
        if _frame_bytes(header) >= LEAST_INDEX:
            break
    offset = 4 + _side_bytes(header)
    index = bytearray(_frame_bytes(header))
    index[:4] = header.to_bytes(4, "big")
    index[offset : offset + 12] = b"Xing" + struct.pack(">II", 1, frames.count)
    return bytes(index) + content[frames.start :]


def _header(content: bytes, offset: int) -> int:
    return int.from_bytes(content[offset : offset + 4], "big")


def _version(header: int) -> int:
    """3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5."""
    return header >> 19 & 3


def _frame_bytes(header: int) -> int:
    """Of the frame with this header; 0 where it is none of layer III or does not tell."""
    version, rate, kbps = _version(header), header >> 10 & 3, header >> 12 & 15
    if header >> 21 != 0x7FF or version == 1 or header >> 17 & 3 != 1 or rate == 3 or kbps in (0, 15):
        return 0
    rate_hz = RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1152 if version == 3 else 576
    return samples // 8 * KBPS[version != 3][kbps] * 1000 // rate_hz + (header >> 9 & 1)


def _side_bytes(header: int) -> int:
    mono = header >> 6 & 3 == 3
    return (17 if mono else 32) if _version(header) == 3 else (9 if mono else 17)


def _after_tag(content: bytes, offset: int = 0) -> int:
    """Where an ID3v2 tag at `offset` ends, which may hold pictures that look like frames."""
    if content[offset : offset + 3] != b"ID3" or len(content) < offset + 10:
        return offset
    flags, *digits = content[offset + 5 : offset + 10]
    size = sum((digit & 0x7F) << shift for digit, shift in zip(digits, (21, 14, 7, 0), strict=True))
    return offset + 10 + size + (10 if flags & 0x10 else 0)


def _first_frame(content: bytes, offset: int, like: int | None = None) -> int | None:
    """The first offset from which a frame is followed by another of its kind, or by the end."""
    while (offset := content.find(b"\xff", offset)) >= 0 and offset + 4 <= len(content):
        header = _header(content, offset)
        size = _frame_bytes(header) if like is None or (header ^ like) & SAME == 0 else 0
        if size:
            after = offset + size
            follows = after + 4 <= len(content) and (_header(content, after) ^ header) & SAME == 0
            if follows and _frame_bytes(_header(content, after)) or after == len(content):
                return offset
        offset += 1
    return None


def _index(content: bytes, offset: int, header: int) -> int | None:
    """How many frames the index in this frame counts, 0 where it does not; None where the frame is sound."""
    at = offset + 4 + _side_bytes(header)
    if content[at : at + 4] in (b"Xing", b"Info"):
        return int.from_bytes(content[at + 8 : at + 12], "big") if content[at + 7] & 1 else 0
    if content[offset + 36 : offset + 40] == b"VBRI":
        return int.from_bytes(content[offset + 50 : offset + 54], "big")
    return None
