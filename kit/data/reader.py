"""Stretches of a store's features on a device: from a copy that lies there, or from the store's file."""

import numpy as np
import torch
from torch import Tensor

from kit.data.store import Store

RESIDENT_SHARE = 0.5  # of the free device memory that a store may take


class FeatureReader:
    """read(start (B,), length (B,), longest) -> values (B, longest, width); past an item's end, anything.

    features: the whole store on the device, one copy for all who read it there; None where it does not fit.
    """

    def __init__(self, store: Store, device: torch.device):
        self.store, self.device = store, device
        self.features = _resident(store, device)

    def read(self, start: np.ndarray, length: np.ndarray, longest: int) -> Tensor:
        if self.features is None:
            mel = self.store.empty(len(start), longest, pin_memory=self.device.type == "cuda")
            self.store.file.read(start, length, mel.numpy())
            return self.store.values(mel.to(self.device, non_blocking=True))
        total, width = self.features.shape
        if int(start.max()) + longest <= total:  # every stretch that there is, as one view, and the rows of it we want
            stretches = self.features.as_strided((total - longest + 1, longest, width), (width, width, 1))
            mel = stretches.index_select(0, torch.from_numpy(start).to(self.device, non_blocking=True))
            return self.store.values(mel)
        index = np.minimum(start[:, None] + np.arange(longest), total - 1)  # (B, L)
        index = torch.from_numpy(index).to(self.device, non_blocking=True)
        return self.store.values(self.features.index_select(0, index.flatten()).view(*index.shape, width))


def _resident(store: Store, device: torch.device) -> Tensor | None:
    """The store's features on the device where they fit there, one copy for all; else None: its file is read from."""
    if store.features is None:
        return None
    if device not in store.resident:
        if store.file is not None and store.features.nbytes >= RESIDENT_SHARE * _free_bytes(device):
            return None
        store.resident[device] = store.features.to(device)
    return store.resident[device]


def _free_bytes(device: torch.device) -> int:
    """Memory of a device for a store; none on a CPU, where its file is as near."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
