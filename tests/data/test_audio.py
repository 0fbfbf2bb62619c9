import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import resample_poly

from kit.competition.containers import whole_source
from kit.data import audio
from kit.data.audio import AudioError, WaveReader, load_wave, read_wave

RATE = 16000


def tone(rate_hz, seconds=0.5, hz=440.0):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)


def noise(n_rows, n_samples):
    return 0.1 * torch.randn(n_rows, n_samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_file_at_its_own_rate_is_read_as_it_is(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(RATE), RATE)
    wave = load_wave(path, RATE)
    assert wave.dtype == torch.float32 and wave.shape == (8000,)
    np.testing.assert_allclose(wave.numpy(), tone(RATE), atol=0.02 if suffix == "ogg" else 2**-15)


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([[0.5, 0.25], [-0.5, 0.0]]), RATE)
    assert load_wave(str(tmp_path / "a.wav"), RATE).tolist() == [0.375, -0.25]


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 44101, 48000])
def test_any_rate_is_resampled(tmp_path, rate_hz):
    soundfile.write(tmp_path / "a.wav", tone(rate_hz), rate_hz)
    wave = load_wave(tmp_path / "a.wav", RATE)
    assert abs(len(wave) - 8000) <= 1 and wave.dtype == torch.float32
    inside = slice(200, 7800)
    np.testing.assert_allclose(wave.numpy()[inside], tone(RATE)[inside], atol=2e-3)


def test_resampling_removes_what_would_fold(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(48000, hz=15000.0), 48000)
    assert load_wave(tmp_path / "a.wav", RATE)[200:-200].abs().max() < 5e-3


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_cut_file_is_named(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(1, 20000)[0].numpy(), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=f"{path}.*(cut short|lost sync)"):
        load_wave(path, RATE)


def test_a_wav_of_unknown_length_from_a_pipe_is_read(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(RATE), RATE)
    written = bytearray(path.read_bytes())
    written[4:8] = written[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(written)
    assert len(load_wave(path, RATE)) == 8000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "audio file must exist, got {}"),
        (b"", "audio file must be WAV, .*, got {}, which is none of them"),
        (b"a text, no sound", "audio file must be WAV, .*, got {}, which is none of them"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, content, message):
    path = tmp_path / "a.flac"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError, match=message.format(path)):
        load_wave(path, RATE)


def test_a_file_without_samples_or_with_nan_is_named(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(AudioError, match=f"audio file must hold at least one sample, got {tmp_path}/empty.wav"):
        load_wave(tmp_path / "empty.wav", RATE)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=f"audio file must hold finite samples only, got {tmp_path}/nan.wav"):
        load_wave(tmp_path / "nan.wav", RATE)


def test_channels_that_cancel_are_told_and_the_loudest_is_taken(tmp_path):
    path, wave = tmp_path / "a.wav", tone(RATE)
    for second, cancels in (
        (-wave, True),
        (-0.85 * wave, True),
        (-0.5 * wave, False),
        (0 * wave, False),
        (wave, False),
    ):
        soundfile.write(path, np.stack([wave, second], 1), RATE, subtype="FLOAT")
        found, note = read_wave(path, RATE)
        assert note == ("its 2 channels cancel when averaged: the loudest is taken" if cancels else "")
        expected = wave if cancels else (wave + second) / 2
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-7)
    soundfile.write(path, np.stack([wave, -wave], 1), RATE, subtype="FLOAT")
    with pytest.warns(match=f"{path}: its 2 channels cancel when averaged"):
        load_wave(path, RATE)


def test_unrelated_channels_do_not_cancel(tmp_path):
    """64 microphones leave a 64th of the power in their average."""
    waves = 0.1 * np.random.default_rng(0).standard_normal((4000, 64))
    soundfile.write(tmp_path / "a.wav", waves, RATE, subtype="FLOAT")
    found, note = read_wave(tmp_path / "a.wav", RATE)
    assert note == "" and found.std().item() == pytest.approx(0.1 / 8, rel=0.1)


