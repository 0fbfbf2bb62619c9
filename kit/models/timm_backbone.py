"""A net of timm's as a backbone."""

import torch
from torch import nn

from kit.models.backbone import Backbone
from kit.models.stem import NORMALIZATIONS
from kit.parts import at_least, fraction, one_of, part

FREQUENCIES = ("mean", "stack")
STEMS = ("as_built", "small")
TRIAL_FRAMES = 64  # of the noise that tells which places are one


@part
class Timm:
    """Any net that timm has for images of any size, over the spectrogram as an image, or over images.

    weights: "" for random ones, "timm" for its hub's, a file, a folder that is searched, or a run's best.pt.
    depth: only so many stages after the stem, for small data on a CPU; 0 is all.
    """

    name: str = "resnet18"
    weights: str = ""
    normalize: str = "mean"  # how levels are made comparable, kit.models.stem
    top_db: float = 0.0  # what lies further below a clip's maximum is raised to there; 0 for no limit
    imagenet: bool = False  # after "min_max": minus ImageNet's mean over its deviation
    channels: int = 1  # copies of the log-mel; one gets the sum of the weights of three
    frequency: str = "mean"  # over the final map's rows, or "stack": side by side, so that pitch is not forgotten
    stem: str = "as_built"  # "small", for images of 8 to 64 pixels: one convolution of stride 1, no max-pool
    depth: int = 0
    drop_path: float = 0.0  # stochastic depth of the last block (Huang et al. 2016, arXiv 1603.09382)

    def check(self):
        one_of(self, "normalize", NORMALIZATIONS)
        one_of(self, "frequency", FREQUENCIES)
        one_of(self, "stem", STEMS)
        at_least(self, 1, "channels")
        at_least(self, 0, "depth", "top_db")
        fraction(self, "drop_path")

    def make(self, n_mels: int, crop_frames: int, image_channels: int = 0) -> Backbone:
        from kit.models.places import mix_places, same_places  # timm takes seconds to import
        from kit.models.timm_stages import timm_stages

        if image_channels and n_mels != crop_frames * image_channels:
            raise ValueError(
                f"crop_frames must be the images' side, {n_mels} / channels ({image_channels}), got {crop_frames}"
            )
        stages, width = timm_stages(
            self.name, n_mels, self.normalize, weights=self.weights, frequency=self.frequency,
            image_channels=image_channels, stem=self.stem, depth=self.depth, drop_path=self.drop_path,
            in_chans=self.channels, top_db=self.top_db, imagenet=self.imagenet,
        )  # fmt: skip
        # Channels last: a CPU training step of timm's test_resnet takes 0.67 of the time, equal results.
        nn.ModuleDict(stages).to(memory_format=torch.channels_last)
        same = same_places(stages, (crop_frames if image_channels else TRIAL_FRAMES, n_mels))
        return Backbone(
            stages, width, True, mix_places(stages, same), same, loaded=getattr(stages["stem"], "loaded", None)
        )
