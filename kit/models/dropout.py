"""Dropout whose draws are cheap on a CPU, where PyTorch's take a quarter of a Conformer's training step."""

import torch
from torch import Tensor, nn

STEPS = 1 << 16


class Dropout(nn.Dropout):
    """nn.Dropout, which on a CPU draws 16 bits an element, four elements at a time, and so has p to 1/65536.

    Each element is dropped with probability p, and else divided by 1 − p; in eval mode all are handed on.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu" or round(self.p * STEPS) in (0, STEPS):
            return super().forward(x)
        words = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 4),))  # all 64 bits, but for one value of them
        kept = words.view(torch.int16)[: x.numel()].view(x.shape) >= round(self.p * STEPS) - STEPS // 2
        return x * kept.to(x.dtype).mul_(1 / (1 - self.p))
