"""Whole batches of crops from the packed store, on the device: gather, pad, mask, SpecAugment."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kit.data.audio import LogMel
from kit.data.augment import SpecAugment, mean_frame
from kit.data.batches import generator_for
from kit.data.boxes import BoxCrops
from kit.data.lpc import LPCViews, mel_lpc_views
from kit.data.store import INT16, Store
from kit.data.windows import window_starts

RESIDENT_SHARE = 0.5  # of the free device memory that a store may take
MIX_DRAWS = 0x6D6978  # "mix": keeps a plan's draws apart from a batch's others, which are the same without it


class Batch(NamedTuple):
    mel: Tensor  # (B, T, F); with lpc_order (3B, T, F), the speech views, then the formant's, then the residual's
    mask: Tensor | None  # (B, T), or (3B, T), True = valid frame; None where every frame is
    target: Tensor  # (B,) class numbers, -1 where unknown; multi-label (B, C) of 1, 0, and NaN where unknown
    row: Tensor  # (B,) rows of the store's index, on the CPU
    plan: object | None = None  # a MixPlan of kit.data.mixup, on the device
    weight: Tensor | None = None  # (B, C), of a multi-label target's positive part

    def to(self, device: str | torch.device) -> "Batch":
        """The same on a device; row stays where it is."""

        def there(value: Tensor | None) -> Tensor | None:
            return value if value is None else value.to(device, non_blocking=True)

        mel, mask, target, row, plan, weight = self
        return Batch(there(mel), there(mask), there(target), row, plan and plan.to(device), there(weight))


class SpectrogramDataset(Dataset):
    """Utterances of a store, served by the batch.

    train=True: one random crop of `segment_frames` an utterance, drawn from (seed, epoch, the batch's first row), and
    SpecAugment. train=False: whole utterances, padded to the longest of the batch, or with `crops` that many crops
    spaced evenly, an utterance's crops side by side. Shorter utterances are padded with their own mean and masked.
    `wave_augment(wave, seed) -> wave` sees each training wave, (N,) float32, of a store of waves.
    `draw_mix(items, epoch, generator) -> plan | None` plans a training batch's mixup (epoch from 1). Waves are mixed
    here, before they are log-mels, where the plan's place is "wave"; other places are the net's.
    With `boxes`, training crops and what is known of them are kit.data.boxes', and the items after those of `rows` are
    `pseudo_rows`', around their pseudo labels. `overlap` (frames) says to serve windows of `segment_frames` over whole
    recordings, a recording's side by side.
    With `lpc_order` each crop is served as the three aligned views of kit.data.lpc, masked alike: of the waves as they
    were augmented, or along the mel axis where the store holds log-mels.
    """

    def __init__(
        self,
        store: Store,
        rows: Sequence[int],
        segment_frames: int,
        *,
        train: bool,
        seed: int = 0,
        augment: SpecAugment | None = None,
        wave_augment: Callable[[np.ndarray, int], np.ndarray] | None = None,
        draw_mix: Callable[[int, int, torch.Generator], object | None] | None = None,
        crops: int = 0,
        lpc_order: int = 0,
        boxes: BoxCrops | None = None,
        pseudo_rows: Sequence[int] = (),
        overlap: int | None = None,
        device: str | torch.device = "cpu",
    ):
        if segment_frames < 1:
            raise ValueError(f"segment_frames must be at least 1, got {segment_frames}")
        if crops < 0 or (train and crops):
            raise ValueError(f"crops must be at least 0, and 0 in training, got {crops}")
        if wave_augment and store.kind != "wave":
            raise ValueError('wave_augment needs a store of kind "wave", got "mel"')
        _check_lpc_order(lpc_order, store)
        self.store, self.segment_frames, self.train, self.seed, self.crops = store, segment_frames, train, seed, crops
        self.augment, self.wave_augment, self.draw_mix = augment, wave_augment, draw_mix
        self.device = torch.device(device)
        # A batch's few numbers are NumPy's, whose calls on 32 of them cost a tenth of torch's.
        self.rows = np.concatenate([rows, pseudo_rows]).astype(np.int64)
        self.boxes, self.overlap, self.n_real = boxes, overlap, len(rows)
        self.start = store.index["start"].to_numpy(np.int64, copy=True)
        self.size = store.index["frames"].to_numpy(np.int64, copy=True)  # frames, or samples
        self.target = store.index["target"].to_numpy(np.int64, copy=True)
        self.features = _resident(store, self.device)
        self.lpc_order, self.n_views, self.to_mel = lpc_order, 3 if lpc_order else 1, None
        if store.kind == "wave":
            self.to_mel = (LPCViews(store.mel, lpc_order) if lpc_order else LogMel(store.mel)).to(self.device)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        indices = np.asarray(indices)
        row = self.rows[indices]
        generator = generator_for(self.seed, self.epoch, int(row[0])) if self.train else None
        is_pseudo = indices >= self.n_real
        start, length, times = self._crop(row, is_pseudo, generator)  # (B,) each
        row = row.repeat(times)
        plan = self._plan(row)
        mel, mask, frames = self._gather(start, length, row, plan)
        if self.train and self.augment:
            masks = self.augment.draw(torch.from_numpy(frames), mel.shape[2], generator)
            masks = masks.repeated(self.n_views) if self.n_views > 1 else masks
            # Padding is an item's own mean, so that the mean of all its frames is that of the valid ones.
            mel = self.augment.apply(mel, masks.to(self.device), in_place=True)
        target, weight = torch.from_numpy(self.target[row]), None
        if self.boxes:
            target, weight = self.boxes.serve(row, is_pseudo, start - self.start[row], length, self.epoch)
            weight = weight.to(self.device, non_blocking=True)
        target = target.to(self.device, non_blocking=True)
        return Batch(mel, mask, target, torch.from_numpy(row), plan and plan.to(self.device), weight)

    def _plan(self, row: np.ndarray):
        if not (self.train and self.draw_mix):
            return None
        generator = generator_for(self.seed, self.epoch, int(row[0]), MIX_DRAWS)
        return self.draw_mix(len(row), self.epoch + 1, generator)

    @property
    def segment(self) -> int:
        """The crop's length in the store's unit: frames, or the samples that give as many frames."""
        if self.to_mel is None:
            return self.segment_frames
        mel = self.store.mel
        return (self.segment_frames - 1) * mel.hop_samples + mel.window_samples

    def _crop(self, row: np.ndarray, is_pseudo: np.ndarray, generator: torch.Generator | None):
        """Start and length of each crop (B,), and how many crops an item has: a number, or one an item."""
        start, size = self.start[row], self.size[row]
        length = np.minimum(size, self.segment)
        if self.train and self.boxes:
            return start + self.boxes.draw_starts(row, is_pseudo, size, self.segment, generator), length, 1
        if self.train:
            where = torch.rand(len(row), generator=generator).numpy()
            return start + (where * (size - length + 1).astype(np.float32)).astype(np.int64), length, 1
        if self.overlap is not None:
            hop = 1 if self.to_mel is None else self.store.mel.hop_samples
            spread = [window_starts(n, self.segment, self.overlap * hop) for n in size.tolist()]
            times = [len(starts) for starts in spread]
            return start.repeat(times) + np.concatenate(spread), length.repeat(times), times
        if not self.crops:
            return start, size, 1
        share = np.linspace(0, 1, self.crops) if self.crops > 1 else np.array([0.5])
        spread = np.rint(share * (size - length)[:, None]).astype(np.int64)  # (B, crops)
        return (start[:, None] + spread).ravel(), length.repeat(self.crops), self.crops

    def _gather(self, start: np.ndarray, length: np.ndarray, row: np.ndarray, plan):
        """Padded views (V·B, T, F) with V 1 or 3, their mask or None, and each item's valid frames (B,)."""
        whole = not self.train and not self.crops and self.overlap is None
        whole_length = int(length.max()) if whole else self.segment
        mel = self._pick(start, length, whole_length)  # (B, L, F) or (B, L, 1), anything after an item's end
        if self.to_mel:
            mel, length = self._waves_to_mel(mel[..., 0] / INT16, length, row, plan)
        elif self.lpc_order:
            mel = mel_lpc_views(mel, self.lpc_order)
        if self.lpc_order:
            mel = mel.transpose(0, 1).flatten(0, 1)  # (B, 3, T, F) -> (3B, T, F)
        return *self._pad(mel, np.tile(length, self.n_views) if self.lpc_order else length), length

    def _pick(self, start: np.ndarray, length: np.ndarray, longest: int) -> Tensor:
        """A stretch of the features from each start (B,), (B, longest, F) in single precision, on the device."""
        if self.features is None:
            dtype, on_gpu = self.store.features.dtype, self.device.type == "cuda"
            mel = torch.empty(len(start), longest, self.store.features.shape[1], dtype=dtype, pin_memory=on_gpu)
            self.store.file.read(start, length, mel.numpy())
            return mel.to(self.device, non_blocking=True).float()
        total, width = self.features.shape
        if int(start.max()) + longest <= total:  # every stretch that there is, as one view, and the rows of it we want
            stretches = self.features.as_strided((total - longest + 1, longest, width), (width, width, 1))
            return stretches.index_select(0, torch.from_numpy(start).to(self.device, non_blocking=True)).float()
        place = np.minimum(start[:, None] + np.arange(longest), total - 1)  # (B, L)
        place = torch.from_numpy(place).to(self.device, non_blocking=True)
        return self.features.index_select(0, place.flatten()).view(*place.shape, width).float()

    def _pad(self, mel: Tensor, length: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Each item's own mean after its end, in place, and the mask (B, T), None where every item is whole."""
        short = np.flatnonzero(length < mel.shape[1])
        if not len(short):
            return mel, None
        mask = torch.from_numpy(np.arange(mel.shape[1]) < length[:, None]).to(self.device, non_blocking=True)
        if mel.device.type == "cpu":  # the few short items one by one: there a call costs more than its work
            items = mel.numpy()
            for item in short:
                items[item, length[item] :] = 0
                items[item, length[item] :] = mel[item].sum(0).numpy() / np.float32(length[item])
            return mel, mask
        short = torch.from_numpy(short).to(self.device, non_blocking=True)
        some, valid = mel.index_select(0, short), mask.index_select(0, short)
        return mel.index_copy_(0, short, torch.where(valid[:, :, None], some, mean_frame(some, valid))), mask

    def _waves_to_mel(self, wave: Tensor, length: np.ndarray, row: np.ndarray, plan) -> tuple[Tensor, np.ndarray]:
        """Log-mels (B, T, F), or views (B, 3, T, F), of waves (B, N) as they are augmented; their valid frames (B,)."""
        sounds = torch.from_numpy(np.arange(wave.shape[1]) < length[:, None]).to(self.device, non_blocking=True)
        wave = torch.where(sounds, wave, 0.0)
        if self.wave_augment and self.train:
            seeds = [np.random.SeedSequence((self.seed, self.epoch, int(r))).generate_state(1)[0] for r in row]
            items = zip(wave.cpu().numpy(), seeds, strict=True)
            changed = np.stack([self.wave_augment(item, int(seed)) for item, seed in items])
            wave = torch.from_numpy(changed).to(self.device)
        if plan and plan.place == "wave":  # a mixture sounds as long as its longer half
            wave = plan.to(self.device).apply(torch.where(sounds, wave, 0.0))
            length = np.maximum(length, length[plan.perm.numpy()])
        spec = self.store.mel
        return self.to_mel(wave), 1 + (length - spec.window_samples) // spec.hop_samples


def _check_lpc_order(order: int, store: Store) -> None:
    limit, what = (store.n_mels, "mel bins") if store.kind == "mel" else (store.mel.window_samples, "samples a window")
    if not 0 <= order < limit:
        raise ValueError(f"lpc_order must be in [0, {limit}), {limit} {what}, got {order}")


def _resident(store: Store, device: torch.device) -> Tensor | None:
    """The store's features on the device where they fit there, one copy for all; else None: its file is read from."""
    if device not in store.resident:
        if store.file is not None and store.features.nbytes >= RESIDENT_SHARE * _free_bytes(device):
            return None
        store.resident[device] = store.features.to(device)
    return store.resident[device]


def _free_bytes(device: torch.device) -> int:
    """Memory of a device for a store; none on a CPU, where its file is as near."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def batch_loader(dataset: SpectrogramDataset, batches, workers: int = 0) -> DataLoader:
    """A plain DataLoader that hands on what `__getitems__` serves; that of workers lies ready for a GPU to fetch."""
    pinned = workers > 0 and torch.cuda.is_available()
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, collate_fn=_as_served, pin_memory=pinned)


def _as_served(batch: Batch) -> Batch:
    return batch
