"""Any timm net over the log-mel as an image, or over images as they are (B, C, H, W), cut into the stages between
which we mix, from random weights or from those of a file.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from kit.models.cuts import cut, head_norm
from kit.models.maps import Features, FinalMap, ImageStem, MapStage, ToMap
from kit.models.pixels import STEMS, PixelStem, make_stem_small
from kit.models.sizes import TRIAL_FRAMES, Padding, find_padding
from kit.models.stem import Normalize
from kit.models.timm_net import create_net
from kit.models.weight_files import locate_weights, read_tensors
from kit.models.weights import holds_stages, start_stages, start_timm

FREQUENCIES = ("mean", "stack")


def timm_stages(
    timm_name: str,
    n_mels: int,
    normalize: str,
    *,
    weights: str = "",
    frequency: str = "mean",
    image_channels: int = 0,
    stem: str = "as_built",
    depth: int = 0,
    drop_path: float = 0.0,
    in_chans: int = 1,
    top_db: float = 0.0,
    imagenet: bool = False,
) -> tuple[dict[str, nn.Module], int]:
    """The net as named stages, and its width: stem, layer1 …, final; or stem, body, final where it can't be cut.

    weights: "" for random ones, "timm" for its hub's, a file, a folder to search, or a run's best.pt; what came of
    them is the attribute `loaded` of the stem, None for random ones.
    frequency: "stack" keeps the final map's rows apart. stem: "small" for small images, ResNets only.
    image_channels: the rows are images, of n_mels / image_channels pixels a side; 0 for log-mels.
    in_chans: as many copies of a log-mel. top_db and imagenet: see Normalize and ImageStem; not for images.
    depth: only so many stages after the stem, 0 for all; the last layers stay where they fit.
    Raises ValueError for a name or choice that is unknown, a net that no padding makes run on all sizes, whose features
    are no map, that can't be cut for depth, or weights that do not fit.
    """
    _check_choices(frequency, stem, normalize, image_channels, in_chans, top_db, imagenet)
    channels = image_channels or in_chans
    height = n_mels // image_channels if image_channels else n_mels
    net = create_net(timm_name, channels, drop_path, img_size=height if image_channels else 0)
    if stem == "small":
        make_stem_small(net, timm_name, channels)
    path = locate_weights(weights, timm_name) if weights else None
    tensors = read_tensors(path) if path else {}
    of_a_run = holds_stages(tensors)
    loaded = None if not path or of_a_run else start_timm(net, path, channels, tensors)
    first, layers, final, padding = _take_apart(net.eval(), timm_name, height, channels, bool(image_channels), stem)
    if depth:
        layers = _first_layers(layers, depth, timm_name)
    if image_channels:
        entry = PixelStem(channels, padding, first)
    else:
        entry = ImageStem(Normalize(normalize, top_db), first, padding, channels, imagenet)
    final.frequency = frequency
    stages = {"stem": entry, **layers, "final": final}
    if depth:
        _keep_what_fits(stages, n_mels)
    width = _frames(stages, n_mels).shape[2]
    own = start_stages(stages, path, tensors) if path and of_a_run else loaded
    entry.loaded = own  # pyrefly: ignore[bad-argument-type]
    for stage in stages.values():
        stage.train()
    return stages, width


def _check_choices(frequency, stem, normalize, image_channels, in_chans, top_db, imagenet) -> None:
    if frequency not in FREQUENCIES:
        raise ValueError(f"frequency must be one of {', '.join(FREQUENCIES)}, got {frequency!r}")
    if stem not in STEMS:
        raise ValueError(f"stem must be one of {', '.join(STEMS)}, got {stem!r}")
    if image_channels and (in_chans != 1 or top_db or imagenet):
        raise ValueError("in_chans, top_db and imagenet must be left out with image_channels, which are pixels")
    if in_chans < 1:
        raise ValueError(f"in_chans must be at least 1, got {in_chans}")
    if imagenet and normalize != "min_max":
        raise ValueError(f'imagenet must be False unless normalize is "min_max", got {normalize!r}')


def _take_apart(
    net: Any, name: str, height: int, channels: int, square: bool, stem: str
) -> tuple[nn.Module, dict[str, Any], FinalMap, Padding]:
    """The net in eval as its first part, the layers by name, and the last part, and the padding with which it runs."""
    frames = (height,) if square else TRIAL_FRAMES
    as_built = stem == "as_built"
    padding = find_padding(net.forward_features, height, channels, name, frames) if as_built else Padding(1, 1)
    if (tokens := _grid(net, name, padding, height, channels, frames)) is not None:
        padding, n_prefix, rows = tokens
    else:
        n_prefix = rows = 0
    image = torch.zeros(1, channels, *(padding.apply(side) for side in (height, frames[-1])))
    with torch.no_grad():
        features = net.forward_features(image)
        last_norm = head_norm(net, features) if hasattr(net, "forward_head") else None
    channels_last = features.dim() == 4 and features.shape[1] != net.num_features
    parts = cut(net, image)
    if parts is None:
        body = Features(net)
        freeze_unused(body, image)
        if last_norm is not None:
            last_norm.requires_grad_(True)
        first, layers, last = nn.Identity(), {"body": MapStage(body)}, nn.Identity()
    else:
        first, *middle, last = parts
        layers = {f"layer{number}": MapStage(layer) for number, layer in enumerate(middle, 1)}
    if rows or channels_last:
        last = ToMap(last, n_prefix, rows)
    return first, layers, FinalMap(last, norm=last_norm), padding


@torch.no_grad()
def _grid(net, name: str, padding: Padding, height: int, channels: int, frames) -> tuple[Padding, int, int] | None:
    """For a net of tokens: the padding to whole tokens, how many tokens come before the map's, and its rows.

    None for a net of maps. Raises ValueError for a net of neither.
    """
    features = []
    for width in frames:
        image = torch.zeros(1, channels, padding.apply(height), padding.apply(width))
        features.append(net.forward_features(image))
    is_map = isinstance(features[0], Tensor) and features[0].dim() == 4
    if is_map and net.num_features in (features[0].shape[1], features[0].shape[3]):
        return None
    side = _token_side(net)
    if side and isinstance(features[0], Tensor) and features[0].dim() == 3:
        padding = Padding(padding.min_side, math.lcm(padding.multiple, side))
        n_prefix = getattr(net, "num_prefix_tokens", 0)
        sides = [(padding.apply(height), padding.apply(width)) for width in frames]
        counts = [net.forward_features(torch.zeros(1, channels, *sides_)).shape[1] for sides_ in sides]
        if counts == [n_prefix + (high // side) * (wide // side) for high, wide in sides]:
            return padding, n_prefix, padding.apply(height) // side
    shape = tuple(features[0].shape) if isinstance(features[0], Tensor) else type(features[0]).__name__
    raise ValueError(
        f"name must name a net whose features are a map (B, {net.num_features}, H, W) or its tokens, "
        f"got {name!r} with {shape}"
    )


def _token_side(net: nn.Module) -> int:
    """Pixels along a side of what one token of the last features stands for; 0 where the net does not say."""
    info = getattr(net, "feature_info", None)
    if info:
        return int(info[-1]["reduction"])
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", 0)
    return patch[0] if isinstance(patch, tuple) else patch


def freeze_unused(body: nn.Module, image: Tensor) -> None:
    """Freezes what only the net's classifier used, for which no gradient will come."""
    body(image).sum().backward()
    for parameter in body.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


