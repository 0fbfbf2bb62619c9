"""Background noise from a fold's own training rows: those that are known to have no class, windows without a call."""

import random
from collections.abc import Sequence

import numpy as np

from kit.data.rows import INT16
from kit.data.store import Store

SILENT = 1e-9  # a root mean square below which a wave has no level to be set by, audiomentations' own


def nocall_rows(store: Store, rows: np.ndarray | Sequence[int]) -> np.ndarray:
    """Those of `rows` (M,) that are known to have no class: windows annotated with none, a table's `nocall`."""
    rows = np.asarray(rows, dtype=np.int64)
    has_frames = store.index["frames"].to_numpy()[rows] > 0
    return rows[(store.targets(rows) == 0).all(axis=1) & has_frames]


class NoCallNoise:
    """Adds a stretch of a row without a call to a wave, at a signal-to-noise ratio (dB) uniform in `snr_db`.

    Draws come from Python's global generator, as audiomentations' do. A row shorter than the wave is repeated.
    Raises ValueError where none of the rows is known to have no class.
    """

    def __init__(self, store: Store, rows: np.ndarray | Sequence[int], snr_db: tuple[float, float], probability: float):
        self.store, self.snr_db, self.probability = store, snr_db, probability
        self.rows = nocall_rows(store, rows)
        if not len(self.rows):
            raise ValueError(f"nocall must be False where no training row is known to have no class, got {len(rows)}")

    def __call__(self, wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """wave (N,) float32 -> (N,) float32."""
        if random.random() >= self.probability:
            return wave
        noise, snr_db = self._drawn(len(wave)), random.uniform(*self.snr_db)
        level, noise_level = (np.sqrt(np.mean(np.square(one, dtype=np.float64))) for one in (wave, noise))
        if level < SILENT or noise_level < SILENT:
            return wave
        return wave + noise * np.float32(level / noise_level * 10 ** (-snr_db / 20))

    def _drawn(self, length: int) -> np.ndarray:
        """A stretch (length,) of a row, each row and each place in it as likely as any other."""
        row = int(self.rows[random.randrange(len(self.rows))])
        start, size = (int(self.store.index[name].iat[row]) for name in ("start", "frames"))
        first = random.randint(0, max(0, size - length))
        noise = self.store.stretch(start + first, min(size, length))[:, 0].numpy() / np.float32(INT16)
        return np.resize(noise, length)
