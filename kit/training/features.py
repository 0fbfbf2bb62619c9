"""What an experiment's features make of a store's rows."""

from typing import Any

import torch

from kit.data.mels import Mels
from kit.data.store import Store


def mels_of(experiment: Any, store: Store, device: str | torch.device, views: bool = True) -> Mels:
    """What makes a store's rows the log-mels of an experiment; without `views` the speech view alone."""
    order = experiment.views.order if views and experiment.views is not None else 0
    front = experiment.features.make() if getattr(experiment.features, "front", None) is not None else None
    return Mels(store, lpc_order=order, front=front, device=device)
