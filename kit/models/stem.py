"""The stem: log-mels made comparable across recordings, and laid out as frames of the model's width."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.pooling import mean_over_time

NORMALIZATIONS = ("none", "mean", "mean_std")


class Normalize(nn.Module):
    """mel (B, T, F) minus each utterance's mean per bin ('mean'), over its deviation per bin too ('mean_std').

    Both are taken over the valid frames; padded frames come out as 0. 'none' only zeroes them.

    Raises:
        ValueError: an unknown way.
    """

    def __init__(self, normalize: str):
        super().__init__()
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {', '.join(NORMALIZATIONS)}, got {normalize!r}")
        self.normalize = normalize

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.normalize != "none":
            mel = mel - mean_over_time(mel, mask).unsqueeze(1)
        if self.normalize == "mean_std":
            variance = mean_over_time(mel.square(), mask).unsqueeze(1)  # (B, 1, F)
            mel = mel / (variance + 1e-5).sqrt()  # a silent bin stays 0
        return mel if mask is None else mel.masked_fill(~mask.unsqueeze(-1), 0.0)


def stack_frames(mel: Tensor, mask: Tensor | None, frame_stack: int) -> tuple[Tensor, Tensor | None]:
    """k adjacent frames side by side: (B, ceil(T / k), k·F), the end filled with 0, valid where any of the k is."""
    batch, n_frames, n_mels = mel.shape
    missing = -n_frames % frame_stack
    mel = F.pad(mel, (0, 0, 0, missing)).reshape(batch, -1, frame_stack * n_mels)
    if mask is not None:
        mask = F.pad(mask, (0, missing)).reshape(batch, -1, frame_stack).any(dim=-1)  # (B, ceil(T / k))
    return mel, mask


class FrameStem(nn.Module):
    """mel (B, T, F) to frames (B, ceil(T / frame_stack), D): normalise, stack, one Linear.

    Raises:
        ValueError: frame_stack is under 1, or an unknown normalize.
    """

    def __init__(self, n_mels: int, width: int, normalize: str, frame_stack: int):
        super().__init__()
        if frame_stack < 1:
            raise ValueError(f"frame_stack must be >= 1, got {frame_stack}")
        self.frame_stack = frame_stack
        self.normalize = Normalize(normalize)
        self.linear = nn.Linear(frame_stack * n_mels, width)

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        mel = self.normalize(mel, mask)
        if self.frame_stack > 1:
            mel, mask = stack_frames(mel, mask, self.frame_stack)
        return self.linear(mel), mask  # (B, T, D)
