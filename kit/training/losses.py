"""The training loss."""

from torch import Tensor
from torch.nn import functional


def classification_loss(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy in single precision: logits (B, C), target (B,) class numbers or (B, C) shares of classes."""
    return functional.cross_entropy(logits.float(), target, label_smoothing=label_smoothing)
