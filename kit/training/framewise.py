"""Where in a recording a class is heard: a model's frame-wise probabilities over the whole of it."""

import numpy as np
import torch
from torch import nn

from kit.data.store import Store


@torch.inference_mode()
def framewise_probability(model: nn.Module, store: Store, row: int) -> np.ndarray:
    """Probabilities (T', C) of the backbone's frames, which share a recording of a store of log-mels evenly.

    The model is in eval mode and has head "sed". Raises ValueError for another head, or a store of waves.
    """
    if store.kind != "mel":
        raise ValueError(f'store must be of kind "mel" to classify frames, got {store.kind!r}')
    start, size = (int(store.index[name].iat[row]) for name in ("start", "frames"))
    mel = store.features[start : start + size].float()[None].to(next(model.parameters()).device)
    return model.framewise(mel)[0].float().sigmoid().cpu().numpy()


def peak_boxes(probability: np.ndarray, numbers: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """First frame of the log-mel and the one after the last, of the frame where each class of `numbers` is likeliest.

    probability (T', C) over a recording of `size` frames.
    """
    peak = probability[:, numbers].argmax(0)
    edges = np.linspace(0, size, len(probability) + 1).round().astype(np.int64)
    return edges[peak], edges[peak + 1]
