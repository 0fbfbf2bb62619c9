"""The training batches of a config: crops or boxes, augmentation, mixup plans, and what share of a batch is real."""

from collections.abc import Sequence
from functools import partial

from accelerate import Accelerator
from torch.utils.data import DataLoader

from kit.data.augment import SpecAugment
from kit.data.batches import train_batches
from kit.data.boxes import BoxCrops
from kit.data.dataset import SpectrogramDataset, batch_loader
from kit.data.image_augment import ImageAugment
from kit.data.mixup import Mixup
from kit.data.store import Store
from kit.data.wave_augment import WaveAugment
from kit.training.config import Config
from kit.training.multilabel import positive_weights
from kit.training.pseudo import pseudo_rows


def train_loader(
    config: Config,
    store: Store,
    rows: Sequence[int],
    held_out: Sequence[int],
    mixup: Mixup | None,
    accelerator: Accelerator,
) -> DataLoader:
    """Batches of `rows`, and of their pseudo labels where config.pseudo names some; never of `held_out`.

    They are on the accelerator's device, or of config.workers on the CPU.
    """
    pseudo = pseudo_rows(config.pseudo, store, rows, held_out) if config.pseudo else None
    boxes = BoxCrops(store, pseudo, partial(positive_weights, config)) if store.boxes is not None else None
    device = "cpu" if config.workers else accelerator.device  # a forked process can't use the GPU of its parent
    dataset = SpectrogramDataset(
        store, rows, config.segment_frames, train=True, seed=config.seed, augment=_augment(config),
        wave_augment=_wave_augment(config), draw_mix=mixup and mixup.draw,
        lpc_order=config.lpc_order if config.mix == "lpc" else 0,
        boxes=boxes, pseudo_rows=() if pseudo is None else pseudo["row"].unique().tolist(), device=device,
    )  # fmt: skip
    batches = train_batches(
        dataset.n_real, len(dataset) - dataset.n_real, config.batch_size, seed=config.seed, steps=config.epoch_steps,
        rank=accelerator.process_index, world=accelerator.num_processes,
    )  # fmt: skip
    return batch_loader(dataset, batches, config.workers)


def _augment(config: Config) -> SpecAugment | ImageAugment:
    if config.image_channels:
        return ImageAugment(config.image_channels, config.image_crop_pixels, config.image_flip)
    return SpecAugment(
        config.time_masks, config.time_mask_frames, config.freq_masks, config.freq_mask_bins, config.mask_fill
    )


def _wave_augment(config: Config) -> WaveAugment | None:
    if not config.wave_probability:
        return None
    return WaveAugment(
        config.mel.sample_rate_hz, snr_db=config.wave_snr_db, gain_db=config.wave_gain_db,
        pitch_semitones=config.wave_pitch_semitones, stretch_rate=config.wave_stretch_rate,
        background_folder=config.wave_background or None, probability=config.wave_probability,
    )  # fmt: skip
