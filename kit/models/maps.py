"""Stages of image nets: the log-mel as an image with frequency along H and time along W, maps, and frames again.

Stages carry maps (B, C, H, W), or (B, H, W, C) or a ViT's tokens where a net does; the mask stays (B, T) until the
final stage, which turns the final map into frames (B, W, C). What a net does inside can't be masked, so in training
padded frames are merely silent, and in eval `embed_by_length` runs every length by itself.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.sizes import Padding
from kit.models.stem import ImageNetStatistics


class ImageStem(nn.Module):
    """mel (B, T, F) to the net's first map, by way of the image (B, in_chans, F, T), filled up with 0 by `padding`.

    in_chans: copies of the one channel. With imagenet, its means and deviations come after normalize and padding.
    """

    def __init__(self, normalize: nn.Module, body: nn.Module, padding: Padding, in_chans: int = 1, imagenet=False):
        super().__init__()
        self.normalize = normalize
        self.body = body
        self.padding = padding
        self.in_chans = in_chans
        self.statistics = ImageNetStatistics(in_chans) if imagenet else nn.Identity()

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        mel = self.normalize(mel, mask)
        more_frames, more_mels = (self.padding.missing(side) for side in mel.shape[1:])
        mel = F.pad(mel, (0, more_mels, 0, more_frames))
        if mask is not None:
            mask = F.pad(mask, (0, more_frames))
        image = mel.transpose(1, 2).unsqueeze(1).expand(-1, self.in_chans, -1, -1)  # (B, in_chans, F, T)
        return self.body(self.statistics(image)), mask


class MapStage(nn.Module):
    """A part of the net; the mask goes around it."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return self.body(h), mask


class FinalMap(nn.Module):
    """The net's last layers, then the mean over frequency: frames (B, W, C); or its rows side by side (B, W, C·H).

    A mean forgets where in the spectrum a sound was, but for what the net's borders tell it. A frame is valid where any
    of the mel's frames under it is. norm: what the net's own head does to pooled features (B, C) before its classifier;
    here each frame's mean over frequency, or each cell of the map, has it.
    """

    def __init__(self, body: nn.Module, frequency: str = "mean", norm: nn.Module | None = None):
        super().__init__()
        self.body = body
        self.frequency = frequency
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        cells = self.body(h).permute(0, 3, 2, 1)  # (B, W, H, C)
        if self.frequency == "mean":
            frames = self.norm(cells.mean(dim=2))
        else:
            frames = self.norm(cells).transpose(2, 3).flatten(2)  # (B, W, C·H), a channel's rows together
        if mask is not None:
            mask = F.adaptive_max_pool1d(mask.float().unsqueeze(1), frames.shape[1]).squeeze(1) > 0  # (B, W)
        return frames, mask


class HeadNorm(nn.Module):
    """A norm of a net's head over features (..., C), which it knows as pooled maps (N, C, 1, 1), or (N, C)."""

    def __init__(self, norm: nn.Module, channels_first: bool):
        super().__init__()
        self.norm = norm
        self.channels_first = channels_first

    def forward(self, features: Tensor) -> Tensor:
        if not self.channels_first:
            return self.norm(features)
        return self.norm(features.reshape(-1, features.shape[-1], 1, 1)).reshape(features.shape)


class ToMap(nn.Module):
    """A net's last features as a map (B, C, H, W): of (B, H, W, C), or of tokens (B, prefix + H·W, C)."""

    def __init__(self, body: nn.Module, n_prefix: int = 0, height: int = 0):
        super().__init__()
        self.body = body
        self.n_prefix = n_prefix
        self.height = height  # in rows of tokens; 0 for maps

    def forward(self, h: Tensor) -> Tensor:
        features = self.body(h)
        if self.height:
            features = features[:, self.n_prefix :].unflatten(1, (self.height, -1))  # (B, H, W, C)
        return features.permute(0, 3, 1, 2)


class Features(nn.Module):
    """A net that can't be cut, whole: its own forward_features."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        return self.net.forward_features(image)
