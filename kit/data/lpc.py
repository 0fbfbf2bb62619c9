"""Linear prediction inside the training step: speech, formant and residual views of the same frames, batched.

The autocorrelation method (Makhoul 1975, doi:10.1109/PROC.1975.9792) fits g²/|A|² to a frame's power spectrum |X|²
and leaves the residual |X·A|². Each holds the frame's level, so log|X|² = log(g²/|A|²) + log|X·A|² − log g².
The recursion and the response run in float64 whatever the input. In float32 the recursion turns pure tones and
low-passed speech into NaN, and at a vowel's resonance, where the terms of A cancel, log|A|² is off by 1e-3.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from kit.data.features import LogMel, MelFilterbank

WHITE_NOISE = 1e-7  # of the frame's power, added to it before the fit: bounds the gain of a pure tone
SILENCE = 1e-12  # added to any frame's power: a silent frame gets A = 1
SHARPEST = 1e-14  # |A|² at the least: at a line spectrum's one bin it is below its rounding, (Σ|a|)² · 1e-16


def lpc_coefficients(frames: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """frames (..., N), windowed -> a (..., order + 1) with a_0 = 1, gain (...).

    The residual is x[n] + a_1 x[n−1] + ... + a_p x[n−p]; gain² is the energy the fit leaves in it.
    The dtype is the frames', float32 at the least. Raises: ValueError for an order outside [1, N).
    """
    n_samples = frames.shape[-1]
    _check_order(order, n_samples, "samples in a frame")
    frames = frames.to(torch.promote_types(frames.dtype, torch.float32))
    n_fft = 1 << (n_samples + order - 1).bit_length()  # room for the lags: none wraps round
    power = _power(frames, n_fft)
    a, error = _fit(power, *_fft_grid(n_fft, order, power.device))
    a = a.T.reshape(*frames.shape[:-1], order + 1)
    return a.to(frames.dtype), error.sqrt().reshape(frames.shape[:-1]).to(frames.dtype)


def split_power(power: Tensor, order: int) -> tuple[Tensor, Tensor, Tensor]:
    """power |X|² (..., n_fft/2 + 1) -> formant g²/|A|² and residual |X·A|², both of that shape, and g² (...).

    The autocorrelation is circular over n_fft: the frame's own where it leaves `order` zeros before n_fft. Where it
    leaves none (a window of 512), Hann's tails keep what wraps round, at order 16, below 1e-6 of the frame's power.
    """
    n_fft = 2 * power.shape[-1] - 2
    _check_order(order, n_fft, "points on the circle")
    return _split(power, *_fft_grid(n_fft, order, power.device))


class LPCViews(nn.Module):
    """Log-mels of a wave's speech |X|², formant g²/|A|² and residual |X·A|², on the frames of MelFilterbank(spec)."""

    def __init__(self, spec: LogMel, order: int = 16):
        super().__init__()
        _check_order(order, spec.window_samples, "samples in a window")
        self.order = order
        self.log_mel = MelFilterbank(spec)

    def forward(self, wave: Tensor) -> Tensor:
        """wave (B, N) -> views (B, 3, T, F): speech (MelFilterbank's own output), formant, residual.

        Raises: ValueError for a wave that is not (B, N) or is shorter than one window.
        """
        power = self.log_mel.power(wave)  # (B, T, n_fft/2 + 1)
        formant, residual, _ = split_power(power, self.order)
        return torch.stack([self.log_mel.project(view) for view in (power, formant, residual)], dim=1)


def mel_lpc_views(mel: Tensor, order: int) -> Tensor:
    """mel (B, T, F), natural log -> views (B, 3, T, F): speech (mel itself), log-envelope, mel − log-envelope.

    The F bins count as a power spectrum at the midpoints of F equal parts of [0, π], mirrored at both ends.
    Raises: ValueError for an order outside [1, F) or a mel that is not (B, T, F).
    """
    if mel.ndim != 3:
        raise ValueError(f"mel must have the shape (B, T, F), got {tuple(mel.shape)}")
    n_mels = mel.shape[-1]
    _check_order(order, n_mels, "mel bins")
    level = mel.detach().amax(dim=-1, keepdim=True)  # keeps exp finite; the fit moves with the level
    angles = (torch.arange(n_mels, dtype=torch.float64, device=mel.device) + 0.5) * (math.pi / n_mels)
    envelope, _, _ = _split((mel.double() - level).exp(), _phases(angles, order), torch.full_like(angles, 1 / n_mels))
    formant = (envelope.log() + level).to(mel.dtype)
    return torch.stack([mel, formant, mel - formant], dim=1)


