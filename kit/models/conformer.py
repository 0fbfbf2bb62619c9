"""The Conformer (Gulati et al. 2020, arXiv 2005.08100), as torchaudio draws it, without position encodings.

Departures: padded frames are zeroed before the depthwise convolution and stay out of the norms' statistics,
and dropout follows the attention but is not applied to its weights, as in the paper.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.backbone import Backbone, frame_backbone
from kit.models.dropout import Dropout
from kit.models.norms import CONV_NORMS
from kit.models.stem import NORMALIZATIONS
from kit.parts import at_least, fraction, one_of, part


@part
class Conformer:
    """A linear stem and Conformer layers; the defaults are the source's."""

    width: int = 160
    layers: int = 2
    heads: int = 4
    ff_width: int = 320
    kernel_size: int = 31  # frames
    dropout: float = 0.1
    conv_norm: str = "batch"
    convolution_first: bool = False  # before attention
    normalize: str = "mean"  # each utterance's own mean (and deviation) taken away, by bin
    frame_stack: int = 1  # neighbouring frames that share a position

    def check(self):
        at_least(self, 1, "width", "layers", "heads", "ff_width", "kernel_size", "frame_stack")
        fraction(self, "dropout")
        one_of(self, "conv_norm", CONV_NORMS)
        one_of(self, "normalize", NORMALIZATIONS)
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads ({self.heads}), got {self.width}")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")

    def make(self, n_mels: int, crop_frames: int, image_channels: int = 0) -> Backbone:
        def layer() -> nn.Module:
            return ConformerLayer(
                self.width, self.heads, self.ff_width, self.kernel_size, self.dropout, self.conv_norm,
                self.convolution_first,
            )  # fmt: skip

        return frame_backbone(n_mels, self.width, self.layers, layer, self.normalize, self.frame_stack)


class DepthwiseConvolution(nn.Conv1d):
    """A convolution over time, a kernel a channel, on frames (B, T, D) as they lie in memory.

    On CPU the frames are the channels-last image (B, D, T, 1), which oneDNN runs 3 to 4 times as fast as
    `conv1d` in a training step and 5 to 8 times in a forward pass, with equal results.
    """

    def __init__(self, width: int, kernel_size: int):
        super().__init__(width, width, kernel_size, padding=kernel_size // 2, groups=width)

    def forward(self, h: Tensor) -> Tensor:
        if h.device.type != "cpu":
            return super().forward(h.transpose(1, 2)).transpose(1, 2)
        image = h.transpose(1, 2).unsqueeze(3)  # (B, D, T, 1)
        padding = (*self.padding, 0)
        out = F.conv2d(image, self.weight.unsqueeze(3), self.bias, padding=padding, groups=self.groups)
        return out.squeeze(3).transpose(1, 2)  # (B, T, D)


class MultiHeadAttention(nn.Module):
    """LayerNorm, scaled dot-product attention over the valid frames, dropout: (B, T, D) to (B, T, D)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        batch, n_frames, width = h.shape
        qkv = self.qkv(self.norm(h)).view(batch, n_frames, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, T, D / heads)
        keys_allowed = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, T)
        h = F.scaled_dot_product_attention(query, key, value, attn_mask=keys_allowed)
        return self.dropout(self.out(h.transpose(1, 2).flatten(2)))  # (B, T, D)


class Convolution(nn.Module):
    """LayerNorm, pointwise to 2D, GLU, depthwise, norm, SiLU, pointwise, dropout: (B, T, D) to (B, T, D)."""

    def __init__(self, width: int, kernel_size: int, dropout: float, norm: str):
        super().__init__()
        self.norm_in = nn.LayerNorm(width)
        self.pointwise_in = nn.Linear(width, 2 * width)
        self.depthwise = DepthwiseConvolution(width, kernel_size)
        self.norm = CONV_NORMS[norm](width)
        self.pointwise_out = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        h = F.glu(self.pointwise_in(self.norm_in(h)))  # (B, T, D)
        if mask is not None:
            h = h.masked_fill(~mask.unsqueeze(-1), 0.0)
        h = F.silu(self.norm(self.depthwise(h), mask))
        return self.dropout(self.pointwise_out(h))


def feed_forward(width: int, ff_width: int, dropout: float) -> nn.Module:
    """LayerNorm, Linear, SiLU, dropout, Linear, dropout."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, ff_width),
        nn.SiLU(),
        Dropout(dropout),
        nn.Linear(ff_width, width),
        Dropout(dropout),
    )


class ConformerLayer(nn.Module):
    """½·FFN, self-attention, convolution (or the two swapped), ½·FFN, each added to its input; then LayerNorm."""

    def __init__(
        self,
        width: int,
        heads: int,
        ff_width: int,
        kernel_size: int,
        dropout: float,
        conv_norm: str,
        convolution_first: bool,
    ):
        super().__init__()
        self.convolution_first = convolution_first
        self.feed_forward_in = feed_forward(width, ff_width, dropout)
        self.attention = MultiHeadAttention(width, heads, dropout)
        self.convolution = Convolution(width, kernel_size, dropout, conv_norm)
        self.feed_forward_out = feed_forward(width, ff_width, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        h = torch.add(h, self.feed_forward_in(h), alpha=0.5)
        if self.convolution_first:
            h = h + self.convolution(h, mask)
        h = h + self.attention(h, mask)
        if not self.convolution_first:
            h = h + self.convolution(h, mask)
        h = torch.add(h, self.feed_forward_out(h), alpha=0.5)
        return self.norm(h), mask
