"""A config becomes a Net: named stages, between which a training step may mix, then pooling and head."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kit.models.conformer import ConformerLayer
from kit.models.heads import AMSoftmaxHead, CosineHead, LinearHead
from kit.models.pooling import POOLINGS
from kit.models.sed import ClassAttention, FrameHead
from kit.models.stem import FrameStem
from kit.models.timm_stages import embed_by_length, timm_stages
from kit.models.transformer import TransformerLayer, hidden_layer

Mix = Callable[[str, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]  # (place, h, mask) -> (h, mask)


class FinalFrames(nn.Module):
    """The final map of a backbone of frames (B, T, D), with 0 in padded frames."""

    def forward(self, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return h if mask is None else h.masked_fill(~mask.unsqueeze(-1), 0.0), mask


class Net(nn.Module):
    """mel (B, T, F) through the stages to frames, pooled to z (B, D), to logits (B, C).

    stages: name to module, each (h, mask) -> (h, mask), the last giving frames (B, T, D).
    hidden: what lies between pooling and z.
    view_heads: heads beside it, for the training loss alone; forward leaves them out.
    one_length: in eval, and without mix, padded clips run in groups of one length, for nets that cannot mask.
    """

    def __init__(
        self,
        stages: dict[str, nn.Module],
        pooling: nn.Module,
        hidden: nn.Module,
        head: nn.Module,
        n_mels: int,
        one_length: bool,
        view_heads: dict[str, nn.Module] | None = None,
    ):
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.stage_names = tuple(stages)
        self.pooling = pooling
        self.hidden = hidden
        self.head = head
        self.view_heads = nn.ModuleDict(view_heads or {})
        self.n_mels = n_mels
        self.one_length = one_length

    def forward(self, mel: Tensor, mask: Tensor | None = None, mix: Mix | None = None) -> tuple[Tensor, Tensor]:
        """logits (B, C) without margin, and z (B, D).

        mask (B, T) is True at valid frames, None where all are. mix(place, h, mask) gives what goes on from a place,
        and its mask: "input" (mel as it came), each of `stage_names`, "embedding" (z, which has no mask).
        """
        z = self.embed(mel, mask, mix)
        return self.head(z), z

    def embed(self, mel: Tensor, mask: Tensor | None = None, mix: Mix | None = None) -> Tensor:
        """z (B, D). Raises ValueError where mel is not (B, T, n_mels) or mask not (B, T)."""
        self._check(mel, mask)
        if self.one_length and mask is not None and mix is None and not self.training:
            return embed_by_length(self._embed, mel, mask)
        return self._embed(mel, mask, mix)

    def _embed(self, mel, mask=None, mix=None) -> Tensor:
        mix = mix or _go_on
        h, mask = mix("input", mel, mask)
        for name, stage in self.stages.items():
            h, mask = mix(name, *stage(h, mask))
        return mix("embedding", self.hidden(self.pooling(h, mask)), None)[0]

    def framewise(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, T', C) of each of the backbone's frames. Raises ValueError for a head other than "sed"."""
        if not isinstance(self.head, FrameHead):
            raise ValueError(f'head must be "sed" to classify frames, got {type(self.head).__name__}')
        self._check(mel, mask)
        h = mel
        for stage in self.stages.values():
            h, mask = stage(h, mask)
        return self.head.framewise(self.pooling.frames(h, mask))

    def _check(self, mel: Tensor, mask: Tensor | None) -> None:
        if mel.dim() != 3 or mel.shape[2] != self.n_mels:
            raise ValueError(f"mel must be (B, T, {self.n_mels}), got {tuple(mel.shape)}")
        if mask is not None and mask.shape != mel.shape[:2]:
            raise ValueError(f"mask must be (B, T) like mel {tuple(mel.shape[:2])}, got {tuple(mask.shape)}")


