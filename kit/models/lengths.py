"""Clips of unequal lengths through a net that can't mask."""

from collections.abc import Callable

import torch
from torch import Tensor


def embed_by_length(embed: Callable[[Tensor], Tensor], mel: Tensor, mask: Tensor) -> Tensor:
    """z (B, D) of each clip as if it were alone: clips of one length run together, trimmed to it, without mask.

    embed maps mel (B, T, F) to z. Raises ValueError where padding is not at a clip's end.
    """
    lengths = mask.sum(dim=1)
    steps = torch.arange(mask.shape[1], device=mask.device)
    if not torch.equal(mask, steps < lengths.unsqueeze(1)):
        raise ValueError("mask must be True, then False, along time for a net that can't mask, got padding first")
    order, z = [], []
    for length in lengths.unique().tolist():
        rows = (lengths == length).nonzero().squeeze(1)
        order.append(rows)
        z.append(embed(mel[rows, :length]))
    return torch.cat(z)[torch.cat(order).argsort()]
