"""How sure is a net between two images? Its confidence along the lines x = (1 − t)·a + t·b, a and b of two classes."""

import numpy as np
import torch
from torch import Tensor, nn

BATCH = 512  # images in one forward


def draw_pairs(target: np.ndarray, n_pairs: int, seed: int = 0) -> np.ndarray:
    """Places in target (N,) of two rows of different classes, (n_pairs, 2).

    Raises ValueError where there is one class only.
    """
    target, rng = np.asarray(target), np.random.default_rng(seed)
    if len(np.unique(target)) < 2:
        raise ValueError(f"target must hold at least two classes, got {len(np.unique(target))}")
    first = rng.integers(len(target), size=n_pairs)
    second = [rng.choice(np.flatnonzero(target != target[row])) for row in first]
    return np.stack([first, second], axis=1)


@torch.inference_mode()
def confidence_on_lines(model: nn.Module, first: Tensor, second: Tensor, shares: np.ndarray) -> np.ndarray:
    """The mean over pairs of the likeliest class's probability at each share t of the second, (len(shares),).

    first and second: (N, T, F), on any device; model in eval mode.
    """
    if model.training:
        raise ValueError("model must be in eval mode, got one in training mode")
    device = next(model.parameters()).device
    total = np.zeros(len(shares))
    for a, b in zip(first.split(BATCH), second.split(BATCH), strict=True):
        a, b = a.to(device).float(), b.to(device).float()
        for number, share in enumerate(shares):
            probability = model(torch.lerp(a, b, float(share)))[0].float().softmax(1)  # (B, C)
            total[number] += probability.amax(1).sum().item()
    return total / len(first)
