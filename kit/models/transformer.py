"""The transformer baseline of NTU's 2022 speaker task: post-norm encoder layers, the mean over time, a hidden layer."""

from torch import Tensor, nn


class TransformerLayer(nn.Module):
    """One `nn.TransformerEncoderLayer` (ReLU, norm after) as a stage over frames (B, T, D).

    Raises:
        ValueError: width is not a multiple of heads.
    """

    def __init__(self, width: int, heads: int, ff_width: int, dropout: float):
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got {width} and {heads}")
        self.layer = nn.TransformerEncoderLayer(width, heads, ff_width, dropout, batch_first=True)

    def forward(self, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return self.layer(h, src_key_padding_mask=None if mask is None else ~mask), mask


def hidden_layer(width: int) -> nn.Module:
    """The baseline's Linear-ReLU between pooling and classifier: z is what comes out of it."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU())