def residual_wave(wave: Tensor, spec: LogMel, order: int = 16) -> Tensor:
    """wave (B, N) -> what the filters of its frames leave of it (B, N), to be heard: the voice without its formants.

    Each frame's filter runs over the wave itself, and neighbouring frames fade into one another by their windows.
    Raises: ValueError for a wave that is not (B, N) or is shorter than one window, or for an order out of range.
    """
    width, hop = spec.window_samples, spec.hop_samples
    if wave.ndim != 2 or wave.shape[1] < width:
        raise ValueError(f"wave must be (B, N) with N at least one window of {width}, got {tuple(wave.shape)}")
    window = torch.hann_window(width, dtype=wave.dtype, device=wave.device)
    a, _ = lpc_coefficients(wave.unfold(1, width, hop) * window, order)  # (B, T, p + 1)
    past = (
        functional.pad(wave, (order, 0)).unfold(1, width + order, hop).unfold(2, order + 1, 1)
    )  # (B, T, width, p + 1)
    frames = (past @ a.flip(-1).unsqueeze(-1))[..., 0] * window  # (B, T, width)

    def overlapped(frames: Tensor) -> Tensor:  # (B, T, width) -> (B, N)
        return functional.fold(frames.transpose(1, 2), (1, wave.shape[1]), (1, width), stride=(1, hop))[:, 0, 0]

    weight = overlapped(window.expand_as(frames[:1]))
    return overlapped(frames) / weight.clamp(min=1e-3)  # under 1e-3 only at the very ends, which fade in and out


def levinson_durbin(r: Tensor) -> tuple[Tensor, Tensor]:
    """Autocorrelation r (p + 1, M) -> a (p + 1, M) with a_0 = 1 and the error g² (M,).

    Durbin's recursion (Makhoul 1975, eq. 38). Frames lie on the last axis, so that each step is a few long vector
    operations; a solve of many small matrices would be slower.
    """
    backwards, zero = r.flip(0), torch.zeros_like(r[:1])
    a, error = torch.ones_like(zero), r[0]
    for i in range(1, len(r)):
        correlation = (a * backwards[-i - 1 : -1]).sum(dim=0)  # of the error so far with what lies i back
        reflection = correlation / error
        a = torch.cat([a, zero])  # (i + 1, M)
        a = torch.addcmul(a, a.flip(0), reflection, value=-1)
        error = torch.addcmul(error, correlation, reflection, value=-1)
    return a, error


def formants_hz(a: Tensor, sample_rate_hz: int, max_bandwidth_hz: float = 700.0) -> Tensor:
    """a (..., p + 1) -> resonances (..., p // 2) in ascending order, NaN where a frame has fewer; has no gradient.

    For each root z of A: frequency arg z · rate / 2π, kept where its bandwidth −ln|z| · rate / π is small enough.
    """
    order = a.shape[-1] - 1
    companion = torch.diag(torch.ones(order - 1, dtype=torch.float64, device=a.device), -1)
    companion = companion.repeat(*a.shape[:-1], 1, 1)  # (..., p, p)
    companion[..., 0, :] = -a.detach()[..., 1:]
    roots = torch.linalg.eigvals(companion)  # (..., p)
    bandwidth_hz = -roots.abs().log() * (sample_rate_hz / math.pi)
    kept = (roots.imag > 0) & (bandwidth_hz <= max_bandwidth_hz)
    hz = torch.where(kept, roots.angle() * (sample_rate_hz / (2 * math.pi)), math.nan)
    return hz.sort(dim=-1).values[..., : order // 2].to(a.dtype)  # NaN sorts last


def _check_order(order: int, length: int, what: str):
    if not isinstance(order, int) or not 1 <= order < length:
        raise ValueError(f"order must be a whole number in [1, {length}), {length} {what}, got {order!r}")


def _power(frames: Tensor, n_fft: int) -> Tensor:
    spectrum = torch.fft.rfft(frames, n=n_fft)
    return spectrum.real.square() + spectrum.imag.square()  # (..., n_fft/2 + 1)


def _phases(angles: Tensor, order: int) -> Tensor:
    return torch.arange(order + 1, dtype=torch.float64, device=angles.device)[:, None] * angles  # (order + 1, K)


def _fft_grid(n_fft: int, order: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Phases (order + 1, K) and weights (K,) of an rfft's K bins in the mean over the whole circle."""
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device=device)
    alone = (bins == 0) | (bins == n_fft // 2)  # zero and half the rate have no mirror image
    return _phases(bins * (2 * math.pi / n_fft), order), (2.0 - alone.double()) / n_fft


def _fit(power: Tensor, phases: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """power (..., K) -> a (order + 1, M) and g² (M,), of all its M frames, float64."""
    r = (phases.cos() * weights) @ power.reshape(-1, power.shape[-1]).double().T  # (order + 1, M)
    return levinson_durbin(torch.cat([r[:1] * (1 + WHITE_NOISE) + SILENCE, r[1:]]))


def _split(power: Tensor, phases: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a, error = _fit(power, phases, weights)
    response = _response(a, phases).to(power.dtype).clamp(min=SHARPEST).reshape(power.shape)
    error = error.to(power.dtype).reshape(power.shape[:-1])
    return error[..., None] / response, power * response, error


def _response(a: Tensor, phases: Tensor) -> Tensor:
    """a (order + 1, M), float64 -> |A|² (M, K), from the autocorrelation of the coefficients.

    One product in place of two, for A's real and imaginary part, pays for its double precision. Rounding leaves
    1e-16 · (Σ|a| / |A|)² of a value: 1e-7 at a vowel's resonance, 3e-6 at a pure tone's with order 16.
    """
    lags = torch.stack([(a[: len(a) - lag] * a[lag:]).sum(dim=0) for lag in range(len(a))])  # (order + 1, M)
    twice = torch.cat([phases[:1].cos(), 2 * phases[1:].cos()])  # each lag but the first has its mirror image
    return lags.T @ twice
