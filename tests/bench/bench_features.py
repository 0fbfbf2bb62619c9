"""SpecAugment of a batch, and log-mels of clips: whole batches against an item, or a clip, at a time."""

import librosa
import numpy as np
import pytest
import torch

from kit.data.augment import SpecAugment
from kit.data.features import LogMel, MelFilterbank
from tests.bench.batch_source import mask_in_place
from tests.bench.turns import Bound

MEL = torch.randn(32, 192, 40, generator=torch.Generator().manual_seed(0))  # (B, T, F)
WAVE = 0.1 * torch.randn(32, 16000, generator=torch.Generator().manual_seed(0))  # clips of 1 s
SPEC = LogMel()


@pytest.mark.benchmark(group="SpecAugment, 32 × 192 frames")
def test_masks(turns):
    augment, frames = SpecAugment(), torch.full((32,), 192)
    generator = torch.Generator().manual_seed(0)

    def kit():
        return augment.apply(MEL.clone(), augment.draw(frames, 40, generator), in_place=True)

    bound = Bound(
        "a copy, and each item's mean, which is what the masks are filled with; then the draws",
        lambda: MEL.clone().mean(1),
    )
    turns(kit, bound, source=lambda: [mask_in_place(item) for item in MEL.clone()], turns=10, rounds=30)


@pytest.mark.benchmark(group="log-mels of 32 clips of 1 s")
def test_logmel(turns):
    """As notebooks of the rainforest contest do, a clip at a time, with the kit's window, hop and filters."""
    settings = {"n_fft": SPEC.n_fft, "win_length": SPEC.window_samples, "hop_length": SPEC.hop_samples, "htk": True}
    settings |= {"n_mels": SPEC.n_mels, "fmin": SPEC.fmin_hz, "fmax": SPEC.fmax_hz, "center": False, "norm": None}
    log_mel, frames = MelFilterbank(SPEC), WAVE.unfold(1, SPEC.window_samples, SPEC.hop_samples).contiguous()

    def every_clip():
        return [
            np.log(librosa.feature.melspectrogram(y=wave, sr=SPEC.sample_rate_hz, **settings) + SPEC.floor)
            for wave in WAVE.numpy()
        ]

    bound = Bound("the Fourier transforms", lambda: torch.fft.rfft(frames, SPEC.n_fft))
    turns(lambda: log_mel(WAVE), bound, librosa=every_clip, turns=10, rounds=5)
