"""Random distortions of a waveform, by audiomentations, made a pure function of the wave and a seed."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data.features import has_waves
from kit.parts import ordered, part, part_name, share

if TYPE_CHECKING:
    from kit.data.nocall import NoCallNoise
    from kit.data.store import Store

LIMITS = {
    "snr_db": (-60.0, 120.0),
    "gain_db": (-120.0, 120.0),
    "pitch_semitones": (-24.0, 24.0),
    "stretch_rate": (0.5, 10.0),  # below 0.5 audiomentations' stretcher adds random phases of its own, unseeded
    "background_snr_db": (-60.0, 120.0),
}


@part
class WaveAugment:
    """Time stretch, pitch shift, background noise, noise of rows without a call, white noise, gain: in this order, each
    with `probability`.

    A range of None leaves its step out; within a range the draw is uniform. A stretched wave is cut or padded with
    zeros to its old length. `background` is a folder that is searched for audio files, with its sub-folders; empty for
    none. It is read when training begins, not when the part is made; a run knows it by its files' names and sizes.
    nocall: noise also from the training rows that are known to have no class, never from those that a fold holds out;
    at background_snr_db, too.
    """

    probability: float = 0.5
    snr_db: tuple | None = (10.0, 40.0)
    gain_db: tuple | None = (-6.0, 6.0)
    pitch_semitones: tuple | None = (-2.0, 2.0)
    stretch_rate: tuple | None = (0.9, 1.1)
    background: str = ""
    background_snr_db: tuple = (3.0, 30.0)
    nocall: bool = False
    of_wave = True
    reads = ("background",)

    def check(self):
        share(self, "probability")
        for name, (low, high) in LIMITS.items():
            if getattr(self, name) is None:
                continue
            ordered(self, name)
            if not low <= getattr(self, name)[0] <= getattr(self, name)[1] <= high:
                raise ValueError(f"{name} must lie in {low:g} to {high:g}, got {getattr(self, name)!r}")

    def check_with(self, experiment: Any):
        if not has_waves(experiment.features):
            raise ValueError(f"features must be Wave with WaveAugment, got {part_name(experiment.features)}")
        if self.nocall and getattr(experiment.loss, "task", "multi") != "multi":
            raise ValueError(
                f"loss must be for several labels a row, of which there may be none, with nocall, got "
                f"{part_name(experiment.loss)}"
            )

    def make(self, features: Any) -> "WaveSteps":
        """Raises ValueError for a background that is no folder of audio, ImportError without audiomentations."""
        return WaveSteps(self, features.mel.sample_rate_hz)


class WaveSteps:
    """WaveAugment at work. noise: what adds rows without a call, which `with_rows` knows."""

    def __init__(self, augment: WaveAugment, sample_rate_hz: int, noise: "NoCallNoise | None" = None):
        self.augment, self.sample_rate_hz, self.noise = augment, sample_rate_hz, noise
        self.steps = _build_steps(augment, noise)

    def with_rows(self, store: "Store", rows: np.ndarray | Sequence[int]) -> "WaveSteps":
        """The same for a fold that trains on these rows."""
        if not self.augment.nocall:
            return self
        from kit.data.nocall import NoCallNoise  # here, for few ask for it, and packing comes with it

        noise = NoCallNoise(store, rows, self.augment.background_snr_db, self.augment.probability)
        return WaveSteps(self.augment, self.sample_rate_hz, noise)

    def __call__(self, wave: np.ndarray, seed: int | Sequence[int]) -> np.ndarray:
        """wave (N,) float32 -> another (N,) float32; the same for the same seed, such as (seed, epoch, row).

        Not for several threads at once: audiomentations draws from the global generators, which are lent to it
        and then put back.
        """
        if not isinstance(wave, np.ndarray) or wave.ndim != 1 or wave.dtype != np.float32 or not len(wave):
            got = f"{wave.dtype} {wave.shape}" if isinstance(wave, np.ndarray) else type(wave).__name__
            raise ValueError(f"wave must be a float32 array of the shape (N,), N > 0, got {got}")
        if self.augment.nocall and self.noise is None:
            raise ValueError("nocall must be False where no store's rows are given: with_rows(store, rows) takes them")
        heard = wave.copy()
        with _global_generators(seed):
            for step in self.steps:
                heard = step(heard, self.sample_rate_hz)
        return np.ascontiguousarray(heard, dtype=np.float32)


def _build_steps(augment: WaveAugment, noise: "NoCallNoise | None") -> list:
    try:
        import audiomentations as am
    except ImportError as error:
        raise ImportError("WaveAugment needs audiomentations: pip install audiomentations") from error
    steps, p = [], augment.probability
    if augment.stretch_rate is not None:
        steps.append(am.TimeStretch(*augment.stretch_rate, p=p))
    if augment.pitch_semitones is not None:
        steps.append(am.PitchShift(*augment.pitch_semitones, p=p))
    if augment.background:
        if not Path(augment.background).is_dir():
            raise ValueError(f"background must be a folder, got {augment.background}")
        if not am.core.utils.find_audio_files_in_paths(augment.background):
            raise ValueError(f"background must hold audio files, got {augment.background}")
        steps.append(am.AddBackgroundNoise(augment.background, *augment.background_snr_db, p=p))
    if noise is not None:
        steps.append(noise)
    if augment.snr_db is not None:
        steps.append(am.AddGaussianSNR(*augment.snr_db, p=p))
    if augment.gain_db is not None:
        steps.append(am.Gain(*augment.gain_db, p=p))
    return steps


@contextmanager
def _global_generators(seed: int | Sequence[int]) -> Iterator[None]:
    """Python's and numpy's global generators started from `seed`, and afterwards as they were before."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    for_python, for_numpy = np.random.SeedSequence(seed).generate_state(2).tolist()
    random.seed(for_python)
    np.random.seed(for_numpy)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
