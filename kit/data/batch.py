"""What a training step gets: one batch of crops, on a device, with the plan of its mixture."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    mel: Tensor  # (B, T, F); with LPC views (3B, T, F), the speech views, then the formant's, then the residual's
    mask: Tensor | None  # (B, T), or (3B, T), True = valid frame; None where every frame is
    target: Tensor  # (B,) class numbers, -1 where unknown; multi-label (B, C) of 1, 0, and NaN where unknown
    row: Tensor  # (B,) rows of the store's index, on the CPU
    plan: Any = None  # how it is mixed: a MixPlan of kit.data.mix_plan, or of one's own, on the device
    weight: Tensor | None = None  # (B, C), of a multi-label target's positive part
    known: Tensor | None = None  # (B, C), how much each pair counts that a multi-label target knows; None for 1
    teacher: Tensor | None = None  # (B, D), what another net says of each item, NaN where it says nothing
    frames: Tensor | None = (
        None  # (B, T', C), a net's logits of frames, −inf where padded, for a loss that asks for them
    )
    attention: Tensor | None = None  # (B, T', C), how much each class attends to those frames

    def to(self, device: str | torch.device) -> "Batch":
        """The same on a device; row stays where it is."""

        def there(value: Tensor | None) -> Tensor | None:
            return value if value is None else value.to(device, non_blocking=True)

        moved: dict[str, Any] = {
            name: there(value) for name, value in self._asdict().items() if name not in ("row", "plan")
        }
        return self._replace(**moved, plan=self.plan and self.plan.to(device))

    def mixed(self, n_classes: int) -> "Batch":
        """As a loss sees it: target, weight and known are the mixture's; mel and mask are left to the net, and teacher
        to the loss that asks for it.

        Where nothing is mixed it is the batch itself; else the target is (B, C), of class numbers too.
        """
        if self.plan is None:
            return self
        if self.target.dim() == 1:
            return self._replace(target=self.plan.target(self.target, n_classes))
        weight = torch.ones_like(self.target) if self.weight is None else self.weight
        target, weight, known = self.plan.mix_labels(self.target, weight, self.known)
        return self._replace(target=target, weight=weight, known=known)
