import pytest
import torch

from kit.data.features import LogMel
from kit.inference.onnx_mel import MelByProducts

SPECS = [
    LogMel(),
    LogMel(sample_rate_hz=32000, n_mels=128, window_seconds=0.064, hop_seconds=0.01, fmax_hz=16000.0),
    LogMel(window_seconds=0.0015, hop_seconds=0.001, n_mels=4),  # 24 samples, filled up to 32 points
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("extra", [0, 1, 1003])
def test_log_mels_are_the_kits_own(spec, extra):
    """Sums of 2^5 to 2^7 products in single precision, of a spectrum without quiet bins: errors of some 1e-6."""
    wave = 0.1 * torch.randn(3, spec.window_samples + extra)
    mel, expected = MelByProducts(spec.make())(wave), spec.make()(wave)
    assert mel.shape == expected.shape
    assert (mel - expected).abs().max() < 3e-5


def test_a_tone_beside_silence():
    """Errors are those of the tone's own rounding, also far from it; a step of its log-mel of 9 is 1e-6."""
    spec = LogMel()
    wave = torch.sin(2 * torch.pi * 1000 / 16000 * torch.arange(16000.0)).expand(2, -1)
    wave = wave * torch.tensor([[1.0], [0.0]])
    mel, expected = MelByProducts(spec.make())(wave), spec.make()(wave)
    assert torch.equal(mel[1], expected[1])
    assert ((mel[0].exp() - expected[0].exp()).abs() / expected[0].exp().max()).max() < 4e-6
