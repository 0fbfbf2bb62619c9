"""Schedules: `schedule(step, steps) -> share` of the optimiser's rates, step from 0 of `steps` in all.

A share and not a rate, since a backbone and a head may have rates of their own.
"""

import math

from kit.parts import at_least, part, share


@part
class WarmupCosine:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts)."""

    warmup_steps: int = 1000

    def check(self):
        at_least(self, 0, "warmup_steps")

    def __call__(self, step: int, steps: int) -> float:
        warmup = min(self.warmup_steps, steps - 1)
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


@part
class WarmupConstant:
    """Linear warm-up, then the whole rate, and over the last `decay` of the steps down to zero along a line."""

    warmup_steps: int = 1000
    decay: float = 0.0

    def check(self):
        at_least(self, 0, "warmup_steps")
        share(self, "decay")

    def __call__(self, step: int, steps: int) -> float:
        rising = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        falling = min(1.0, (steps - step) / (self.decay * steps)) if self.decay else 1.0
        return min(rising, falling)
