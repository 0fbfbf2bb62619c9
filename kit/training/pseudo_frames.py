"""Pseudo labelling in training as RFCX's fifth place did it: frames that a net is sure of teach its own attention."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kit.models.sed import ClassAttention
from kit.parts import as_part, at_least, make, part, part_name
from kit.training.losses import BCE


@part
class PseudoFrames:
    """`loss` of a clip's logits, and the attention's: it should be on the frames that the net itself calls.

    loss + weight · mean BCE(a, [σ(x) >= threshold]) over classes and frames, of frames' logits x and the attention's
    weights a, which the source (github.com/trtd56/RFCX, work/RFCX_train_from_npy_image_v1_5_.ipynb) takes for logits
    as they are; so do we. No gradient goes through the labels.
    """

    loss: Any = BCE()
    threshold: float = 0.7
    weight: float = 1.0
    needs_frames = True
    task = "multi"

    def check(self):
        object.__setattr__(self, "loss", as_part(self.loss))
        at_least(self, 0, "weight")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must be in (0, 1), got {self.threshold}")
        if hasattr(self.loss, "teacher") or getattr(self.loss, "task", "multi") != "multi":
            raise ValueError(f"loss must be for several labels a row, and not Distil, got {part_name(self.loss)}")

    def check_with(self, experiment: Any):
        if not isinstance(getattr(experiment.net, "head", None), ClassAttention):
            raise ValueError("head must be ClassAttention with PseudoFrames, for it attends to frames")

    def positive_at(self, epoch: int) -> float:
        return self.loss.positive_at(epoch) if hasattr(self.loss, "positive_at") else 1.0

    def make(self) -> nn.Module:
        return AttentionTaught(make(self.loss), self.threshold, self.weight)


class AttentionTaught(nn.Module):
    """PseudoFrames at work: batch.frames (B, T, C) are logits, −inf where padded, batch.attention (B, T, C) weights."""

    def __init__(self, loss: Callable, threshold: float, weight: float):
        super().__init__()
        self.loss, self.threshold, self.weight = loss, threshold, weight

    def forward(self, logits: Tensor, batch: Any) -> Tensor:
        valid = ~batch.frames.isneginf()
        label = (batch.frames.sigmoid() >= self.threshold).float()
        each = functional.binary_cross_entropy_with_logits(batch.attention.float(), label, reduction="none")
        taught = torch.where(valid, each, 0.0).sum() / valid.sum()
        return self.loss(logits, batch) + self.weight * taught
