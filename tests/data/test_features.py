import math

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from torch import nn

from kit.data.features import LogMel, MelFilterbank, Wave, n_bins

RATE = 16000


def noise(n_rows, n_samples):
    return 0.1 * torch.randn(n_rows, n_samples, generator=torch.Generator().manual_seed(0))


def test_default_spec_in_samples():
    spec = LogMel()
    assert (spec.window_samples, spec.hop_samples, spec.n_fft) == (400, 160, 512)
    assert LogMel(window_seconds=0.032).n_fft == 512


@pytest.mark.parametrize(("n_samples", "n_frames"), [(399, 0), (400, 1), (559, 1), (560, 2), (16000, 98)])
def test_frames_of_a_wave_counted_by_hand(n_samples, n_frames):
    assert LogMel().n_frames(n_samples) == n_frames
    if n_frames:
        assert MelFilterbank()(torch.zeros(1, n_samples)).shape == (1, n_frames, 40)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_mels": 0}, "n_mels must be at least 1, got 0"),
        ({"sample_rate_hz": 8e3}, "sample_rate_hz must be of type int, got 8000.0"),
        ({"window_seconds": 1e-5}, "window_seconds must last at least one sample, got 1e-05"),
        ({"hop_seconds": math.nan}, "hop_seconds must be finite, got nan"),
        ({"fmin_hz": -1.0}, r"fmin_hz must be in \[0, fmax_hz = 7600.0\), got -1.0"),
        ({"fmin_hz": 7600.0}, r"fmin_hz must be in \[0, fmax_hz = 7600.0\), got 7600.0"),
        ({"fmax_hz": 8001.0}, r"fmax_hz must be at most half of sample_rate_hz \(8000\), got 8001.0"),
        ({"floor": 0.0}, "floor must be above 0, got 0.0"),
        ({"bits": 4}, "bits must be one of 8, 16, got 4"),
        ({"most_seconds": -1}, "most_seconds must be at least 0, got -1"),
        ({"most_seconds": 0.02}, "most_seconds must be 0 or at least a window, 0.025 s, got 0.02"),
        ({"sample_rate_hz": 10**400}, "sample_rate_hz must fit in 64 bits, got a number of 1329 bits"),
        ({"sample_rate_hz": 10**6}, "sample_rate_hz must be at most 768000, got 1000000"),
        ({"n_mels": 2000}, "n_mels must be at most 1024, got 2000"),
        ({"window_seconds": 9.0}, "window_samples must be at most 131072, got 144000"),
        ({"floor": 10**400}, "floor must fit in 64 bits, got a number of 1329 bits"),
    ],
)
def test_bad_spec_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        LogMel(**fields)


def test_log_mel_is_torchaudios_with_the_window_in_the_middle_of_the_fft():
    wave = noise(2, 8000)
    theirs = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=512, win_length=400, hop_length=160, f_min=20.0, f_max=7600.0, n_mels=40, center=False
    )
    expected = theirs(torch.nn.functional.pad(wave, (56, 56))).clamp(min=1e-9).log().transpose(1, 2)  # (B, T, F)
    torch.testing.assert_close(MelFilterbank()(wave), expected, atol=1e-4, rtol=0)


def test_log_mel_is_librosas():
    spec = LogMel(n_mels=64, window_seconds=0.032, hop_seconds=0.016, fmin_hz=50.0, fmax_hz=8000.0)
    wave = noise(1, 8000)
    settings = {"n_fft": 512, "hop_length": 256, "n_mels": 64, "fmin": 50.0, "fmax": 8000.0}
    power = librosa.feature.melspectrogram(
        y=wave[0].numpy(), sr=RATE, center=False, window="hann", htk=True, norm=None, **settings
    )
    np.testing.assert_allclose(MelFilterbank(spec)(wave)[0].numpy(), np.log(power).T, atol=1e-3)


def test_a_tone_at_a_bin_has_its_power_by_hand():
    # Of 0.5 cos, a Hann window of 512 leaves 0.5 / 2 · 256 = 64 at the bin: the power 4096.
    spec = LogMel(window_seconds=0.032, n_mels=1, fmin_hz=0.0, fmax_hz=8000.0)
    wave = torch.from_numpy(0.5 * np.cos(2 * np.pi * 64 * np.arange(512) / 512)).float()[None]
    weights = MelFilterbank(spec).filters[63:66, 0]  # the side bins have half the amplitude
    expected = math.log(4096 * (weights[1] + 0.25 * (weights[0] + weights[2])).item())
    assert MelFilterbank(spec)(wave).item() == pytest.approx(expected, abs=1e-3)


def test_silence_is_the_log_of_the_floor():
    assert MelFilterbank()(torch.zeros(1, 800)).unique().tolist() == pytest.approx([math.log(1e-9)])
    assert MelFilterbank(LogMel(floor=1e-5))(torch.zeros(1, 800)).max().item() == pytest.approx(math.log(1e-5))


def test_the_floor_lifts_only_what_lies_below_it():
    wave = noise(1, 4000) * torch.linspace(0.01, 1, 4000)
    low, high = MelFilterbank()(wave), MelFilterbank(LogMel(floor=0.1))(wave)
    assert (low < math.log(0.1)).any() and (low > math.log(0.1)).any()
    torch.testing.assert_close(high, low.clamp(min=math.log(0.1)), atol=1e-6, rtol=0)