@pytest.mark.parametrize(("step", "silent"), [(0.0, True), (2.0**-15, True), (2.0**-14, False)])
def test_silence_is_told(tmp_path, step, silent):
    """Also beside a constant, as of a converter that is not at rest at 0."""
    soundfile.write(tmp_path / "a.wav", 0.25 + step * (np.arange(800) % 2), RATE, subtype="FLOAT")
    assert read_wave(tmp_path / "a.wav", RATE)[1].startswith("silent") == silent


def written(path, samples, rate_hz):
    """By a second at a time, for libsndfile overflows where it codes much at once."""
    with soundfile.SoundFile(path, "w", rate_hz, samples.shape[1]) as file:
        for first in range(0, len(samples), rate_hz):
            file.write(samples[first : first + rate_hz])
    return path


def whole_of(path):
    """(N, channels) by one read; soundfile.read would seek first, after which MP3's decoder rounds otherwise."""
    with soundfile.SoundFile(whole_source(path)) as file:
        return file.read(file.frames, dtype="float32", always_2d=True)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [16000, 32000, 44100])
def test_blocks_have_the_bits_of_the_whole(tmp_path, monkeypatch, suffix, channels, rate_hz):
    """MP3 too, whose decoder loses its state where one seeks."""
    samples = 0.1 * np.random.default_rng(0).standard_normal((3 * rate_hz + 17, channels))
    path = written(tmp_path / f"a.{suffix}", samples, rate_hz)
    wave = whole_of(path).mean(axis=1)
    wave = wave if rate_hz == RATE else resample_poly(wave, RATE // 100, rate_hz // 100)
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 7000)
    reader = WaveReader(path, RATE)
    blocks = list(reader)
    assert len(blocks) > 3 and max(map(len, blocks)) <= 7000 and reader.samples == len(wave) and reader.note == ""
    np.testing.assert_array_equal(np.concatenate(blocks), wave)
    for most in (9000, 16_001, 10**6):
        first = WaveReader(path, RATE, most=most)
        np.testing.assert_array_equal(np.concatenate(list(first)), wave[:most])
        assert first.samples == min(most, len(wave))


def test_no_more_is_decoded_than_is_asked_for(tmp_path, monkeypatch):
    """What is wrong behind it, NaN here, is not met; what a filter needs of it is."""
    samples = tone(32000, seconds=20)[:, None].copy()
    samples[10 * 32000 :] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 32000, subtype="FLOAT")
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 4000)
    assert sum(map(len, WaveReader(tmp_path / "a.wav", RATE, most=9 * RATE))) == 9 * RATE
    assert sum(map(len, WaveReader(tmp_path / "a.wav", 32000, most=10 * 32000))) == 10 * 32000
    with pytest.raises(AudioError, match="must hold finite samples only"):
        list(WaveReader(tmp_path / "a.wav", RATE, most=10 * RATE))


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_channels_cancel_over_the_whole_of_many_blocks(tmp_path, monkeypatch, suffix):
    """Not in the first block, where they agree."""
    left = 0.1 * np.random.default_rng(0).standard_normal(20 * RATE)
    right = np.where(np.arange(20 * RATE) < 1000, left, -left)
    path = written(tmp_path / f"a.{suffix}", np.stack([right * 0.98, left], 1), RATE)
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 4000)
    reader = WaveReader(path, RATE)
    wave = np.concatenate(list(reader))
    assert reader.note == "its 2 channels cancel when averaged: the loudest is taken"
    np.testing.assert_array_equal(wave, whole_of(path)[:, 1])


def test_silence_is_of_all_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 1000)
    soundfile.write(tmp_path / "a.wav", np.r_[np.zeros(5000), 0.5], RATE)
    assert read_wave(tmp_path / "a.wav", RATE)[1] == ""
    soundfile.write(tmp_path / "a.wav", np.zeros(5000), RATE)
    assert read_wave(tmp_path / "a.wav", RATE)[1].startswith("silent")


def test_a_wave_in_memory_is_limited_one_in_blocks_hardly(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.zeros((3000, 2)), RATE)
    monkeypatch.setattr(audio, "MOST_SAMPLES", 5000)
    with pytest.raises(AudioError, match=f"must be of at most 5,000 samples, got {tmp_path}/a.wav of 6,000"):
        read_wave(tmp_path / "a.wav", RATE)
    assert sum(map(len, WaveReader(tmp_path / "a.wav", RATE))) == 3000
