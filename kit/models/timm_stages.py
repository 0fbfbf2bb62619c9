"""Any timm net over the log-mel as a one-channel image (B, 1, F, T), or over images as they are (B, C, H, W), cut into
the stages between which we mix.

Stages carry maps (B, C, H, W), or a ViT's tokens, H along frequency and W along time; the mask stays (B, T) until
the final stage, which turns the final map into frames (B, W, C). What a net does inside can't be masked, so in
training padded frames are merely 0, and in eval `embed_by_length` runs every length by itself.
"""

import difflib
from collections.abc import Callable

import timm
import torch
import torch.nn.functional as F
from timm.models import ConvNeXt, EfficientNet, ResNet, VisionTransformer
from torch import Tensor, nn

from kit.models.pixels import STEMS, PixelStem, make_stem_small
from kit.models.stem import Normalize

MIN_SIDE = 32  # the nets halve their image five times; a smaller one is filled up with 0


class ImageStem(nn.Module):
    """mel (B, T, F) to the net's first map, by way of the image (B, 1, F, T) of at least 32 × 32."""

    def __init__(self, normalize: str, body: nn.Module):
        super().__init__()
        self.normalize = Normalize(normalize)
        self.body = body

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        mel = self.normalize(mel, mask)
        more_frames, more_mels = (max(0, MIN_SIDE - side) for side in mel.shape[1:])
        mel = F.pad(mel, (0, more_mels, 0, more_frames))
        if mask is not None:
            mask = F.pad(mask, (0, more_frames))
        return self.body(mel.transpose(1, 2).unsqueeze(1)), mask


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
    of the mel's frames under it is.
    """

    def __init__(self, body: nn.Module, frequency: str = "mean"):
        super().__init__()
        self.body = body
        self.frequency = frequency

    def forward(self, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        map = self.body(h)  # (B, C, H, W)
        flat = map.mean(dim=2) if self.frequency == "mean" else map.flatten(1, 2)
        frames = flat.transpose(1, 2)
        if mask is not None:
            mask = F.adaptive_max_pool1d(mask.float().unsqueeze(1), frames.shape[1]).squeeze(1) > 0  # (B, W)
        return frames, mask


class VitStem(nn.Module):
    """A ViT up to its blocks: patches, positions resampled to the grid, prefix tokens."""

    def __init__(self, net: VisionTransformer):
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.net._pos_embed(self.net.patch_embed(image))
        return self.net.norm_pre(self.net.patch_drop(tokens))  # (B, prefix + H·W, C)


class VitMap(nn.Module):
    """A ViT's last norm; tokens (B, prefix + H·W, C) become the map (B, C, H, W)."""

    def __init__(self, norm: nn.Module, n_prefix: int, height: int):
        super().__init__()
        self.norm = norm
        self.n_prefix = n_prefix
        self.height = height

    def forward(self, tokens: Tensor) -> Tensor:
        patches = self.norm(tokens)[:, self.n_prefix :]  # (B, H·W, C)
        return patches.unflatten(1, (self.height, -1)).permute(0, 3, 1, 2)


