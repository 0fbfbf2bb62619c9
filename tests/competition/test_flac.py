"""A FLAC's samples by its last frame, against the file that libsndfile wrote and frames made by hand."""

import struct

import numpy as np
import pytest
import soundfile

from kit.competition.flac import flac_samples, with_count
from kit.data.audio import load_wave

NOISE = 0.1 * np.random.default_rng(0).standard_normal(3 * 65536)


def counted(path, content=None):
    if content is not None:
        path.write_bytes(content)
    with open(path, "rb") as file:
        return flac_samples(file)


@pytest.mark.parametrize("n_samples", [1, 100, 4095, 4096, 4097, 16000, 3 * 65536])
@pytest.mark.parametrize(("rate_hz", "channels"), [(16000, 1), (44101, 2), (96000, 3)])
def test_the_last_frame_tells_what_the_header_does(tmp_path, n_samples, rate_hz, channels):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.stack([NOISE[:n_samples]] * channels, axis=1), rate_hz)
    assert counted(path) == (n_samples, n_samples)
    content = path.read_bytes()
    for promised in (0, 1, n_samples - 1, n_samples + 5, 2**36 - 1):
        assert counted(path, with_count(content, promised)) == (promised, n_samples)
    assert with_count(with_count(content, 5), n_samples) == content


@pytest.mark.parametrize("promised", [0, 1000, 4096])
def test_all_is_read_whatever_the_header_counts(tmp_path, promised):
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE[:16000], 16000)
    whole = load_wave(path, 16000)
    path.write_bytes(with_count(path.read_bytes(), promised))
    assert load_wave(path, 16000).equal(whole)
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))  # of an ID3v1 tag
    assert load_wave(path, 16000).equal(whole)


def frame(number, size_code, crc, sync=0xF8):
    """A frame's header: the sync code, size and rate, channels and depth, the number, its CRC-8."""
    return bytes([0xFF, sync, size_code << 4, 0x08]) + number + bytes([crc])


def header(block, promised=0):
    info = struct.pack(">HH", block, block) + bytes(6) + bytes([0x0F, 0xA0, 0x00]) + bytes([0x70])
    return b"fLaC\0\0\0\x22" + info + struct.pack(">I", promised) + bytes(16)


def crc8(content):
    """Bit by bit: the remainder of the polynomial x^8 + x^2 + x + 1."""
    bits = [byte >> 7 - k & 1 for byte in (*content, 0) for k in range(8)]
    for start in range(len(bits) - 8):
        if bits[start]:
            for k, bit in enumerate((1, 0, 0, 0, 0, 0, 1, 1, 1)):
                bits[start + k] ^= bit
    return sum(bit << 7 - k for k, bit in enumerate(bits[-8:]))


def frames(*numbers, code=9, sync=0xF8):
    made = [frame(number, code, 0, sync)[:-1] for number in numbers]
    return b"".join(head + bytes([crc8(head)]) + bytes(40) for head in made)


@pytest.mark.parametrize(
    ("numbers", "held"),
    [
        ((b"\0",), 512),
        ((b"\0", b"\1"), 1024),
        ((b"\x7e", b"\x7f"), 128 * 512),
        ((b"\x7f", b"\xc2\x80"), 129 * 512),  # 128 takes two bytes, as U+0080 does
        ((b"\xef\xbf\xbf", b"\xf0\x90\x80\x80"), 65537 * 512),
        ((b"\xfd\xbf\xbf\xbf\xbf\xbf", b"\xfe\x82\x80\x80\x80\x80\x80"), (2**31 + 1) * 512),
    ],
)
def test_frames_are_numbered_as_letters_are_coded(tmp_path, numbers, held):
    assert counted(tmp_path / "a.flac", header(512) + frames(*numbers)) == (0, held)


def test_frames_of_unequal_sizes_are_numbered_by_their_samples(tmp_path):
    content = header(512) + frames(b"\0", b"\xc8\x80", sync=0xF9)  # 512 is 0b01000_000000
    assert counted(tmp_path / "a.flac", content) == (0, 1024)


@pytest.mark.parametrize(
    "content",
    [
        b"fLaC", header(512)[:20], header(512), header(512) + bytes(500),
        header(512) + frames(b"\5"),  # a frame that no other leads up to, as noise may hold one
        header(512) + frames(b"\0").replace(b"\x08\0", b"\x08\1", 1),  # another CRC
        header(512) + frames(b"\0", code=0), header(512) + frames(b"\x80"), header(512) + frames(b"\xff"),
        header(512) + frames(b"\xc2\x00"),
        b"OggS" + header(512)[4:] + frames(b"\0"),
    ],
)  # fmt: skip
def test_what_does_not_end_with_frames_in_a_row_tells_nothing(tmp_path, content):
    assert counted(tmp_path / "a.flac", content) is None
