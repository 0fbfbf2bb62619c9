"""Predictions of a model over whole utterances, or over evenly spaced crops."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from kit.data.dataset import SpectrogramDataset, batch_loader, length_batches
from kit.data.store import Store
from kit.training.config import Config


@torch.inference_mode()
def predict(
    model: nn.Module, store: Store, rows: Sequence[int], config: Config, accelerator: Accelerator
) -> np.ndarray:
    """Class probabilities (N, C) float32, in the order of `rows`, shared out over the processes there are."""
    dataset = SpectrogramDataset(
        store, rows, config.segment_frames, train=False, crops=config.eval_crops, device=accelerator.device
    )
    sizes = store.index["frames"].to_numpy()[np.asarray(rows)]
    if config.eval_crops:
        sizes = np.full_like(sizes, dataset.segment * config.eval_crops)
    hop = 1 if store.kind == "mel" else store.mel.hop_samples
    batches = length_batches(sizes, config.eval_frames * hop)[accelerator.process_index :: accelerator.num_processes]
    was_training, found = model.training, []
    model.eval()
    for batch in batch_loader(dataset, batches):
        with accelerator.autocast():
            logits, _ = model(batch.mel, batch.mask)
        found.append((batch.row.numpy(), logits.float().softmax(1).cpu().numpy()))
    model.train(was_training)
    return _in_order(gather_object(found), np.asarray(rows), max(1, config.eval_crops))


def _in_order(found: list[tuple[np.ndarray, np.ndarray]], rows: np.ndarray, crops: int) -> np.ndarray:
    row = np.concatenate([row for row, _ in found]).reshape(-1, crops)[:, 0]
    probability = np.concatenate([probability for _, probability in found])  # (N · crops, C)
    probability = probability.reshape(len(row), crops, -1).mean(1)
    place = pd.Series(np.arange(len(row)), index=row)
    return probability[place[rows].to_numpy()].astype(np.float32)


def probability_table(store: Store, rows: Sequence[int], probability: np.ndarray, **columns) -> pd.DataFrame:
    """Columns id, whatever `columns` adds, and one of probability a class, named by it."""
    facts = pd.DataFrame({"id": store.index["id"].to_numpy()[np.asarray(rows)], **columns})
    return pd.concat([facts, pd.DataFrame(probability, columns=list(store.classes))], axis=1)
