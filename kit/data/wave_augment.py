"""Random distortions of a waveform, by audiomentations, made a pure function of the wave and a seed."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

LIMITS = {
    "snr_db": (-60.0, 120.0),
    "gain_db": (-120.0, 120.0),
    "pitch_semitones": (-24.0, 24.0),
    "stretch_rate": (0.5, 10.0),  # below 0.5 audiomentations' stretcher adds random phases of its own, unseeded
    "background_snr_db": (-60.0, 120.0),
}
Range = tuple[float, float]


class WaveAugment:
    """Time stretch, pitch shift, background noise, white noise, gain: in this order, each with `probability`.

    A range of None leaves its step out; within a range the draw is uniform. A stretched wave is cut or padded with
    zeros to its old length. `background_folder` is searched for audio files, with its sub-folders.
    Raises: ValueError for a bad argument; ImportError where audiomentations is not installed.
    """

    def __init__(
        self,
        sample_rate_hz: int = 16000,
        *,
        snr_db: Range | None = None,
        gain_db: Range | None = None,
        pitch_semitones: Range | None = None,
        stretch_rate: Range | None = None,
        background_folder: str | Path | None = None,
        background_snr_db: Range = (3.0, 30.0),
        probability: float = 0.5,
    ):
        if not isinstance(sample_rate_hz, int) or sample_rate_hz < 1:
            raise ValueError(f"sample_rate_hz must be a whole number of at least 1, got {sample_rate_hz!r}")
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {probability!r}")
        ranges = {"stretch_rate": stretch_rate, "pitch_semitones": pitch_semitones, "snr_db": snr_db}
        ranges |= {"gain_db": gain_db, "background_snr_db": background_snr_db}
        ranges = {name: _checked(name, value) for name, value in ranges.items() if value is not None}
        if background_folder is not None and not Path(background_folder).is_dir():
            raise ValueError(f"background_folder must be a folder, got {background_folder}")
        self.sample_rate_hz = sample_rate_hz
        self.steps = _build_steps(ranges, background_folder, probability)

    def __call__(self, wave: np.ndarray, seed: int | Sequence[int]) -> np.ndarray:
        """wave (N,) float32 -> another (N,) float32; the same for the same seed, such as (seed, epoch, row).

        Not for several threads at once: audiomentations draws from the global generators, which are lent to it
        and then put back.
        """
        if not isinstance(wave, np.ndarray) or wave.ndim != 1 or wave.dtype != np.float32 or not len(wave):
            found = f"{wave.dtype} {wave.shape}" if isinstance(wave, np.ndarray) else type(wave).__name__
            raise ValueError(f"wave must be a float32 array of the shape (N,), N > 0, got {found}")
        heard = wave.copy()
        with _global_generators(seed):
            for step in self.steps:
                heard = step(heard, self.sample_rate_hz)
        return np.ascontiguousarray(heard, dtype=np.float32)


def _checked(name: str, value: Range) -> Range:
    low, high = LIMITS[name]
    if len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise ValueError(f"{name} must be (low, high) with {low:g} <= low <= high <= {high:g}, got {value!r}")
    return value


def _build_steps(ranges: dict[str, Range], background_folder: str | Path | None, probability: float) -> list:
    try:
        import audiomentations as am
    except ImportError as error:
        raise ImportError("WaveAugment needs audiomentations: pip install audiomentations") from error
    steps = []
    if "stretch_rate" in ranges:
        steps.append(am.TimeStretch(*ranges["stretch_rate"], p=probability))
    if "pitch_semitones" in ranges:
        steps.append(am.PitchShift(*ranges["pitch_semitones"], p=probability))
    if background_folder is not None:
        if not am.core.utils.find_audio_files_in_paths(background_folder):
            raise ValueError(f"background_folder must hold audio files, got {background_folder}")
        steps.append(am.AddBackgroundNoise(background_folder, *ranges["background_snr_db"], p=probability))
    if "snr_db" in ranges:
        steps.append(am.AddGaussianSNR(*ranges["snr_db"], p=probability))
    if "gain_db" in ranges:
        steps.append(am.Gain(*ranges["gain_db"], p=probability))
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
