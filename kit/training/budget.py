"""How long one process may train a fold, by the clock: a kernel's hours end whether or not its epochs have."""

import time

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list


class Budget:
    """Of so many minutes (0: no limit), counted from when it is made. It allows no epoch that would end too late.

    How long an epoch takes is the longest so far, of its training, its validation and its files.
    """

    def __init__(self, minutes: float):
        self.seconds, self.begun = minutes * 60, time.monotonic()
        self.epoch_begun, self.longest = self.begun, 0.0

    def allows(self, accelerator: Accelerator) -> bool:
        """May another epoch begin? The first always may, or nothing would ever be done. All processes say the same."""
        now = self.epoch_begun = time.monotonic()
        if not self.seconds or not self.longest:
            return True
        fits = [now + self.longest <= self.begun + self.seconds]
        return broadcast_object_list(fits)[0] if accelerator.num_processes > 1 else fits[0]

    def epoch_ended(self) -> None:
        self.longest = max(self.longest, time.monotonic() - self.epoch_begun)
