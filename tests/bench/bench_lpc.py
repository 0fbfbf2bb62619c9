"""LPC inside the training step against the source's loop (three views) and against diffsptk.LPC (coefficients).

Each group works on the same batch in one thread, so that its ratio of times is the speed-up: views ≥ 20,
coefficients ≥ 1. Take the ratio of the shortest times: they are the least disturbed.
"""

import pytest
import torch

from kit.data.audio import MelSpec
from kit.data.lpc import LPCViews, lpc_coefficients
from tests.bench.lpc_source import source_views

SPEC = MelSpec()
ORDER = 16
N_CLIPS = 32
WAVE = 0.1 * torch.randn(N_CLIPS, 16000, generator=torch.Generator().manual_seed(0))  # clips of 1 s, 98 frames each


@pytest.fixture
def frames():
    """(B, T, window) Hann-windowed."""
    return WAVE.unfold(1, SPEC.window_samples, SPEC.hop_samples) * torch.hann_window(SPEC.window_samples)


@pytest.mark.benchmark(group="lpc views")
def test_views_source(benchmark):
    def every_clip():
        for wave in WAVE.numpy():
            source_views(wave, SPEC.window_samples, SPEC.hop_samples, ORDER)

    benchmark.pedantic(every_clip, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="lpc views")
def test_views_kit(benchmark, frames, limit):
    views = LPCViews(SPEC, ORDER)
    benchmark.extra_info["reach"] = 20
    limit(
        "three Fourier transforms a frame, then the Levinson recursion",
        lambda: [torch.fft.rfft(frames, SPEC.n_fft) for _ in range(3)], rounds=20,
    )  # fmt: skip
    with torch.no_grad():
        benchmark.pedantic(views, args=(WAVE,), rounds=20, warmup_rounds=2)


@pytest.mark.benchmark(group="lpc coefficients")
def test_coefficients_diffsptk(benchmark, frames):
    lpc = pytest.importorskip("diffsptk").LPC(SPEC.window_samples, ORDER)
    with torch.no_grad():
        benchmark.pedantic(lpc, args=(frames,), rounds=20, warmup_rounds=2)


@pytest.mark.benchmark(group="lpc coefficients")
def test_coefficients_kit(benchmark, frames, limit):
    benchmark.extra_info["reach"] = 1
    limit(
        "a Fourier transform a frame; then the recursion, one small step after another for each order",
        lambda: torch.fft.rfft(frames, 512), rounds=20,
    )  # fmt: skip
    with torch.no_grad():
        benchmark.pedantic(lpc_coefficients, args=(frames, ORDER), rounds=20, warmup_rounds=2)