def test_doubling_the_wave_adds_log_4():
    wave = noise(1, 4000)
    torch.testing.assert_close(MelFilterbank()(2 * wave), MelFilterbank()(wave) + math.log(4), atol=1e-4, rtol=0)


def test_frames_start_a_hop_apart_and_rows_are_independent():
    wave = noise(3, 4000)
    mel = MelFilterbank()(wave)
    torch.testing.assert_close(MelFilterbank()(wave[:, 160:]), mel[:, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(MelFilterbank()(wave[1:2]), mel[1:2], atol=1e-5, rtol=0)


def test_log_mel_leaves_its_input_and_passes_finite_gradients():
    wave = noise(1, 4000)
    before = wave.clone()
    wave.requires_grad_()
    MelFilterbank()(wave).sum().backward()
    assert torch.equal(wave.detach(), before)
    assert wave.grad.isfinite().all() and wave.grad.abs().sum() > 0


def test_autocast_does_not_coarsen_it():
    wave = noise(1, 4000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = MelFilterbank()(wave)
    assert torch.equal(coarse, MelFilterbank()(wave))


def test_log_mel_has_no_weights_to_save():
    assert MelFilterbank().state_dict() == {}


def test_bad_waves_and_empty_filters_are_named():
    with pytest.raises(ValueError, match="wave must hold at least one window of 400 samples, got 399"):
        MelFilterbank()(torch.zeros(1, 399))
    with pytest.raises(ValueError, match=r"wave must have the shape \(B, N\), got \(400,\)"):
        MelFilterbank()(torch.zeros(400))
    with (
        pytest.warns(UserWarning, match="all zero values"),
        pytest.raises(ValueError, match="n_mels must leave each filter a bin of the 512-point spectrum, got 200, "),
    ):
        MelFilterbank(LogMel(n_mels=200))


def test_frames_and_samples_are_inverse():
    spec = LogMel()
    assert [spec.n_samples(frames) for frames in (1, 2, 98)] == [400, 560, 15920]
    assert all(spec.n_frames(spec.n_samples(frames)) == frames for frames in range(1, 50))


class Energy(nn.Module):
    """log of the energy of blocks of `block` samples, twice: (B, N // block, 2)."""

    def __init__(self, block: int = 160):
        super().__init__()
        self.block = block

    def forward(self, wave):
        blocks = wave[:, : wave.shape[1] // self.block * self.block].unflatten(1, (-1, self.block))
        return blocks.square().mean(2, keepdim=True).add(1e-9).log().expand(-1, -1, 2)


def halves(wave):
    return wave.unflatten(1, (-1, 2))


@pytest.mark.parametrize(("front", "bins"), [(Energy, 2), (halves, 2), (None, 40)])
def test_a_front_end_takes_the_log_mels_place(front, bins):
    features, wave = Wave(front=front), noise(3, 3200)
    assert features.packs == "wave" and features.mel == LogMel()
    layer = features.make()
    assert layer(wave).shape[::2] == (3, bins) and layer(wave).dtype == torch.float32
    if front is None:
        assert torch.equal(layer(wave), MelFilterbank()(wave))


def test_a_front_ends_bins_are_those_that_it_gives():
    class Store:
        n_mels = 40

    assert n_bins(Wave(front=Energy), Store, 32) == 2
    assert n_bins(Wave(), Store, 32) == n_bins(LogMel(n_mels=80), Store, 32) == 40, "a store knows its own"


def test_a_front_end_is_not_trained():
    layer = Wave(front=Learned).make()
    assert not layer(noise(2, 400)).requires_grad and not layer.front.weight.requires_grad and not layer.front.training


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1, 4))

    def forward(self, wave):
        return wave[:, ::10, None] * self.weight


@pytest.mark.parametrize(
    ("front", "got"),
    [
        (lambda wave: wave, r"got torch.float32 \(2, 400\)"),
        (lambda wave: wave[:1, :, None], r"got torch.float32 \(1, 400, 1\)"),
        (lambda wave: wave[..., None].long(), r"got torch.int64 \(2, 400, 1\)"),
        (lambda wave: None, "got NoneType"),
    ],
)
def test_what_a_front_end_gives_is_checked(front, got):
    with pytest.raises(ValueError, match=rf"front .*<lambda> must give floats \(B, T, F\) of 2 waves, {got}"):
        Wave(front=front).make()(noise(2, 400))


def test_the_first_seconds_in_samples():
    assert LogMel().most_samples is None and LogMel(most_seconds=0.025).most_samples == 400


def test_waves_are_kept_in_16_bits():
    with pytest.raises(ValueError, match="bits must be 16 of the mel of Wave, which packs the audio in 16, got 8"):
        Wave(LogMel(bits=8))


def test_bad_fronts_are_refused():
    with pytest.raises(ValueError, match="front must be a function, a module or a part, got 3"):
        Wave(front=3)
    with pytest.raises(ValueError, match="mel must be a LogMel, got 16000"):
        Wave(16000)
    with pytest.raises(ValueError, match=r"front halves must give at least one frame, got \(2, 0, 2\)"):
        Wave(front=halves).make()(torch.zeros(2, 0))
