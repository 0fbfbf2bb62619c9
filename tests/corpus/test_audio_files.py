"""Malformed and odd audio files: read as they stand, or named with the rule."""

import re
import struct
from contextlib import nullcontext

import numpy as np
import pytest
import soundfile

from kit.data.audio import AudioError, load_wave

RATE = 16000
WAVE = 0.5 * np.sin(np.arange(1600) * 0.3)


def written(path, wave=WAVE, rate_hz=RATE, **options):
    """The bytes of an audio file of the path's kind."""
    soundfile.write(path, wave, rate_hz, **options)
    return bytearray(path.read_bytes())


def wav(**options):
    return lambda path: written(path.with_suffix(".wav"), **options)


def wav_with(offset, form, value, **options):
    """A WAV whose header says `value` at an offset: 4 size, 20 format, 22 channels, 24 rate, 34 bits, 40 data."""

    def make(path):
        content = wav(subtype="PCM_16", **options)(path)
        struct.pack_into(form, content, offset, value)
        return content

    return make


def flac_of(n_samples):
    """A FLAC whose header promises n_samples: 36 bits, of which the first four share a byte."""

    def make(path):
        content = written(path.with_suffix(".flac"))
        content[21] = content[21] & 0xF0 | n_samples >> 32
        struct.pack_into(">I", content, 22, n_samples & 0xFFFFFFFF)
        return content

    return make


def cut(suffix, share):
    def make(path):
        content = written(path.with_suffix(suffix), np.tile(WAVE, 20))
        return content[: int(share * len(content))]

    return make


def floats(*values, channels=1):
    wave = np.tile(WAVE, 2)
    wave[100 : 100 + len(values)] = values
    return wav(wave=wave.reshape(-1, channels), subtype="DOUBLE" if max(map(abs, values)) > 1e38 else "FLOAT")


