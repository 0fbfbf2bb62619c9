"""How timm nets begin on images as they are, and on small ones: CIFAR-10's have 32 pixels a side, our digits 8."""

import torch.nn.functional as F
from timm.models import ResNet
from torch import Tensor, nn

from kit.models.sizes import Padding

STEMS = ("as_built", "small")


class PixelStem(nn.Module):
    """Images as rows (B, H, W · channels) of 0 to 255 to the net's first map, by way of (B, channels, H, W) in [-1, 1].

    An image is filled up with black by `padding`.
    """

    def __init__(self, channels: int, padding: Padding, body: nn.Module):
        super().__init__()
        self.channels = channels
        self.padding = padding
        self.body = body

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if mask is not None:
            raise ValueError(f"mask must be None for images, which are whole, got one of {tuple(mask.shape)}")
        image = mel.unflatten(2, (-1, self.channels)).permute(0, 3, 1, 2)  # (B, channels, H, W)
        down, right = (self.padding.missing(side) for side in image.shape[2:])
        return self.body(F.pad(image, (0, right, 0, down)) / 127.5 - 1), None


def make_stem_small(net: nn.Module, timm_name: str, channels: int) -> None:
    """One 3 × 3 convolution of stride 1 and no max-pool, as nets for CIFAR-10 begin (He et al. 2016, section 4.2).

    Raises ValueError for a net that is no ResNet.
    """
    if not isinstance(net, ResNet):
        raise ValueError(f'stem must be "as_built" for a net that is no ResNet, got "small" with {timm_name!r}')
    net.conv1 = nn.Conv2d(channels, net.bn1.num_features, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")  # timm's own way
    net.maxpool = nn.Identity()
