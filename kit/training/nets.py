"""The net of an experiment."""

from typing import Any

from torch import nn

from kit.models.net import make_net


def build_net(experiment: Any, n_classes: int, n_mels: int) -> nn.Module:
    """The net for log-mels (B, T, n_mels), or rows of pixels, and n_classes; with the heads of the views."""
    return make_net(
        experiment.net, n_mels, n_classes, experiment.crop_frames,
        image_channels=getattr(experiment.features, "channels", 0),
        views=experiment.views.heads() if experiment.views else {},
    )  # fmt: skip
