"""Where in a recording a class is heard: a model's frame-wise probabilities over the whole of it."""

import numpy as np
import torch
from torch import nn

from kit.data.store import Store


@torch.inference_mode()
def framewise_probability(model: nn.Module, store: Store, row: int) -> np.ndarray:
    """Probabilities (T', C) of the backbone's frames of a recording of a store of log-mels; `frame_edges` tells when.

    The model is in eval mode and has head "sed". Raises ValueError for another head, or a store of waves.
    """
    if store.kind != "mel":
        raise ValueError(f'store must be of kind "mel" to classify frames, got {store.kind!r}')
    mel = store.recording(row)[None].to(next(model.parameters()).device)
    return model.framewise(mel)[0].float().sigmoid().cpu().numpy()


def frame_edges(count: int, size: int) -> np.ndarray:
    """Where each of a backbone's frames begins, and the last one's end, (count + 1,) in frames of the log-mel.

    Of `count` >= 1 frames over a recording of `size`. A timm net halves time and again, and fills up what is short of a
    whole frame, or else leaves it out: so its frame is a power of two long, and the last may be cut. Where no power of
    two gives `count`, the frames share the recording evenly.
    """
    long, exponent = size / count, np.log2(size / count)
    if count > 1 and 2 ** np.ceil(exponent) < size / (count - 1):  # filled up
        long = 2 ** np.ceil(exponent)
    elif count > 1 and 2 ** np.floor(exponent) > size / (count + 1):  # left out
        long = 2 ** np.floor(exponent)
    return np.minimum(np.arange(count + 1) * long, size).round().astype(np.int64)


def peak_boxes(probability: np.ndarray, numbers: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """First frame of the log-mel and the one after the last, of the frame where each class of `numbers` is likeliest.

    probability (T', C) over a recording of `size` frames.
    """
    peak = probability[:, numbers].argmax(0)
    edges = frame_edges(len(probability), size)
    return edges[peak], edges[peak + 1]