class WholeNet(nn.Module):
    """A net we have no cuts for: its own forward_features, as (B, C, H, W)."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self.channels_last = getattr(net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, image: Tensor) -> Tensor:
        features = self.net.forward_features(image)
        return features.permute(0, 3, 1, 2) if self.channels_last else features


def cut_resnet(net: ResNet, height: int) -> list[nn.Module]:
    stem = nn.Sequential(net.conv1, net.bn1, net.act1, net.maxpool)
    return [stem, net.layer1, net.layer2, net.layer3, net.layer4, nn.Identity()]


def cut_efficientnet(net: EfficientNet, height: int) -> list[nn.Module]:
    return [nn.Sequential(net.conv_stem, net.bn1), *net.blocks, nn.Sequential(net.conv_head, net.bn2)]


def cut_convnext(net: ConvNeXt, height: int) -> list[nn.Module]:
    return [net.stem, *net.stages, net.norm_pre]


def cut_vit(net: VisionTransformer, height: int) -> list[nn.Module]:
    patch_height = net.patch_embed.patch_size[0]
    final = VitMap(net.norm, net.num_prefix_tokens, height=-(-max(height, MIN_SIDE) // patch_height))
    blocks = list(net.blocks)
    net.blocks = net.norm = net.fc_norm = nn.Identity()  # the stem keeps the net for what comes before its blocks
    net.attn_pool = None
    return [VitStem(net), *blocks, final]


CUTS = {
    ResNet: cut_resnet,
    EfficientNet: cut_efficientnet,
    ConvNeXt: cut_convnext,
    VisionTransformer: cut_vit,
}


def create_net(timm_name: str, pretrained: bool = False, channels: int = 1) -> nn.Module:
    """The timm net of that name, without its classifier. Raises ValueError for an unknown name."""
    if not timm.is_model(timm_name):
        near = ", ".join(difflib.get_close_matches(timm_name, timm.list_models())) or "see timm.list_models()"
        raise ValueError(f"timm_name must be a name that timm knows ({near}), got {timm_name!r}")
    any_size = {}
    if timm.models.is_model_in_modules(timm_name, ("vision_transformer", "deit")):
        any_size = {"dynamic_img_size": True, "dynamic_img_pad": True}
    return timm.create_model(timm_name, pretrained=pretrained, in_chans=channels, num_classes=0, **any_size)


def timm_stages(
    timm_name: str,
    n_mels: int,
    normalize: str,
    pretrained: bool = False,
    *,
    frequency: str = "mean",
    image_channels: int = 0,
    timm_stem: str = "as_built",
) -> tuple[dict[str, nn.Module], int]:
    """The net as named stages, and its width: stem, layer1 …, final; or stem, body, final for a family without cuts.

    frequency "stack" keeps the final map's rows apart. image_channels says that the rows are images, of
    n_mels / image_channels pixels a side. Nothing is downloaded unless pretrained. Raises ValueError for a name timm
    does not know, a net of one fixed image size, or one whose features are not a map.
    """
    channels = image_channels or 1
    net, height = create_net(timm_name, pretrained, channels), n_mels // channels
    if timm_stem == "small":
        make_stem_small(net, timm_name, channels)
    elif timm_stem != "as_built":
        raise ValueError(f"timm_stem must be one of {', '.join(STEMS)}, got {timm_stem!r}")
    for family, cut in CUTS.items():
        if type(net).forward_features is family.forward_features:
            stem, *layers, final = cut(net, height)
            named = {f"layer{number}": MapStage(layer) for number, layer in enumerate(layers, 1)}
            break
    else:
        stem, final, named = nn.Identity(), nn.Identity(), {"body": MapStage(WholeNet(net))}
        freeze_unused(named["body"].body, timm_name, channels, height)
    first = ImageStem(normalize, stem)
    if image_channels:
        first = PixelStem(channels, 1 if timm_stem == "small" else MIN_SIDE, stem)
    stages = {"stem": first, **named, "final": FinalMap(final, frequency)}
    return stages, net.num_features if frequency == "mean" else frame_width(stages, n_mels)


@torch.no_grad()
def frame_width(stages: dict[str, nn.Module], n_mels: int) -> int:
    """The width D of frames, by trying the stages on an empty log-mel."""
    h, mask = torch.zeros(1, MIN_SIDE, n_mels), None
    for stage in stages.values():
        h, mask = stage.eval()(h, mask)
        stage.train()
    return h.shape[2]


def freeze_unused(body: WholeNet, timm_name: str, channels: int, height: int) -> None:
    """Tries the net on an empty image, and freezes what only its classifier used, for which no gradient will come.

    Raises ValueError unless the net makes maps (B, num_features, H, W) of images of any size.
    """
    try:
        features = body.eval()(torch.zeros(1, channels, max(height, MIN_SIDE), MIN_SIDE))
    except AssertionError as error:  # timm's own check of the image's size
        raise ValueError(f"timm_name must name a net for images of any size, got {timm_name!r}: {error}") from None
    if features.dim() != 4 or features.shape[1] != body.net.num_features:
        raise ValueError(
            f"timm_name must name a net whose features are a map (B, {body.net.num_features}, H, W), "
            f"got {timm_name!r} with {tuple(features.shape)}"
        )
    features.sum().backward()
    for parameter in body.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    body.train()


def embed_by_length(embed: Callable[[Tensor], Tensor], mel: Tensor, mask: Tensor) -> Tensor:
    """z (B, D) of each clip as if it were alone: clips of one length run together, trimmed to it, without mask.

    embed maps mel (B, T, F) to z. Raises ValueError where padding is not at a clip's end.
    """
    lengths = mask.sum(dim=1)
    steps = torch.arange(mask.shape[1], device=mask.device)
    if not torch.equal(mask, steps < lengths.unsqueeze(1)):
        raise ValueError("mask must be True, then False, along time for a timm net, got padding before a valid frame")
    found, places = [], []
    for length in lengths.unique().tolist():
        place = (lengths == length).nonzero().squeeze(1)
        found.append(embed(mel[place, :length]))
        places.append(place)
    return torch.cat(found)[torch.cat(places).argsort()]
