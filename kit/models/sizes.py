"""The image sizes that a net runs on, found by trying: how its image is filled up with 0, or why it can't be used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TRIAL_FRAMES = (1, 83, 203)  # under any least side, and two that, filled up, tell multiples of 4, 8, 16 and 32 apart


@dataclass(frozen=True)
class Padding:
    """An image's side is filled up to the next multiple, of at least min_side pixels.

    >>> Padding(32, 1).missing(20), Padding(32, 16).missing(61), Padding(32, 16).missing(64)
    (12, 3, 0)
    """

    min_side: int = 32  # most nets halve their image five times
    multiple: int = 1

    def missing(self, side: int) -> int:
        wanted = max(side, self.min_side)
        return wanted + -wanted % self.multiple - side

    def apply(self, side: int) -> int:
        return side + self.missing(side)


# The least filling that works is taken: Inception needs a larger image, HRNet multiples of 32, and so on.
PADDINGS = tuple(Padding(*sides) for sides in (
    (32, 1), (96, 1), (32, 4), (32, 8), (32, 14), (32, 16), (32, 32), (64, 64), (128, 128), (256, 256),
))  # fmt: skip


def find_padding(
    features: Callable[[Tensor], Tensor], height: int, in_chans: int, name: str, frames: Sequence[int] = TRIAL_FRAMES
) -> Padding:
    """The least padding with which the net's features come out for images (1, in_chans, height, T), T any of frames.

    Raises ValueError that names the net and the size where none does.
    """
    first_reason = ""
    for padding in PADDINGS:
        for width in frames:
            sides = padding.apply(height), padding.apply(width)
            reason = _fault(features, torch.zeros(1, in_chans, *sides))
            if reason:
                first_reason = first_reason or f"fails at {sides[0]} × {sides[1]} pixels ({reason})"
                break
        else:
            return padding
    raise ValueError(
        f"name must name a net for images of any size, got {name!r}, which {first_reason}, "
        f"and when filled up to multiples of up to {PADDINGS[-1].multiple}"
    )


@torch.no_grad()
def _fault(features: Callable[[Tensor], Tensor], image: Tensor) -> str:
    """Why the net fails on that image, "" where it does not. A net of timm may fail by any exception."""
    try:
        features(image)
    except Exception as error:
        first_line = (str(error).strip() or "no message").split("\n")[0]
        return f"{type(error).__name__}: {first_line[:120]}"
    return ""
