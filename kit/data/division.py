"""Image division as RFCX's fifth place did it: a recording is cut into windows, and all of them are trained on."""

from collections.abc import Callable
from typing import Any

from kit.data.crops import Crop, WindowCrops
from kit.parts import at_least, part


@part
class ImageDivision:
    """In the place of one crop an item its windows of crop_frames, neighbours sharing at least `overlap` frames.

    Each window is trained on by what is known of it. A batch of B recordings is B times as many crops as a recording
    has windows: the source (github.com/trtd56/RFCX, docs/share_teams_20210209.md) takes 2, of 8 windows of 512 frames
    that share 49, since "important sounds are located at the boundaries of the division". Windows here are spread
    evenly to the recording's end, where the source fills the last one up.
    """

    overlap: int = 49

    def check(self):
        at_least(self, 0, "overlap")

    def check_with(self, experiment: Any):
        if not self.overlap < experiment.crop_frames:
            raise ValueError(f"overlap must be below crop_frames ({experiment.crop_frames}), got {self.overlap}")

    def crop(self, units: Callable[[int], int], frames: int) -> Crop:
        """As predict's: `units` turns frames into the store's units."""
        return WindowCrops(units(frames), self.overlap * (units(2) - units(1)))
