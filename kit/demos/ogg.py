"""Ogg Vorbis files whose bytes are a function of their sound: libsndfile numbers each stream at random.

Source: RFC 3533, section 6 (a page's header and checksum).
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import soundfile

REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
BLOCK = 65536  # samples: libsndfile's encoder keeps a block on the stack, which minutes of sound overflow


def write_ogg(path: Path, wave: np.ndarray, rate_hz: int, serial: int) -> None:
    """One channel (N,) float in -1 to 1, as a stream of this number."""
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", rate_hz, 1, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(wave), BLOCK):
            file.write(wave[start : start + BLOCK])
    path.write_bytes(renumbered(content.getvalue(), serial))


def renumbered(content: bytes | bytearray, serial: int) -> bytes:
    """An Ogg file's bytes with another number of its stream."""
    content, start = bytearray(content), 0
    while start < len(content):
        head = start + 27 + content[start + 26]
        end = head + sum(content[start + 27 : head])
        struct.pack_into("<I", content, start + 14, serial)
        struct.pack_into("<I", content, start + 22, 0)
        struct.pack_into("<I", content, start + 22, page_checksum(bytes(content[start:end])))
        start = end
    return bytes(content)


def page_checksum(page: bytes) -> int:
    """CRC-32 with Ogg's bit order, from zlib's, which takes the bits of each byte the other way round and inverts."""
    mirrored = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
