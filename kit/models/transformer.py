"""The transformer baseline of NTU's 2022 speaker task: post-norm encoder layers, the mean over time, a hidden layer."""

from torch import Tensor, nn

from kit.models.backbone import Backbone, frame_backbone
from kit.models.stem import NORMALIZATIONS
from kit.parts import at_least, fraction, one_of, part


@part
class Transformer:
    """A linear stem, encoder layers, and a hidden layer between pooling and head.

    The source's baseline is Transformer(width=80, layers=1, heads=2, ff_width=256, normalize="none").
    """

    width: int = 160
    layers: int = 2
    heads: int = 4
    ff_width: int = 320
    dropout: float = 0.1
    normalize: str = "mean"  # each utterance's own mean (and deviation) taken away, by bin
    frame_stack: int = 1  # neighbouring frames that share a position

    def check(self):
        at_least(self, 1, "width", "layers", "heads", "ff_width", "frame_stack")
        fraction(self, "dropout")
        one_of(self, "normalize", NORMALIZATIONS)
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads ({self.heads}), got {self.width}")

    def make(self, n_mels: int, crop_frames: int, image_channels: int = 0) -> Backbone:
        def layer() -> nn.Module:
            return TransformerLayer(self.width, self.heads, self.ff_width, self.dropout)

        frames = frame_backbone(n_mels, self.width, self.layers, layer, self.normalize, self.frame_stack)
        return frames._replace(hidden=hidden_layer)


class TransformerLayer(nn.Module):
    """One `nn.TransformerEncoderLayer` (ReLU, norm after) as a stage over frames (B, T, D)."""

    def __init__(self, width: int, heads: int, ff_width: int, dropout: float):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(width, heads, ff_width, dropout, batch_first=True)

    def forward(self, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return self.layer(h, src_key_padding_mask=None if mask is None else ~mask), mask


def hidden_layer(width: int) -> nn.Module:
    """The baseline's Linear-ReLU between pooling and classifier: z is what comes out of it."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU())
