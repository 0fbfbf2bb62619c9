"""A net: a backbone's named stages, between which a training step may mix, then pooling and head."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kit.models.backbone import Backbone, check_input
from kit.models.conformer import Conformer
from kit.models.heads import Linear
from kit.models.lengths import embed_by_length
from kit.models.own import WholeNet, make_backbone, make_head, make_pooling, make_whole
from kit.models.pooling import Mean
from kit.models.sed import FrameHead
from kit.models.transformer import Transformer
from kit.parts import Part, as_part, is_part, part, part_name

Mix = Callable[[str, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]  # (place, h, mask) -> (h, mask)


@part
class Net:
    """Frames by a backbone, z by a pooling over time, logits by a head; each may be an nn.Module class of your own."""

    backbone: Any = Conformer()
    pooling: Any = Mean()
    head: Any = Linear()

    def check(self):
        for name, value in list(vars(self).items()):
            object.__setattr__(self, name, as_part(value))
            if not is_part(getattr(self, name)):
                raise ValueError(f"{name} must be a part, or a class of your own, got {value!r}")
        if hasattr(self.head, "pool"):
            self._check_pool()

    def _check_pool(self) -> None:
        name = part_name(self.head)
        if self.pooling != Mean():
            raise ValueError(f"pooling must be left out with head {name}, which pools, got {part_name(self.pooling)}")
        if isinstance(self.backbone, Transformer):
            raise ValueError(f"backbone must not be Transformer with head {name}, which leaves out its hidden layer")

    def make(
        self,
        n_mels: int,
        n_classes: int,
        crop_frames: int,
        image_channels: int = 0,
        views: Mapping[str, bool] | None = None,
    ) -> "NetModule":
        """The module. views: heads beside the net's own, by name, and whether they are trained.

        Raises ValueError naming the part of one's own that lacks something.
        """
        if n_classes < 1:
            raise ValueError(f"n_classes must be at least 1, got {n_classes}")
        backbone = make_backbone(self.backbone, n_mels, crop_frames, image_channels)
        pooling: Any
        if hasattr(self.head, "pool"):
            pooling = self.head.pool(backbone.width, n_classes)
        else:
            pooling = make_pooling(self.pooling, backbone.width)
        hidden = backbone.hidden(pooling.out_width)
        head = make_head(self.head, pooling.out_width, n_classes)
        # After all others, whose weights are thus drawn as they are without.
        view_heads = {
            name: make_head(self.head, pooling.out_width, n_classes).requires_grad_(trained)
            for name, trained in dict(views or {}).items()
        }
        return NetModule(backbone, pooling, hidden, head, n_mels, view_heads)


def make_net(
    net: Any,
    n_mels: int,
    n_classes: int,
    crop_frames: int,
    image_channels: int = 0,
    views: Mapping[str, bool] | None = None,
) -> "NetModule | WholeNet":
    """The module of an experiment's net: of a Net, or of a whole net of one's own, a class of (n_mels, n_classes).

    Raises ValueError naming the part that lacks something.
    """
    if isinstance(net, Net):
        return net.make(n_mels, n_classes, crop_frames, image_channels, views)
    sizes = (n_mels, n_classes) if isinstance(net, Part) else (n_mels, n_classes, crop_frames)
    module = make_whole(net, *sizes)
    if views:
        raise ValueError(f"views must be None with a whole net of your own, {part_name(net)}, which has one head")
    return WholeNet(module, n_mels)


class NetModule(nn.Module):
    """mel (B, T, F) through the stages to frames, pooled to z (B, D), to logits (B, C).

    hidden: what lies between pooling and z.
    view_heads: heads beside it, for the training loss alone; forward leaves them out.
    places: where it can be mixed; mix_places: where manifold mixup mixes by default; same_places: see Backbone.
    """

    def __init__(
        self,
        backbone: Backbone,
        pooling: nn.Module,
        hidden: nn.Module,
        head: nn.Module,
        n_mels: int,
        view_heads: Mapping[str, nn.Module] | None = None,
    ):
        super().__init__()
        self.stages = nn.ModuleDict(backbone.stages)
        self.stage_names = tuple(backbone.stages)
        self.pooling = pooling
        self.hidden = hidden
        self.head = head
        self.view_heads = nn.ModuleDict(view_heads or {})
        self.n_mels = n_mels
        self.width = backbone.width
        self.one_length = backbone.one_length
        self.places = ("input", *self.stage_names, "embedding")
        self.mix_places = backbone.mix_places
        self.loaded = backbone.loaded
        self.same_places = dict(backbone.same_places)

    def forward(
        self, mel: Tensor, mask: Tensor | None = None, mix: Mix | None = None, frames: bool = False
    ) -> tuple[Tensor, ...]:
        """logits (B, C) without margin, and z (B, D); with `frames` those of the backbone's frames, too, as `framewise`
        gives them, and each class's attention to these (B, T', C).

        mask (B, T) is True at valid frames, None where all are. mix(place, h, mask) gives what goes on from a place,
        and its mask: "input" (mel as it came), each of `stage_names`, "embedding" (z, which has no mask).
        """
        if frames:
            check_input(mel, mask, self.n_mels)
            h, mask = self._through_stages(mel, mask, mix or _go_on)
            z = self._pooled(h, mask, mix or _go_on)
            attention = self.pooling.attention(self.pooling.frames(h, mask), mask)
            return self.head(z), z, self._frame_logits(h, mask), attention
        z = self.embed(mel, mask, mix)
        return self.head(z), z

    def embed(self, mel: Tensor, mask: Tensor | None = None, mix: Mix | None = None) -> Tensor:
        """z (B, D). In eval, and without mix, padded clips of a net that can't mask run in groups of one length.

        Raises ValueError where mel is not (B, T, n_mels) or mask not (B, T).
        """
        check_input(mel, mask, self.n_mels)
        if self.one_length and mask is not None and mix is None and not self.training:
            return embed_by_length(self._embed, mel, mask)
        return self._embed(mel, mask, mix)

    def _embed(self, mel, mask=None, mix=None) -> Tensor:
        mix = mix or _go_on
        return self._pooled(*self._through_stages(mel, mask, mix), mix)

    def _through_stages(self, mel: Tensor, mask: Tensor | None, mix: Mix) -> tuple[Tensor, Tensor | None]:
        h, mask = mix("input", mel, mask)
        for name, stage in self.stages.items():
            h, mask = mix(name, *stage(h, mask))
        return h, mask

    def _pooled(self, h: Tensor, mask: Tensor | None, mix: Mix) -> Tensor:
        return mix("embedding", self.hidden(self.pooling(h, mask)), None)[0]

    def _frame_logits(self, h: Tensor, mask: Tensor | None) -> Tensor:
        logits = self.head.framewise(self.pooling.frames(h, mask))
        return logits if mask is None else logits.masked_fill(~mask.unsqueeze(-1), -torch.inf)

    def framewise(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, T', C) of each of the backbone's frames, −inf where one is padded.

        Raises ValueError for a head but ClassAttention.
        """
        if not isinstance(self.head, FrameHead):
            raise ValueError(f"head must be ClassAttention to classify frames, got {type(self.head).__name__}")
        check_input(mel, mask, self.n_mels)
        return self._frame_logits(*self._through_stages(mel, mask, _go_on))

    def head_parameters(self) -> list[str]:
        """Names of the parameters that follow the backbone, for the optimiser's rate of heads."""
        return [name for name, _ in self.named_parameters() if not name.startswith("stages.")]

    def layer_groups(self) -> list[list[str]]:
        """Names of parameters by depth, for layer-wise decay: each stage's that has any, then the heads'."""
        groups = [
            [f"stages.{stage}.{name}" for name, _ in self.stages[stage].named_parameters()]
            for stage in self.stage_names
        ]
        return [group for group in (*groups, self.head_parameters()) if group]


def _go_on(place: str, h: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return h, mask
