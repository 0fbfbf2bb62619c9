"""Norms inside the convolution: like torch's own, but padded frames stay out of the statistics."""

from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of frames (B, T, D) whose training statistics are those of the valid frames only."""

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None or not self.training:
            return super().forward(h.flatten(0, 1)).view_as(h)
        valid = mask.unsqueeze(-1)  # (B, T, 1)
        n_valid = mask.sum()
        h = h.float()
        mean = h.masked_fill(~valid, 0.0).sum(dim=(0, 1)) / n_valid  # (D,)
        centred = h - mean
        variance = centred.masked_fill(~valid, 0.0).square().sum(dim=(0, 1)) / n_valid  # (D,)
        self._track(mean.detach(), variance.detach() * n_valid / (n_valid - 1).clamp(min=1))
        return centred * ((variance + self.eps).rsqrt() * self.weight) + self.bias

    def _track(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        """Moves the running statistics as torch's own batch norm does."""
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased_variance, self.momentum)
        self.num_batches_tracked.add_(1)


class GroupNorm(nn.GroupNorm):
    """Group norm of frames (B, T, D), one group: the statistics of an utterance's valid frames over all channels."""

    def __init__(self, width: int):
        super().__init__(1, width)

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return super().forward(h.transpose(1, 2)).transpose(1, 2)
        h = h.float()
        padded = ~mask.unsqueeze(-1)  # (B, T, 1)
        count = mask.sum(dim=1).mul(h.shape[-1]).view(-1, 1, 1)
        centred = h - h.masked_fill(padded, 0.0).sum(dim=(1, 2), keepdim=True) / count
        variance = centred.masked_fill(padded, 0.0).square().sum(dim=(1, 2), keepdim=True) / count  # (B, 1, 1)
        return centred * (variance + self.eps).rsqrt() * self.weight + self.bias


CONV_NORMS = {"batch": BatchNorm, "group": GroupNorm}