NAN, INF = float("nan"), float("inf")
FAULTS = {
    # the file's bytes, then the rule that it breaks
    "empty": (lambda path: b"", "must be WAV, RF64, FLAC, Ogg, MP3"),
    "text": (lambda path: b"RIFF? none of it\n" * 50, "must be readable by soundfile"),
    "noise": (lambda path: bytes(range(256)) * 8, "must be WAV, RF64, FLAC, Ogg, MP3"),
    "an image": (lambda path: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "must be WAV, RF64, FLAC, Ogg, MP3"),
    "a web page": (lambda path: b"<!DOCTYPE html><title>404</title>" * 99, "must be WAV, RF64, FLAC, Ogg, MP3"),
    "a WAV header alone": (lambda path: wav()(path)[:20], "must be readable by soundfile"),
    "a WAV cut in half": (cut(".wav", 0.5), "must be as long as its header says"),
    "a WAV without its last byte": (lambda path: wav()(path)[:-1], "must be as long as its header says"),
    "a FLAC cut in half": (cut(".flac", 0.5), "must be "),
    "a FLAC cut in its header": (lambda path: cut(".flac", 1.0)(path)[:30], "must be readable by soundfile"),
    "an OGG cut in its header": (lambda path: cut(".ogg", 1.0)(path)[:100], "must be as long as its header says"),
    "a WAV of no samples": (wav(wave=WAVE[:0]), "must hold at least one sample"),
    "a FLAC of no samples": (lambda path: flac_of(0)(path)[:60], "must be readable by soundfile"),
    "a FLAC that promises 2 ** 36": (flac_of(2**36 - 1), "must be of at most 268,435,456 samples, got {} of 68,719,47"),
    "a FLAC that promises more than there is": (flac_of(2000), "must be "),
    "a WAV that promises more than there is": (wav_with(40, "<I", 2**31), "must be as long as its header says"),
    "no channels": (wav_with(22, "<H", 0), "must be readable by soundfile"),
    "60,000 channels": (wav_with(22, "<H", 60_000), "must be readable by soundfile"),
    "no bits": (wav_with(34, "<H", 0), "must be readable by soundfile"),
    "a format that no one knows": (wav_with(20, "<H", 0x7777), "must be readable by soundfile"),
    "0 Hz": (wav_with(24, "<I", 0), "must be readable by soundfile"),
    "3 Hz": (wav(rate_hz=3), "must have a sample rate of 1000 to 768000 Hz, got {} of 3"),
    "2,147,483,647 Hz": (wav_with(24, "<I", 2**31 - 1), "must have a sample rate of 1000 to 768000 Hz, got {} of 2147"),
    "4,294,967,295 Hz": (wav_with(24, "<I", 2**32 - 1), "must be readable by soundfile"),
    "NaN": (floats(NAN), "must hold finite samples only"),
    "inf": (floats(INF), "must hold finite samples only"),
    "inf on one side and -inf on the other": (floats(INF, -INF, channels=2), "must hold finite samples only"),
    "doubles beyond a float": (floats(1e300, channels=2), "must hold finite samples only"),
    "floats that overflow when averaged": (floats(3e38, 3e38, channels=2), "must hold samples of at most 2.14748e+09"),
    "floats that overflow when squared": (floats(1e30), "must hold samples of at most 2.14748e+09, got {} with 1e+30"),
    "floats far below 0": (floats(-1e30), "must hold samples of at most 2.14748e+09, got {} with 1e+30"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_named(tmp_path, fault):
    make, rule = FAULTS[fault]
    path = tmp_path / "a.sound"
    path.write_bytes(make(tmp_path / "made"))
    with pytest.raises(AudioError, match=re.escape(rule.format(path))) as caught:
        load_wave(path, RATE)
    assert str(path) in str(caught.value) and str(caught.value).startswith("audio file must")


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    for path in (tmp_path, tmp_path / "loop.wav", tmp_path / "gone.wav"):
        with pytest.raises(AudioError, match=f"audio file must exist, got {path}"):
            load_wave(path, RATE)


def test_a_promise_takes_no_memory(tmp_path, grown):
    """2 ** 28 samples, which are allowed, are 1 GiB that a file of some kilobytes does not make resident."""
    path = tmp_path / "a.flac"
    path.write_bytes(flac_of(2**28)(tmp_path / "made"))
    with grown() as bytes_, pytest.raises(AudioError, match=f"got {path}"):
        load_wave(path, RATE)
    assert bytes_() < 2**27


SIX = np.stack([WAVE, -WAVE, WAVE, WAVE, 0 * WAVE, WAVE], axis=1)
ODD = {
    # the file's bytes, what the samples must be, and how near
    "8 bits": (wav(subtype="PCM_U8"), WAVE, 2**-7),
    "16 bits": (wav(subtype="PCM_16"), WAVE, 2**-15),
    "24 bits": (wav(subtype="PCM_24"), WAVE, 2**-23),
    "32 bits": (wav(subtype="PCM_32"), WAVE, 2**-23),
    "float": (wav(subtype="FLOAT"), WAVE, 2**-24),
    "double": (wav(subtype="DOUBLE"), WAVE, 2**-24),
    "µ-law": (wav(subtype="ULAW"), WAVE, 2**-5),
    "floats above 1": (wav(wave=WAVE * 30_000, subtype="FLOAT"), WAVE * 30_000, 2**-9),
    "6 channels": (wav(wave=SIX, subtype="FLOAT"), WAVE / 2, 2**-23),
    "24-bit FLAC": (lambda path: written(path.with_suffix(".flac"), subtype="PCM_24"), WAVE, 2**-23),
    "AIFF": (lambda path: written(path.with_suffix(".aiff")), WAVE, 2**-15),
    "one sample": (wav(wave=[0.5]), [0.5], 0),
    "silence": (wav(wave=0 * WAVE), 0 * WAVE, 0),
    "something after the end": (lambda path: wav(subtype="PCM_16")(path) + b"LIST more of it", WAVE, 2**-15),
    "a WAV of unknown length": (wav_with(4, "<I", 0xFFFFFFFF), WAVE, 2**-15),
    "a FLAC that promises less than there is": (flac_of(1000), WAVE, 2**-15),
    "a FLAC from a pipe, which promises nothing": (flac_of(0), WAVE, 2**-15),
    "the double of its rate": (wav(wave=0 * WAVE, rate_hz=32000), np.zeros(800), 0),
    "the lowest rate": (wav(wave=np.zeros(100), rate_hz=1000), np.zeros(1600), 0),
    "the highest rate": (wav(wave=np.zeros(4800), rate_hz=768_000), np.zeros(100), 0),
}


SILENT = ("one sample", "silence", "the double of its rate", "the lowest rate", "the highest rate")


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_read_by_its_content(tmp_path, case):
    make, wave, near = ODD[case]
    path = tmp_path / "a.sound"
    path.write_bytes(make(tmp_path / "made"))
    with pytest.warns(match="silent") if case in SILENT else nullcontext():
        found = load_wave(path, RATE)
    assert str(found.dtype) == "torch.float32" and found.shape == (len(wave),)
    np.testing.assert_allclose(found.numpy(), wave, rtol=0, atol=near)
