"""What an audio file's header says, without its samples: how long it is, and its sample rate."""

import struct
from pathlib import Path

import soundfile

from kit.competition.audio_files import FOREIGN, convert_hint
from kit.competition.containers import AudioError, whole_source
from kit.competition.listing import Listing

REACH = 16384  # bytes at either end of an Ogg file, which hold its first page of sound and its last
OGG_LAST = 4  # flag of a stream's last page
MOST_FIRST = 2**18  # samples that a first page of sound holds at most; a stream that begins with more was cut out


def audio_header(listing: Listing, path: str) -> tuple[float, int] | str:
    """Length in seconds and sample rate of an audio file, or the rule that it breaks."""
    if rule := listing.fault(path):
        return f"{rule}: looked for {path}" if rule.startswith("no such") else rule
    file = listing.folder / path
    if header := vorbis_header(file):
        return header
    try:
        # an MP3's length may be a guess
        header = soundfile.info(whole_source(file) if path.lower().endswith(".mp3") else file)
    except AudioError as error:
        return str(error)
    except soundfile.LibsndfileError as error:
        hint = f"; {convert_hint(path)}" if path.lower().endswith(FOREIGN) else ""
        return f"not audio that can be read ({error.error_string}){hint}"
    return (header.frames / header.samplerate, header.samplerate) if header.frames else "holds no samples"


def vorbis_header(file: Path) -> tuple[float, int] | None:
    """The same of a plain Ogg Vorbis file, or None for another or an odd one.

    libsndfile unpacks the coder's tables for it, which takes ten times as long: 10 s for 2026's 10,658 soundscapes.
    Sources: RFC 3533 (pages), Vorbis I specification (Xiph.Org), section 4.2.2 (rate) and A.2 (granule positions).
    """
    try:
        with open(file, "rb") as stream:
            head = stream.read(REACH)
            stream.seek(max(0, file.stat().st_size - REACH))
            tail = stream.read()
    except OSError:  # which libsndfile tells as a rule
        return None
    if head[:4] != b"OggS" or head[28:35] != b"\x01vorbis" or len(head) < 58:
        return None
    rate_hz, first, last = struct.unpack_from("<I", head, 40)[0], 0, tail.rfind(b"OggS")
    start = 0
    while first == 0 and head[start : start + 4] == b"OggS" and start + 27 <= len(head):
        first = struct.unpack_from("<q", head, start + 6)[0]  # samples up to the page's end
        lacing = head[start + 27 : start + 27 + head[start + 26]]
        start += 27 + len(lacing) + sum(lacing)
    if last < 0 or last + 18 > len(tail) or not 0 < first <= MOST_FIRST or not rate_hz:
        return None
    flags, samples, serial = struct.unpack_from("<BqI", tail, last + 5)
    whole = flags & OGG_LAST and serial == struct.unpack_from("<I", head, 14)[0] and samples >= first
    return (samples / rate_hz, rate_hz) if whole else None
