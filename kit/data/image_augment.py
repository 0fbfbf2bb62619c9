"""The usual augmentation of small photographs, for a whole batch at once: draw a plan, then apply it.

A crop at a random place of the image within a black border, and a mirror image half of the time (He et al. 2016,
arXiv 1512.03385, section 4.2: a border of 4 pixels for CIFAR-10). It stands where SpecAugment stands for sounds.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kit.parts import at_least, part, part_name


@dataclass(frozen=True)
class CropPlan:
    """Where the crop lies in the bordered image, and whether it is mirrored, (B,) each."""

    top: Tensor
    left: Tensor
    mirrored: Tensor

    def to(self, device) -> "CropPlan":
        return CropPlan(*(value.to(device, non_blocking=True) for value in vars(self).values()))


@part
class ImageAugment:
    """Crops and mirror images. crop_pixels is the border's width, 0 for no crop; flip mirrors half of the images."""

    crop_pixels: int = 0
    flip: bool = False

    def check(self):
        at_least(self, 0, "crop_pixels")

    def check_with(self, experiment: Any):
        if not hasattr(experiment.features, "channels"):
            raise ValueError(f"features must be Pixels with ImageAugment, got {part_name(experiment.features)}")

    def make(self, features: Any) -> "ImageCrops":
        return ImageCrops(features.channels, self.crop_pixels, self.flip)


@dataclass(frozen=True)
class ImageCrops:
    """ImageAugment at work, on rows (B, H, W · channels)."""

    channels: int
    crop_pixels: int = 0
    flip: bool = False

    def draw(self, lengths: Tensor, n_bins: int, generator: torch.Generator) -> CropPlan:
        """A plan for `lengths` (B,) images: places uniform in 0 to 2 · crop_pixels, each image's its own."""
        top, left = torch.randint(2 * self.crop_pixels + 1, (2, len(lengths)), generator=generator)
        mirrored = torch.rand(len(lengths), generator=generator) < 0.5
        return CropPlan(top, left, mirrored if self.flip else torch.zeros_like(mirrored))

    def apply(self, mel: Tensor, plan: CropPlan, mask: Tensor | None = None, *, in_place: bool = False) -> Tensor:
        """The cut images (B, H, W · channels), new ones whatever in_place says; images are whole, so mask is None."""
        image = mel.unflatten(2, (-1, self.channels))  # (B, H, W, C)
        n_images, height, width, _ = image.shape
        border = self.crop_pixels
        image = F.pad(image, (0, 0, border, border, border, border))
        across = torch.arange(width, device=mel.device)
        across = torch.where(plan.mirrored[:, None], across.flip(0), across) + plan.left[:, None]  # (B, W)
        down = torch.arange(height, device=mel.device) + plan.top[:, None]  # (B, H)
        items = torch.arange(n_images, device=mel.device)[:, None, None]
        return image[items, down[:, :, None], across[:, None, :]].flatten(2)
