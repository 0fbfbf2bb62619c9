import math

import librosa
import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from kit.data.audio import AudioError, LogMel, MelSpec, load_wave

RATE = 16000


def tone(rate_hz, seconds=0.5, hz=440.0):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)


def noise(n_rows, n_samples):
    return 0.1 * torch.randn(n_rows, n_samples, generator=torch.Generator().manual_seed(0))


def test_default_spec_in_samples():
    spec = MelSpec()
    assert (spec.window_samples, spec.hop_samples, spec.n_fft) == (400, 160, 512)
    assert MelSpec(window_seconds=0.032).n_fft == 512


@pytest.mark.parametrize(("n_samples", "n_frames"), [(399, 0), (400, 1), (559, 1), (560, 2), (16000, 98)])
def test_frames_of_a_wave_counted_by_hand(n_samples, n_frames):
    assert MelSpec().n_frames(n_samples) == n_frames
    if n_frames:
        assert LogMel()(torch.zeros(1, n_samples)).shape == (1, n_frames, 40)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_mels": 0}, "n_mels must be a whole number of at least 1, got 0"),
        ({"sample_rate_hz": 8e3}, "sample_rate_hz must be a whole number of at least 1, got 8000.0"),
        ({"window_seconds": 1e-5}, "window_seconds must last at least one sample, got 1e-05"),
        ({"hop_seconds": math.nan}, "hop_seconds must last at least one sample, got nan"),
        ({"fmin_hz": -1.0}, r"fmin_hz must be in \[0, fmax_hz = 7600.0\), got -1.0"),
        ({"fmin_hz": 7600.0}, r"fmin_hz must be in \[0, fmax_hz = 7600.0\), got 7600.0"),
        ({"fmax_hz": 8001.0}, r"fmax_hz must be at most half of sample_rate_hz \(8000\), got 8001.0"),
        ({"floor": 0.0}, "floor must be above 0, got 0.0"),
        ({"sample_rate_hz": 10**400}, "sample_rate_hz must be at most 768000, got 1000"),
        ({"n_mels": 2000}, "n_mels must be at most 1024, got 2000"),
        ({"window_seconds": 9.0}, "window_samples must be at most 131072, got 144000"),
        ({"floor": 10**400}, "floor must be a number that a float can hold, got 1000"),
    ],
)
def test_bad_spec_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        MelSpec(**fields)


def test_log_mel_is_torchaudios_with_the_window_in_the_middle_of_the_fft():
    wave = noise(2, 8000)
    theirs = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=512, win_length=400, hop_length=160, f_min=20.0, f_max=7600.0, n_mels=40, center=False
    )
    expected = theirs(torch.nn.functional.pad(wave, (56, 56))).clamp(min=1e-9).log().transpose(1, 2)  # (B, T, F)
    torch.testing.assert_close(LogMel()(wave), expected, atol=1e-4, rtol=0)


def test_log_mel_is_librosas():
    spec = MelSpec(n_mels=64, window_seconds=0.032, hop_seconds=0.016, fmin_hz=50.0, fmax_hz=8000.0)
    wave = noise(1, 8000)
    settings = {"n_fft": 512, "hop_length": 256, "n_mels": 64, "fmin": 50.0, "fmax": 8000.0}
    power = librosa.feature.melspectrogram(
        y=wave[0].numpy(), sr=RATE, center=False, window="hann", htk=True, norm=None, **settings
    )
    np.testing.assert_allclose(LogMel(spec)(wave)[0].numpy(), np.log(power).T, atol=1e-3)


def test_a_tone_at_a_bin_has_its_power_by_hand():
    # Of 0.5 cos, a Hann window of 512 leaves 0.5 / 2 · 256 = 64 at the bin: the power 4096.
    spec = MelSpec(window_seconds=0.032, n_mels=1, fmin_hz=0.0, fmax_hz=8000.0)
    wave = torch.from_numpy(0.5 * np.cos(2 * np.pi * 64 * np.arange(512) / 512)).float()[None]
    weights = LogMel(spec).filters[63:66, 0]  # the side bins have half the amplitude
    expected = math.log(4096 * (weights[1] + 0.25 * (weights[0] + weights[2])).item())
    assert LogMel(spec)(wave).item() == pytest.approx(expected, abs=1e-3)


def test_silence_is_the_log_of_the_floor():
    assert LogMel()(torch.zeros(1, 800)).unique().tolist() == pytest.approx([math.log(1e-9)])
    assert LogMel(MelSpec(floor=1e-5))(torch.zeros(1, 800)).max().item() == pytest.approx(math.log(1e-5))


def test_the_floor_lifts_only_what_lies_below_it():
    wave = noise(1, 4000) * torch.linspace(0.01, 1, 4000)
    low, high = LogMel()(wave), LogMel(MelSpec(floor=0.1))(wave)
    assert (low < math.log(0.1)).any() and (low > math.log(0.1)).any()
    torch.testing.assert_close(high, low.clamp(min=math.log(0.1)), atol=1e-6, rtol=0)


def test_doubling_the_wave_adds_log_4():
    wave = noise(1, 4000)
    torch.testing.assert_close(LogMel()(2 * wave), LogMel()(wave) + math.log(4), atol=1e-4, rtol=0)


def test_frames_start_a_hop_apart_and_rows_are_independent():
    wave = noise(3, 4000)
    mel = LogMel()(wave)
    torch.testing.assert_close(LogMel()(wave[:, 160:]), mel[:, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(LogMel()(wave[1:2]), mel[1:2], atol=1e-5, rtol=0)


def test_log_mel_leaves_its_input_and_passes_finite_gradients():
    wave = noise(1, 4000)
    before = wave.clone()
    wave.requires_grad_()
    LogMel()(wave).sum().backward()
    assert torch.equal(wave.detach(), before)
    assert wave.grad.isfinite().all() and wave.grad.abs().sum() > 0


def test_autocast_does_not_coarsen_it():
    wave = noise(1, 4000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = LogMel()(wave)
    assert torch.equal(coarse, LogMel()(wave))


def test_log_mel_has_no_weights_to_save():
    assert LogMel().state_dict() == {}


def test_bad_waves_and_empty_filters_are_named():
    with pytest.raises(ValueError, match="wave must hold at least one window of 400 samples, got 399"):
        LogMel()(torch.zeros(1, 399))
    with pytest.raises(ValueError, match=r"wave must have the shape \(B, N\), got \(400,\)"):
        LogMel()(torch.zeros(400))
    with (
        pytest.warns(UserWarning, match="all zero values"),
        pytest.raises(ValueError, match="n_mels must leave each filter a bin of the 512-point spectrum, got 200, "),
    ):
        LogMel(MelSpec(n_mels=200))


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
        (b"", "audio file must be readable by soundfile, got {}: "),
        (b"a text, no sound", "audio file must be readable by soundfile, got {}: "),
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