def _go_on(place: str, h: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return h, mask


def build_model(config, n_classes: int, n_mels: int) -> Net:
    """The net of a config's model fields (backbone to margin, see kit.training.config.Config).

    width, layers, heads, ff_width, kernel_size, dropout and frame_stack shape the frame backbones; a timm net is
    shaped by its name. Raises ValueError for a choice or number out of range.
    """
    if n_classes < 1:
        raise ValueError(f"n_classes must be >= 1, got {n_classes}")
    stages, width = choose("backbone", config.backbone, BACKBONES)(config, n_mels)
    pooling = choose("pooling", config.pooling, POOLINGS)(width)
    if config.head == "sed":
        pooling = ClassAttention(width, n_classes)
    hidden = hidden_layer(pooling.out_width) if config.backbone == "transformer" else nn.Identity()
    make_head = choose("head", config.head, HEADS)
    head = make_head(config, pooling.out_width, n_classes)
    # After all others, whose weights are thus drawn as they are without.
    view_heads = {name: make_head(config, pooling.out_width, n_classes) for name in view_weights(config)}
    for name, weight in view_weights(config).items():
        view_heads[name].requires_grad_(weight > 0)
    net = Net(stages, pooling, hidden, head, n_mels, config.backbone == "timm", view_heads)
    # Images with their channels last: a CPU training step of timm's test_resnet takes 0.67 of the time, equal results.
    return net.to(memory_format=torch.channels_last) if config.backbone == "timm" else net


def view_weights(config) -> dict[str, float]:
    """The prototypes that mix "lpc" keeps beside W, of the formant, the residual, the swapped residual; their weights.

    Where lpc_prototypes will mix them into W, those of weight 0, which the loss does not train, are there too.
    """
    if config.mix != "lpc":
        return {}
    weights = {"formant": config.lpc_formant, "residual": config.lpc_residual}
    kept = {name: weight for name, weight in weights.items() if weight or config.lpc_prototypes}
    return kept | ({"swap": config.lpc_swap_weight} if config.lpc_swap != "none" else {})


def choose(name: str, key: str, choices: dict):
    """choices[key]. Raises ValueError listing the choices."""
    if key not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {key!r}")
    return choices[key]


def transformer(config, n_mels: int) -> tuple[dict[str, nn.Module], int]:
    def layer():
        return TransformerLayer(config.width, config.heads, config.ff_width, config.dropout)

    return frame_stages(config, n_mels, layer), config.width


def conformer(config, n_mels: int) -> tuple[dict[str, nn.Module], int]:
    def layer():
        return ConformerLayer(
            config.width, config.heads, config.ff_width, config.kernel_size, config.dropout,
            config.conv_norm, config.convolution_first,
        )  # fmt: skip

    return frame_stages(config, n_mels, layer), config.width


def timm_net(config, n_mels: int) -> tuple[dict[str, nn.Module], int]:
    if config.frame_stack != 1:
        raise ValueError(f"frame_stack must be 1 with backbone 'timm', got {config.frame_stack}")
    if config.image_channels and n_mels != config.segment_frames * config.image_channels:
        raise ValueError(
            f"segment_frames must be the images' side, {n_mels} / image_channels ({config.image_channels}), "
            f"got {config.segment_frames}"
        )
    images = {"image_channels": config.image_channels, "timm_stem": config.timm_stem}
    return timm_stages(config.timm_name, n_mels, config.normalize, frequency=config.timm_frequency, **images)


def frame_stages(config, n_mels: int, layer: Callable[[], nn.Module]) -> dict[str, nn.Module]:
    """stem, layer1 …, final."""
    if config.layers < 1:
        raise ValueError(f"layers must be >= 1, got {config.layers}")
    stem = FrameStem(n_mels, config.width, config.normalize, config.frame_stack)
    layers = {f"layer{number}": layer() for number in range(1, config.layers + 1)}
    return {"stem": stem, **layers, "final": FinalFrames()}


BACKBONES = {"transformer": transformer, "conformer": conformer, "timm": timm_net}
HEADS = {
    "linear": lambda config, width, n_classes: LinearHead(width, n_classes),
    "cosine": lambda config, width, n_classes: CosineHead(width, n_classes, config.scale),
    "am_softmax": lambda config, width, n_classes: AMSoftmaxHead(width, n_classes, config.scale, config.margin),
    "sed": lambda config, width, n_classes: FrameHead(width, n_classes),
}
