"""What a backbone is: named stages from log-mels (B, T, F) to frames (B, T', D), between which a step may mix."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor, nn

from kit.models.stem import FrameStem


class Backbone(NamedTuple):
    """The stages in order, each (h, mask) -> (h, mask), the first from mel, the last giving frames (B, T', width).

    one_length: the stages can't mask, so in eval clips of one length run together.
    mix_places: where manifold mixup mixes unless told otherwise. As the source's resnet does, at the input and after
    each layer but the last, never after the stem.
    same_places: places whose mixture is another's, since only a linear map lies between them; name to the other.
    hidden: makes what lies between pooling and z, of z's width.
    loaded: what came of starting weights (kit.models.weights.Loaded), None for random ones.
    """

    stages: dict[str, nn.Module]
    width: int
    one_length: bool = False
    mix_places: tuple[str, ...] = ("input",)
    same_places: Mapping[str, str] = MappingProxyType({})
    hidden: Callable[[int], nn.Module] = nn.Identity
    loaded: Any = None


class FinalFrames(nn.Module):
    """The final map of a backbone of frames (B, T, D), with 0 in padded frames."""

    def forward(self, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return h if mask is None else h.masked_fill(~mask.unsqueeze(-1), 0.0), mask


def frame_backbone(
    n_mels: int, width: int, layers: int, make_layer: Callable[[], nn.Module], normalize: str, frame_stack: int
) -> Backbone:
    """stem, layer1 …, final: a linear stem over stacked frames, then layers of one width."""
    stem = FrameStem(n_mels, width, normalize, frame_stack)
    named = {f"layer{number}": make_layer() for number in range(1, layers + 1)}
    same = {"final": f"layer{layers}"}
    if normalize in ("none", "mean"):  # the others divide, which is no linear map
        same["stem"] = "input"
    stages = {"stem": stem, **named, "final": FinalFrames()}
    return Backbone(stages, width, mix_places=("input", *list(named)[:-1]), same_places=same)


def check_input(mel: Tensor, mask: Tensor | None, n_mels: int) -> None:
    """Raises ValueError where mel is not (B, T, n_mels) or mask not (B, T)."""
    if mel.dim() != 3 or mel.shape[2] != n_mels:
        raise ValueError(f"mel must be (B, T, {n_mels}), got {tuple(mel.shape)}")
    if mask is not None and mask.shape != mel.shape[:2]:
        raise ValueError(f"mask must be (B, T) like mel {tuple(mel.shape[:2])}, got {tuple(mask.shape)}")
