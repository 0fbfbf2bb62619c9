"""LPC inside the training step against the source's loop (three views) and against diffsptk.LPC (coefficients).

Each works on the same batch in one thread, so that its ratio of times is the speed-up: views ≥ 20, coefficients ≥ 1.
"""

import pytest
import torch

from kit.data.features import LogMel
from kit.data.lpc import LPCViews, lpc_coefficients
from tests.bench.lpc_source import source_views
from tests.bench.turns import Bound

SPEC = LogMel()
ORDER = 16
N_CLIPS = 32
WAVE = 0.1 * torch.randn(N_CLIPS, 16000, generator=torch.Generator().manual_seed(0))  # clips of 1 s, 98 frames each


@pytest.fixture
def frames():
    """(B, T, window) Hann-windowed."""
    return WAVE.unfold(1, SPEC.window_samples, SPEC.hop_samples) * torch.hann_window(SPEC.window_samples)


@pytest.mark.benchmark(group="lpc views")
def test_views(turns, frames):
    views = LPCViews(SPEC, ORDER)

    def every_clip():
        for wave in WAVE.numpy():
            source_views(wave, SPEC.window_samples, SPEC.hop_samples, ORDER)

    bound = Bound(
        "three Fourier transforms a frame, then the Levinson recursion",
        lambda: [torch.fft.rfft(frames, SPEC.n_fft) for _ in range(3)],
    )
    with torch.no_grad():
        turns(lambda: views(WAVE), bound, source=every_clip, turns=6, reach=20)


@pytest.mark.benchmark(group="lpc coefficients")
def test_coefficients(turns, frames):
    lpc = pytest.importorskip("diffsptk").LPC(SPEC.window_samples, ORDER)
    bound = Bound(
        "a Fourier transform a frame; then the recursion, one small step after another for each order",
        lambda: torch.fft.rfft(frames, 512),
    )
    with torch.no_grad():
        turns(lambda: lpc_coefficients(frames, ORDER), bound, diffsptk=lambda: lpc(frames), turns=10, rounds=5, reach=1)