def _first_layers(layers: dict[str, nn.Module], depth: int, name: str) -> dict[str, nn.Module]:
    if "body" in layers:
        raise ValueError(f"depth must be 0 for a net that can't be cut, got {depth} with {name!r}")
    if not 1 <= depth <= len(layers):
        raise ValueError(f"depth must be 0 to {len(layers)}, the stages of {name!r}, got {depth}")
    return dict(list(layers.items())[:depth])


@torch.no_grad()
def _frames(stages: dict[str, nn.Module], n_mels: int) -> Tensor:
    """The frames (1, W, D) of an empty log-mel, or image."""
    first = stages["stem"]
    h, mask = torch.zeros(1, n_mels // first.channels if isinstance(first, PixelStem) else 61, n_mels), None
    for stage in stages.values():
        h, mask = stage.eval()(h, mask)
    return h


def _keep_what_fits(stages: dict[str, nn.Module], n_mels: int) -> None:
    """Without a net's last stages, its last layers and norm go too where they are made for other channels."""
    final = stages["final"]
    try:
        _frames(stages, n_mels)
    except RuntimeError:
        if isinstance(final.body, ToMap):
            final.body.body = nn.Identity()
        else:
            final.body = nn.Identity()
    try:
        _frames(stages, n_mels)
    except RuntimeError:
        final.norm = nn.Identity()
