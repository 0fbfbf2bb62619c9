"""What is exported: a fold's net, or the mean of several folds' probabilities; from log-mels, or from waves."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kit.data.augment import mean_frame
from kit.data.features import LogMel
from kit.inference.onnx_mel import MelByProducts


class Logits(nn.Module):
    """A net (mel, mask) -> logits (B, C)."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.net(mel, mask)[0].float()


class MeanProbability(nn.Module):
    """Nets (mel, mask) -> the mean of their probabilities (B, C); classes from n_base on, where it is one, have 0."""

    def __init__(self, nets: Sequence[nn.Module], task: str, n_base: int = 0):
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.task = task
        self.n_base = n_base

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        total: Any = sum(probability(net(mel, mask)[0].float(), self.task, self.n_base) for net in self.nets)
        return total / len(self.nets)


class FromWave(nn.Module):
    """wave (B, N) and which samples there are (B, N), True then False -> what `after` gives of its log-mels.

    As kit.data.mels makes them: silence past a wave's end, and its mean past that of its log-mel.
    """

    def __init__(self, mel: LogMel, after: nn.Module):
        super().__init__()
        self.spec = mel
        self.to_mel = MelByProducts(mel.make())
        self.after = after

    def forward(self, wave: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return self.after(self.to_mel(wave), None)
        mel = self.to_mel(wave.masked_fill(~mask, 0.0))
        frames = (mask.sum(dim=1, keepdim=True) - self.spec.window_samples) // self.spec.hop_samples + 1  # (B, 1)
        valid = torch.arange(mel.shape[1], device=mel.device) < frames  # (B, T)
        return self.after(torch.where(valid.unsqueeze(-1), mel, mean_frame(mel, valid)), valid)


def probability(logits: Tensor, task: str, n_base: int = 0) -> Tensor:
    """Class probabilities (B, C), as kit.training.predict makes them of logits."""
    if n_base:
        known = torch.arange(logits.shape[1], device=logits.device) < n_base
        logits = logits.masked_fill(~known, -torch.inf)
    return logits.sigmoid() if task == "multi" else logits.softmax(1)
