"""Log-mels by matrix products, for graphs: ONNX's own Fourier transform is slow in one engine and crashes another.

A transform of N = R·C points is R transforms of C points after C of R points, with a turn between (Cooley and Tukey
1965): 4 (R + C) N products a frame instead of 2 N².
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.data.features import MelFilterbank


class MelByProducts(nn.Module):
    """wave (B, N) -> mel (B, T, F) as kit.data.features.MelFilterbank gives it, but for rounding."""

    def __init__(self, bank: MelFilterbank):
        super().__init__()
        self.spec = spec = bank.spec
        self.rows = 1 << (int(math.log2(spec.n_fft)) // 2)  # R
        self.columns = spec.n_fft // self.rows  # C
        half = self.columns // 2 + 1  # of the last transform's outputs, since the wave is real
        self.register_buffer("window", bank.window, persistent=False)
        self.register_buffer("first", _turns(self.rows, self.rows, self.rows), persistent=False)  # (2, R, R)
        self.register_buffer("turn", _turns(self.columns, self.rows, spec.n_fft), persistent=False)  # (2, C, R)
        self.register_buffer("last", _turns(self.columns, half, self.columns), persistent=False)  # (2, C, C/2 + 1)
        # The spectrum comes as (k1, k2), where the bin is k1 + R·k2: the filters are laid out so, with 0 above N/2.
        filters = F.pad(bank.filters, (0, 0, 0, self.rows * half - len(bank.filters)))
        filters = filters.view(half, self.rows, -1).transpose(0, 1).flatten(0, 1)  # (R·(C/2 + 1), F)
        self.register_buffer("filters", filters.contiguous(), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        n_frames = (wave.shape[1] - self.spec.window_samples) // self.spec.hop_samples + 1
        starts = torch.arange(n_frames, device=wave.device) * self.spec.hop_samples
        samples = starts[:, None] + torch.arange(self.spec.window_samples, device=wave.device)  # (T, window)
        frames = F.pad(wave[:, samples] * self.window, (0, self.spec.n_fft - self.spec.window_samples))
        power = self._power(frames.unflatten(2, (self.rows, self.columns)).transpose(2, 3))
        return (power.flatten(2) @ self.filters).clamp(min=self.spec.floor).log()

    def _power(self, frames: Tensor) -> Tensor:
        """(B, T, C, R) -> the power spectrum (B, T, R, C/2 + 1)."""
        real, imag = frames @ self.first[0], frames @ self.first[1]  # (B, T, C, R)
        cos, sin = self.turn
        real, imag = real * cos - imag * sin, real * sin + imag * cos
        real, imag = real.transpose(2, 3), imag.transpose(2, 3)  # (B, T, R, C)
        cos, sin = self.last
        return (real @ cos - imag @ sin).square() + (real @ sin + imag @ cos).square()


def _turns(rows: int, columns: int, points: int) -> Tensor:
    """exp(-2πi·r·c / points) as cosine and sine (2, rows, columns) float32, of whole numbers taken modulo points."""
    product = torch.outer(torch.arange(rows), torch.arange(columns)) % points
    angle = -2 * math.pi * product.double() / points
    return torch.stack([angle.cos(), angle.sin()]).float()
