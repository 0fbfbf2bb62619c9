"""Images in place of log-mels: an image of H × W pixels and C channels is H frames of W · C bins."""

from typing import Any

from kit.parts import one_of, part, part_name


@part
class Pixels:
    """Packs images as kit.competition.images reads them; `channels` 1 for grey ones, 3 for RGB. A crop is an image."""

    channels: int = 1
    packs = "mel"
    mel = None  # there are no waves

    def check(self):
        one_of(self, "channels", (1, 3))

    def check_with(self, experiment: Any):
        for augment in experiment.augment:
            if part_name(augment) in ("SpecAugment", "WaveAugment"):
                raise ValueError(f"augment must be of images with features Pixels, got {part_name(augment)}")
        if experiment.views is not None:
            raise ValueError(f"views must be None with features Pixels, got {part_name(experiment.views)}")
        backbone = getattr(experiment.net, "backbone", None)
        if getattr(backbone, "normalize", "none") != "none":
            raise ValueError(f'normalize must be "none" with features Pixels, got {backbone.normalize!r}')
        if part_name(experiment.predict) == "Crops":
            raise ValueError("predict must be WholeClip with features Pixels, got Crops")
