"""Parts of one's own: what a backbone, a pooling, a head and a whole net must have, and the modules around them."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kit.models.backbone import Backbone, check_input
from kit.models.heads import no_margin
from kit.parts import Part, make, part_name


def make_backbone(value: Any, n_mels: int, crop_frames: int, image_channels: int) -> Backbone:
    """What a backbone part makes. A class is made of n_mels, has `out_width`, and is one stage.

    Where such a class can't mask, `one_length = True` says that in eval clips of one length run together.
    """
    context = (n_mels,) if isinstance(value, Part) else (n_mels, crop_frames, image_channels)
    module = _made("backbone", value, *context)
    if isinstance(module, Backbone):
        return module
    _check_module("backbone", value, module)
    width = _width("backbone", value, module, "D of its frames (B, T, D)")
    return Backbone({"body": OwnStage(module)}, width, bool(getattr(module, "one_length", False)))


def make_pooling(value: Any, width: int) -> nn.Module:
    """What a pooling part makes, with `out_width`. A class is made of the frames' width; a function is called as it is.

    The width of a function's z is taken from a trial on empty frames.
    """
    pooling = _made("pooling", value, width)
    if not isinstance(pooling, nn.Module):
        if not callable(pooling):
            raise ValueError(f"pooling {part_name(value)} must make an nn.Module or a function, got {pooling!r}")
        return OwnFunction(pooling, _trial_width(value, pooling, width))
    _width("pooling", value, pooling, "the width of z")
    return pooling


def make_head(value: Any, width: int, n_classes: int) -> nn.Module:
    """What a head part makes, with `with_margin`: where it has none, its logits are trained on as they are."""
    head = _made("head", value, width, n_classes)
    _check_module("head", value, head)
    if not hasattr(head, "with_margin"):
        head.with_margin = no_margin
    return head


def make_whole(value: Any, *context: Any) -> nn.Module:
    """What a part that is a whole net makes."""
    net = _made("net", value, *context)
    _check_module("net", value, net)
    return net


class OwnStage(nn.Module):
    """A backbone of one's own as a stage: (mel, mask) to frames, or to (frames, mask) where it changes their number."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        out = self.net(mel, mask)
        return out if isinstance(out, tuple) else (out, mask)


class OwnFunction(nn.Module):
    """A function of (frames, mask) as a pooling."""

    def __init__(self, function: Callable, out_width: int):
        super().__init__()
        self.function = function
        self.out_width = out_width

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.function(frames, mask)


class WholeNet(nn.Module):
    """A net of one's own from mel to logits and z; it can be mixed at its input alone.

    Its attribute `head`, where it has one, is what the optimiser's rate for heads is for.
    """

    stage_names = ()
    places = mix_places = ("input",)
    one_length = False

    def __init__(self, net: Any, n_mels: int):
        super().__init__()
        self.net = net
        self.n_mels = n_mels
        self.same_places: dict[str, str] = {}
        self.view_heads = nn.ModuleDict()
        if not hasattr(net, "with_margin"):
            net.with_margin = no_margin

    @property
    def head(self) -> nn.Module:
        """What has `with_margin`: the net itself."""
        return self.net

    def forward(self, mel: Tensor, mask: Tensor | None = None, mix=None) -> tuple[Tensor, Tensor]:
        """logits (B, C) and z (B, D); mix as of a NetModule. Raises ValueError where mel is not (B, T, n_mels)."""
        check_input(mel, mask, self.n_mels)
        return self.net(*(mix("input", mel, mask) if mix else (mel, mask)))

    def embed(self, mel: Tensor, mask: Tensor | None = None, mix=None) -> Tensor:
        """z (B, D)."""
        return self(mel, mask, mix)[1]

    def framewise(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Raises ValueError, since only the head ClassAttention classifies frames."""
        raise ValueError(f"head must be ClassAttention to classify frames, got {type(self.net).__name__}")

    def head_parameters(self) -> list[str]:
        """Names of the parameters in the net's attribute `head`; none where it has none."""
        return [name for name, _ in self.named_parameters() if name.startswith("net.head.")]

    def layer_groups(self) -> list[list[str]]:
        """Names of parameters by depth: all but the head's, then the head's."""
        heads = self.head_parameters()
        rest = [name for name, _ in self.named_parameters() if name not in heads]
        return [group for group in (rest, heads) if group]


def _made(role: str, value: Any, *context: Any) -> Any:
    """What the part makes. Raises ValueError naming it where its `make` takes other values."""
    if hasattr(value, "make") and not isinstance(value, Part):
        try:
            inspect.signature(value.make).bind(*context)
        except TypeError as error:
            raise ValueError(
                f"{role} {part_name(value)}: its make is called with {len(context)} values, {error}"
            ) from None
        return make(value, *context)
    try:
        return make(value, *context)
    except Exception as error:  # a class of one's own may raise anything
        name, reason = part_name(value), str(error)
        if not isinstance(error, ValueError):
            reason = f"{type(error).__name__}: {reason}"
        raise ValueError(f"{role} {reason}" if name in reason else f"{role} {name}: {reason}") from error


def _check_module(role: str, value: Any, module: Any) -> None:
    if not isinstance(module, nn.Module):
        raise ValueError(f"{role} {part_name(value)} must make an nn.Module, got {module!r}")


def _width(role: str, value: Any, module: nn.Module, meaning: str) -> int:
    width = getattr(module, "out_width", None)
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise ValueError(f"{role} {part_name(value)} must have out_width, {meaning}, of at least 1, got {width!r}")
    return width


@torch.no_grad()
def _trial_width(value: Any, function: Callable, width: int) -> int:
    """The width of what a pooling function gives, on frames (2, 8, width) of 0."""
    try:
        z = function(torch.zeros(2, 8, width), None)
    except Exception as error:
        raise ValueError(
            f"pooling {part_name(value)} failed on frames (2, 8, {width}): {type(error).__name__}: {error}"
        ) from error
    if not isinstance(z, Tensor) or z.dim() != 2 or len(z) != 2:
        raise ValueError(f"pooling {part_name(value)} must give z (B, D), got {shape_of(z)} of 2 clips")
    return z.shape[1]


def shape_of(value: Any) -> str:
    """A tensor's shape for a message, or the type of what is none."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
