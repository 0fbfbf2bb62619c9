"""Predictions and embeddings of a model over whole utterances, evenly spaced crops, or overlapping windows."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from kit.data.batches import length_batches
from kit.data.dataset import Batch, SpectrogramDataset, batch_loader
from kit.data.store import Store
from kit.data.windows import pool_windows
from kit.training.config import Config
from kit.training.faults import memory_told

# Padded frames in one batch. On a CPU what a layer gives of so many stays in its caches: 1.5 times as fast as 32,768.
EVAL_FRAMES, EVAL_FRAMES_ON_CPU = 32_768, 4096


def predict(
    model: nn.Module, store: Store, rows: Sequence[int], config: Config, accelerator: Accelerator
) -> np.ndarray:
    """Class probabilities (N, C) float32, in the order of `rows`, shared out over the processes there are.

    Of a config with n_base classes, the others have probability 0. Of rows without frames all is NaN.
    """
    multi = store.task == "multi"

    def probability(batch: Batch) -> Tensor:
        logits = model(batch.mel, batch.mask)[0].float()
        logits[:, config.n_base or logits.shape[1] :] = -torch.inf
        return logits.sigmoid() if multi else logits.softmax(1)

    return _served(probability, model, store, rows, config, accelerator)


def embed(model: nn.Module, store: Store, rows: Sequence[int], config: Config, accelerator: Accelerator) -> np.ndarray:
    """Embeddings z (N, D) float32 in eval mode, in the order of `rows`; with mix "lpc" of the three views (N, 3, D)."""
    lpc_order = config.lpc_order if config.mix == "lpc" else 0

    def embedding(batch: Batch) -> Tensor:
        z = model.embed(batch.mel, batch.mask).float()
        return z.unflatten(0, (3, -1)).transpose(0, 1) if lpc_order else z

    return _served(embedding, model, store, rows, config, accelerator, lpc_order)


@torch.inference_mode()
def _served(
    function: Callable[[Batch], Tensor], model, store, rows, config: Config, accelerator, lpc_order: int = 0
) -> np.ndarray:
    """What function gives of each utterance (N, ...), the mean over its crops, or what config.eval_windows says."""
    windows = config.eval_windows != "none"
    dataset = SpectrogramDataset(
        store, rows, config.segment_frames, train=False, crops=config.eval_crops, lpc_order=lpc_order,
        overlap=config.eval_overlap if windows else None, device=accelerator.device,
    )  # fmt: skip
    sizes = store.index["frames"].to_numpy()[np.asarray(rows)]
    if config.eval_crops:
        sizes = np.full_like(sizes, dataset.segment * config.eval_crops)
    hop = 1 if store.kind == "mel" else store.mel.hop_samples
    usable = np.flatnonzero(sizes > 0)
    if windows:
        step = dataset.segment - config.eval_overlap * hop
        sizes = dataset.segment * (1 + np.ceil((sizes - dataset.segment).clip(min=0) / step).astype(int))
    most = config.eval_frames or (EVAL_FRAMES_ON_CPU if accelerator.device.type == "cpu" else EVAL_FRAMES)
    batches = length_batches(sizes[usable], most * hop)
    batches = [usable[batch].tolist() for batch in batches][accelerator.process_index :: accelerator.num_processes]
    was_training, found = model.training, []
    model.eval()
    with memory_told("eval_frames", most):
        for batch in batch_loader(dataset, batches):
            with accelerator.autocast():
                found.append((batch.row.numpy(), function(batch).cpu().numpy()))
    model.train(was_training)
    return _in_order(gather_object(found), np.asarray(rows), config)


def _in_order(found: list[tuple[np.ndarray, np.ndarray]], rows: np.ndarray, config: Config) -> np.ndarray:
    row = np.concatenate([row for row, _ in found])
    value = np.concatenate([value for _, value in found])  # (N · crops, ...)
    if config.eval_windows != "none":
        first = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
        row, value = row[first], pool_windows(value, first, config.eval_windows, config.eval_top)
    else:
        crops = max(1, config.eval_crops)
        row = row.reshape(-1, crops)[:, 0]
        value = value.reshape(len(row), crops, *value.shape[1:]).mean(1)
    place = pd.Series(np.arange(len(row)), index=row).reindex(rows, fill_value=-1).to_numpy()
    ordered = value[place].astype(np.float32)
    ordered[place < 0] = np.nan
    return ordered


def probability_table(store: Store, rows: Sequence[int], probability: np.ndarray, **columns) -> pd.DataFrame:
    """Columns id, whatever `columns` adds, and one of probability a class, named by it."""
    facts = pd.DataFrame({"id": store.index["id"].to_numpy()[np.asarray(rows)], **columns})
    return pd.concat([facts, pd.DataFrame(probability, columns=list(store.classes))], axis=1)
