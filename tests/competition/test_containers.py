import re
import struct

import numpy as np
import pytest
import soundfile

from kit.competition.containers import AudioError, whole_source
from kit.data.audio import load_wave

RATE = 16000
NOISE = 0.1 * np.random.default_rng(0).standard_normal(16000)


def written(path, wave=NOISE, rate_hz=RATE, **options):
    soundfile.write(path, wave, rate_hz, **options)
    return bytearray(path.read_bytes())


def read(path, content, rate_hz=RATE):
    path.write_bytes(content)
    return load_wave(path, rate_hz)


def refused(path, content, rule):
    path.write_bytes(content)
    with pytest.raises(AudioError, match=re.escape(f"audio file {rule}".replace("PATH", str(path)))):
        load_wave(path, RATE)


CUT = "must be as long as its header says, got PATH, which is cut short"
FORMATS = [
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAV", "GSM610"), ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("NIST", "PCM_16"), ("FLAC", "PCM_16"), ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "subtype"), FORMATS)
@pytest.mark.parametrize("share", [0.6, 0.95])
def test_a_file_cut_short_is_refused_and_a_whole_one_read(tmp_path, form, subtype, share):
    path = tmp_path / "a.sound"
    content = written(path, format=form, subtype=subtype)
    assert len(load_wave(path, RATE)) == pytest.approx(16000, abs=320)  # whole blocks of a lossy code
    refused(path, content[: int(share * len(content))], "must be ")


@pytest.mark.parametrize("riff_size", [0, 100, 32044, 0xFFFFFFFF])
def test_a_wav_is_judged_by_its_samples_not_by_the_size_of_the_whole(tmp_path, riff_size):
    path = tmp_path / "a.wav"
    content = written(path, subtype="PCM_16")
    struct.pack_into("<I", content, 4, riff_size)  # 32,036 would be right
    wave = read(path, content)
    np.testing.assert_allclose(wave.numpy(), NOISE, atol=2**-15)


def test_chunks_before_the_samples_are_stepped_over(tmp_path):
    path = tmp_path / "a.wav"
    content = written(path, subtype="PCM_16")
    odd = b"note" + struct.pack("<I", 3) + b"abc\0"  # padded to an even length
    assert len(read(path, content[:12] + odd + content[12:])) == 16000
    refused(path, content[:12] + odd + content[12:-2], CUT)


def test_samples_that_no_header_counts_are_told(tmp_path):
    path = tmp_path / "a.wav"
    content = written(path, subtype="PCM_16")
    struct.pack_into("<I", content, 40, 1000)  # of 32,000 bytes
    refused(path, content, "must count its samples in its header, got PATH with 31,000 bytes behind those")
    struct.pack_into("<I", content, 40, 0)  # a recorder that lost its power
    refused(path, content, "must count its samples in its header, got PATH with 32,000 bytes behind those")
    assert len(read(path, written(path, subtype="PCM_16") + bytes(512))) == 16000, "padding is none"


def ogg_pages(content):
    places = []
    while (place := content.find(b"OggS", places[-1] + 1 if places else 0)) >= 0:
        places.append(place)
    return [content[start:end] for start, end in zip(places, [*places[1:], len(content)], strict=True)]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_has_all_of_its_pages(tmp_path, subtype):
    path = tmp_path / "a.ogg"
    pages = ogg_pages(bytes(written(path, np.tile(NOISE, 4), format="OGG", subtype=subtype)))
    assert len(pages) > 5
    refused(path, b"".join(pages[:-1]), "must have the page that ends it, got PATH, which is cut short")
    refused(path, b"".join(pages)[:-1], CUT)
    refused(
        path, b"".join(pages[:3] + pages[4:]), "must have all of its pages, got PATH, which lacks those before page 4"
    )
    refused(path, b"".join(pages * 2), "must hold one stream, got PATH with several, one after another")
    assert len(read(path, b"".join(pages) + b"behind the end")) == 64000


def test_what_has_no_header_to_judge_is_left_to_the_decoder(tmp_path):
    for content in (b"RIFF", b"OggS", b"fLaC", b"NIST_1A\n   1024\nsample_count -i many\n"):
        path = tmp_path / "a.sound"
        path.write_bytes(content)
        assert whole_source(path) == path


KNOWN = "must be WAV, RF64, FLAC, Ogg, MP3, AIFF, AU, CAF, W64 or NIST SPHERE, got PATH, which is none of them"


@pytest.mark.parametrize("form", ["VOC", "IRCAM", "SVX", "SDS", "PAF", "PVF", "AVR", "MAT5", "XI"])
def test_a_format_that_does_not_tell_its_length_is_refused_even_where_it_is_whole(tmp_path, form):
    """libsndfile reads what is left of each that was cut short, without a word."""
    path = tmp_path / "a{}.sound"
    content = written(path, format=form)
    for part in (content, content[: len(content) * 3 // 10 * 2]):
        refused(path, part, KNOWN + ": convert it, as by ffmpeg -i a{}.sound a{}.flac")
    refused(tmp_path / "a.wav", content, KNOWN)


@pytest.mark.parametrize("tag", [b"ID3\x04\0\0\0\0\x01\0" + bytes(128)])
@pytest.mark.parametrize("form", ["WAV", "AIFF", "FLAC"])
def test_a_tag_before_the_container_hides_no_cut(tmp_path, form, tag):
    path = tmp_path / "a.sound"
    content = written(path, format=form)
    assert len(read(path, tag + content)) == 16000
    refused(path, tag + content[: len(content) * 3 // 5], "must be as long as its header says")


@pytest.mark.parametrize("second", [16000, 8000])
def test_two_flacs_joined_are_refused(tmp_path, second):
    path = tmp_path / "a.flac"
    content = written(path) + written(path, NOISE[:second])
    refused(path, content, "must hold one stream, got PATH with several, one after another, of which one would be read")
