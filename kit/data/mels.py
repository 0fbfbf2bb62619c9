"""What is read from a store, as log-mels: padded with each item's own mean, with the mask of its valid frames."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kit.data.augment import mean_frame
from kit.data.lpc import LPCViews, mel_lpc_views
from kit.data.rows import INT16
from kit.data.store import Store


class Mels:
    """mels(raw (B, L, width), length (B,)) -> mel (V·B, T, F) and each item's valid frames (B,).

    V is 1, or with lpc_order 3: the aligned views of kit.data.lpc, of waves as they were augmented, or along the mel
    axis where the store holds log-mels. front: of a store of waves, what makes (B, N) into (B, T, F) (None: log-mels).
    Raises ValueError for an lpc_order out of range.
    """

    def __init__(self, store: Store, *, lpc_order: int = 0, front: Any = None, device: str | torch.device = "cpu"):
        _check_lpc_order(lpc_order, store)
        self.lpc_order, self.n_views = lpc_order, 3 if lpc_order else 1
        self.spec, self.to_mel = store.mel, None
        if store.kind == "wave":
            layer = LPCViews(store.mel, lpc_order) if lpc_order else front or store.mel.make()  # pyrefly: ignore[bad-argument-type]
            self.to_mel = layer.to(device)

    def units(self, frames: int) -> int:
        """The store's units, frames or samples, that so many frames span."""
        return frames if self.to_mel is None else self.spec.n_samples(frames)

    @property
    def hop(self) -> int:
        """The store's units from a frame to the next."""
        return 1 if self.to_mel is None else self.spec.hop_samples

    def __call__(
        self, raw: Tensor, length: np.ndarray, change: Callable[[Tensor], Tensor] | None = None, plan: Any = None
    ) -> tuple[Tensor, np.ndarray]:
        """change(wave (B, N)) is what augments waves; a plan whose place is "wave" mixes them after it."""
        if self.to_mel is None:
            mel = mel_lpc_views(raw, self.lpc_order) if self.lpc_order else raw
        else:
            wave, length = _waves(raw, length, change, plan)
            mel = self.to_mel(wave)
            length = self._valid(length, wave.shape[1], mel.shape[-2])
        return mel.transpose(0, 1).flatten(0, 1) if self.lpc_order else mel, length  # (B, 3, T, F) -> (3B, T, F)

    def _valid(self, length: np.ndarray, n_samples: int, n_frames: int) -> np.ndarray:
        """Valid frames (B,) of waves of `length` samples; a front end of another rate has as large a share valid."""
        valid = 1 + (length - self.spec.window_samples) // self.spec.hop_samples
        usual = self.spec.n_frames(n_samples)
        return valid if n_frames == usual else -(-valid * n_frames // usual)


def _waves(raw: Tensor, length: np.ndarray, change, plan) -> tuple[Tensor, np.ndarray]:
    """Waves (B, N) as they are augmented and mixed, 0 after their ends; and their lengths (B,)."""
    wave = raw[..., 0] / INT16
    sounds = torch.from_numpy(np.arange(wave.shape[1]) < length[:, None]).to(wave.device, non_blocking=True)
    wave = torch.where(sounds, wave, 0.0)
    if change:
        wave = change(wave)
    if plan and plan.place == "wave":
        wave = plan.to(wave.device).apply(torch.where(sounds, wave, 0.0))
        length = plan.lengths(length)
    return wave, length


def pad_with_mean(mel: Tensor, length: np.ndarray) -> tuple[Tensor, Tensor | None]:
    """Each item's own mean after its end, in place, and the mask (B, T), None where every item is whole.

    So the mean of all an item's frames is that of its valid ones.
    """
    short = np.flatnonzero(length < mel.shape[1])
    if not len(short):
        return mel, None
    mask = torch.from_numpy(np.arange(mel.shape[1]) < length[:, None]).to(mel.device, non_blocking=True)
    if mel.device.type == "cpu":  # the few short items one by one: there a call costs more than its work
        items = mel.numpy()
        for item in short:
            items[item, length[item] :] = 0
            items[item, length[item] :] = mel[item].sum(0).numpy() / np.float32(length[item])
        return mel, mask
    short = torch.from_numpy(short).to(mel.device, non_blocking=True)
    some, valid = mel.index_select(0, short), mask.index_select(0, short)
    return mel.index_copy_(0, short, torch.where(valid[:, :, None], some, mean_frame(some, valid))), mask


def _check_lpc_order(order: int, store: Store) -> None:
    limit, what = (store.n_mels, "mel bins") if store.kind == "mel" else (store.mel.window_samples, "samples a window")
    if not 0 <= order < limit:
        raise ValueError(f"lpc_order must be in [0, {limit}), {limit} {what}, got {order}")
