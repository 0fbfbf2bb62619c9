import math

import numpy as np
import pytest
import torch

from kit.data.eight_bits import from_bytes, mel_range, mel_step, to_bytes
from kit.data.features import LogMel, MelFilterbank

MEL = LogMel()


def test_the_range_is_that_of_the_floor_and_of_the_loudest_wave():
    """n_fft 512, window 400: 512 · 400 · 3/8 = 76,800."""
    assert mel_range(MEL) == (math.log(1e-9), math.log(76_800))
    assert mel_step(MEL) == pytest.approx((11.2489 + 20.7233) / 255, rel=1e-5) == pytest.approx(0.1254, abs=1e-4)


def test_numbers_by_hand():
    mel = LogMel(floor=math.exp(-10))
    low, high = mel_range(mel)
    step = (high - low) / 255
    values = torch.tensor([low, low + step, low + 2.4 * step, low + 2.6 * step, high, high + 5, low - 5])
    assert to_bytes(values, mel).tolist() == [0, 1, 2, 3, 255, 255, 0]
    back = from_bytes(torch.tensor([0, 2, 255], dtype=torch.uint8), mel)
    torch.testing.assert_close(back, torch.tensor([low, low + 2 * step, high]), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "mel", [MEL, LogMel(32_000, 128, 0.064, 0.016, 20.0, 16_000.0, floor=1e-5), LogMel(window_seconds=0.02)]
)
def test_a_value_is_off_by_at_most_half_a_step(mel):
    values = torch.linspace(*mel_range(mel), 10_001)[None].expand(3, -1)
    kept = to_bytes(values, mel)
    assert kept.dtype == np.uint8 and kept.shape == values.shape
    back = from_bytes(torch.from_numpy(kept), mel)
    assert back.dtype == torch.float32
    rounding = 4 * 2**-24 * 21  # of four operations in single precision, on values up to 21
    assert (back - values).abs().max() <= mel_step(mel) / 2 + rounding


@pytest.mark.parametrize(
    "mel", [MEL, LogMel(32_000, 128, 0.064, 0.016, 20.0, 16_000.0), LogMel(8000, 8, 0.025, 0.01, 0.0, 4000.0)]
)
def test_no_wave_within_1_is_above_the_range(mel):
    """Constants, tones, clicks and square waves of full scale; and the bound is no more than 4 nats off."""
    n = mel.window_samples
    time = torch.arange(n)
    waves = [torch.ones(n), (-1.0) ** time, *(torch.cos(time * w) for w in (0.05, 0.3, 1.0, 2.0))]
    waves += [torch.cos(time * w).sign() for w in (0.05, 0.3, 1.0)] + [torch.rand(n).sub(0.5).sign()]
    found = MelFilterbank(mel)(torch.stack(waves)).amax().item()
    assert mel_range(mel)[1] - 4 < found < mel_range(mel)[1]
    assert MelFilterbank(mel)(torch.zeros(1, n)).amin().item() == pytest.approx(mel_range(mel)[0], abs=1e-5)


def test_the_input_is_left_alone():
    values = torch.full((2, 3), -4.0)
    raw = torch.from_numpy(to_bytes(values, MEL))
    before = raw.clone()
    from_bytes(raw, MEL)
    assert (values == -4.0).all() and torch.equal(raw, before)
