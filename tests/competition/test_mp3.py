import numpy as np
import pytest
import soundfile

from kit.competition.mp3 import mp3_frames, with_index
from kit.data.audio import AudioError, load_wave

TAG = b"ID3\x04\0\0\0\0\x10\0" + b"\xff\xfb" * 1024  # 2,048 bytes that look like frames


def sound(rate_hz, channels=1, seconds=3):
    """Noise, then silence: a variable bitrate starts high and ends low."""
    noise = 0.3 * np.random.default_rng(0).standard_normal((rate_hz * seconds, channels))
    noise[rate_hz:] = 0
    return noise


def mp3(path, rate_hz=32000, channels=1, mode="VARIABLE", wave=None):
    wave = sound(rate_hz, channels) if wave is None else wave
    soundfile.write(path, wave, rate_hz, format="MP3", bitrate_mode=mode, compression_level=0.4)
    return path.read_bytes()


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize(
    ("rate_hz", "channels"),
    [(44100, 2), (48000, 1), (32000, 1), (24000, 2), (22050, 1), (16000, 1), (11025, 2), (8000, 1)],
)
def test_frames_are_counted_as_the_index_says(tmp_path, rate_hz, channels, mode):
    path = tmp_path / "a.mp3"
    content = mp3(path, rate_hz, channels, mode)
    frames = mp3_frames(content)
    samples = 1152 if rate_hz >= 32000 else 576
    assert frames.count == frames.counted == pytest.approx(3 * rate_hz / samples, abs=3)
    assert len(load_wave(path, rate_hz)) == 3 * rate_hz  # the index says how much padding there is
    bare = mp3_frames(content[frames.start :])
    assert (bare.count, bare.counted, bare.start) == (frames.count, None, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_without_an_index_all_is_read(tmp_path, order):
    """The length is a guess by the first frame's bitrate: too short where that is loud, too long where it is quiet."""
    path = tmp_path / "a.mp3"
    content = mp3(path, wave=sound(32000)[::order])
    whole = load_wave(path, 32000).numpy()
    frames = mp3_frames(content)
    path.write_bytes(content[frames.start :])
    assert soundfile.info(path).frames != pytest.approx(len(whole), abs=5000), "the guess is no longer wrong"
    wave = load_wave(path, 32000).numpy()
    padding = frames.count * 1152 - len(whole)  # of coder and decoder, which the index would cut off at both ends
    assert len(whole) <= len(wave) <= len(whole) + padding
    place = np.argmax(np.correlate(wave[: len(whole)], whole[:-2000], "valid")) if len(wave) >= len(whole) else 0
    np.testing.assert_allclose(wave[place : place + len(whole) - 2000], whole[:-2000], atol=1e-3)


def test_two_files_joined_are_read_to_the_end(tmp_path):
    path = tmp_path / "a.mp3"
    content = mp3(path)
    path.write_bytes(content + TAG + content)
    assert soundfile.info(path).frames == 96000
    assert len(load_wave(path, 32000)) > 191_000


def test_tags_and_noise_around_the_frames_are_stepped_over(tmp_path):
    path = tmp_path / "a.mp3"
    content = mp3(path)
    bare = content[mp3_frames(content).start :]
    path.write_bytes(bare)
    length = len(load_wave(path, 32000))
    for odd in (TAG + bare, bare + b"TAG" + bytes(125), bytes(500) + bare):
        path.write_bytes(odd)
        assert len(load_wave(path, 32000)) == length


def test_a_file_with_an_index_that_is_cut_is_refused(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(path)[:5000])
    with pytest.raises(AudioError, match="as long as its header says, got .*, which is cut short"):
        load_wave(path, 32000)


@pytest.mark.parametrize("joined", [False, True])
def test_a_file_that_ends_within_a_frame_is_refused_without_an_index_too(tmp_path, joined):
    path = tmp_path / "a.mp3"
    content = mp3(path)
    bare = content[mp3_frames(content).start :]
    whole = content + bare if joined else bare
    path.write_bytes(whole)
    length, last = len(load_wave(path, 32000)), whole.rfind(whole[:2])
    for end in (last + 1, last + 3, last + 4, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(AudioError, match="must end with a whole frame, got .*, which is cut short within its last"):
            load_wave(path, 32000)
    path.write_bytes(whole[:last])  # between two frames, where nothing tells
    assert length - len(load_wave(path, 32000)) == 1152


def test_what_has_no_frames_has_none():
    assert mp3_frames(b"") is None and mp3_frames(b"\xff" * 5000) is None
    assert mp3_frames(np.random.default_rng(0).bytes(100_000)) is None


def test_an_index_is_made_by_hand():
    header = bytes.fromhex("fffb9044")  # MPEG-1, 128 kbit/s, 44.1 kHz: 144 * 128000 / 44100 = 417 bytes
    content = (header + bytes(413)) * 7
    frames = mp3_frames(content)
    assert (frames.count, frames.counted, frames.start, frames.header) == (7, None, 0, 0xFFFB9044)
    again = mp3_frames(with_index(content, frames))
    assert (again.count, again.counted) == (7, 7)
