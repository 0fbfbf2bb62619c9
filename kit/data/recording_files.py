"""Stretches of waves decoded from the recordings themselves, by seeking: a store of waves that holds none.

    recordings.parquet   path, start, samples, frames, channel, seek of each recording: its first unit in the store and
                         how many there are, at the store's rate; frames in the file, at its own; the channel that
                         stands for all where they cancel when averaged, else -1; the last frame that may be sought
    audio.json           the folder that the paths are of, where it was last seen

The samples are those of a whole decoding. libsndfile (1.2.2) seeks truly in samples of fixed size, in FLAC, and in Ogg
but for the last page, whose places it counts back from an end that the coder may have cut short; MP3's decoder has
another state after a seek. There decoding begins at the last frame that may be sought.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from math import gcd
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from kit.atomic import replacing
from kit.competition.containers import AudioError, last_page, whole_source
from kit.data.audio import BLOCK_SAMPLES, Straight, mono
from kit.data.resample import context, resampled
from kit.data.rows import in_16_bits

FILES = "files"  # the kind of store that `pack` is asked for
RECORDINGS, PLACE = "recordings.parquet", "audio.json"
FIXED = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")  # subtypes of samples of fixed size; FLAC's too begin so
GRANULES_HZ = 48000  # of Opus, whatever the file's rate


class RecordingFiles:
    """What a store of waves is read from, as from a FeatureFile, by as many threads as PyTorch has."""

    def __init__(self, store: Path, rate_hz: int):
        table = pd.read_parquet(store / RECORDINGS)
        table = table[table["samples"] > 0]
        self.folder = Path(json.loads((store / PLACE).read_text(encoding="utf-8"))["folder"])
        self.rate_hz, self.paths = rate_hz, table["path"].tolist()
        self.start, self.facts = table["start"].to_numpy(), table[["frames", "channel", "seek"]].to_numpy().tolist()

    def read(self, start: np.ndarray, length: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (B, L, 1) int16 with `length` (B,) <= L samples from each `start` (B,); zeros come after them.

        Raises AudioError where a recording is gone, or is no longer the one that was listened to.
        """

        def fill(item: np.ndarray, first: int, count: int) -> None:
            number = int(np.searchsorted(self.start, first, side="right")) - 1
            item[count:] = 0
            item[:count, 0] = in_16_bits(self._decoded(number, first - int(self.start[number]), count))

        with ThreadPoolExecutor(max(1, min(len(out), torch.get_num_threads()))) as pool:
            list(pool.map(fill, out, start.tolist(), length.tolist()))

    def _decoded(self, number: int, first: int, count: int) -> np.ndarray:
        path, (frames, channel, seek) = self.folder / self.paths[number], self.facts[number]
        try:
            source = path if soundfile.info(path).frames == frames else whole_source(path)
            with Straight(source) as file:
                if file.frames != frames:
                    raise AudioError(f"audio file must have {frames} frames, as it had, got {path} of {file.frames}")
                wave = decoded(file, first, count, self.rate_hz, channel, seek)
        except (OSError, soundfile.LibsndfileError) as error:
            raise AudioError(f"audio file must be there and readable, as it was, got {path}: {error}") from error
        if len(wave) < count:
            raise AudioError(f"audio file must be as long as its header says, got {path}, which is cut short")
        return wave


def decoded(file: Straight, first: int, count: int, rate_hz: int, channel: int, seek: int) -> np.ndarray:
    """`count` samples (count,) float32 from `first` on of what kit.data.audio.read_wave gives at a rate.

    channel: what stands for all, -1 for their average. seek: the last frame that may be sought.
    """
    shared = gcd(file.samplerate, rate_hz)
    up, down = rate_hz // shared, file.samplerate // shared
    reach = context(file.samplerate, rate_hz)  # a multiple of down, as where the filter may begin
    begin = max(0, first // up * down - reach)
    end = min(file.frames, -(-(first + count) // up) * down + reach)
    if place := min(begin, seek):
        file.seek(place)
    most = max(1, BLOCK_SAMPLES // file.channels)
    for left in range(begin - place, 0, -most):
        file.read(min(most, left), dtype="float32")
    wave = mono(file.read(end - begin, dtype="float32", always_2d=True), None if channel < 0 else channel)
    skipped = first - begin // down * up
    return np.concatenate(list(resampled([wave], file.samplerate, rate_hz)))[skipped : skipped + count]


def last_sought(path: Path) -> int:
    """The last frame of a recording that may be sought."""
    info = soundfile.info(path)
    if info.subtype.startswith(FIXED):
        return info.frames
    if info.format != "OGG":
        return 0
    granules_hz = GRANULES_HZ if info.subtype == "OPUS" else info.samplerate
    return max(0, last_page(path) * info.samplerate // granules_hz - info.samplerate)  # a second, for Opus skips some


def write_recordings(store: Path, folder: Path, table: pd.DataFrame) -> None:
    """table: path, start, samples, frames and channel of recordings in `folder`, in the order of their samples."""
    usable = (table["samples"] > 0).tolist()
    with ThreadPoolExecutor() as pool:
        seek = list(pool.map(lambda path, there: last_sought(folder / path) if there else 0, table["path"], usable))
    table.assign(seek=seek).to_parquet(store / RECORDINGS)


def remember_folder(store: Path, folder: Path) -> None:
    """Where the recordings are, for whoever opens the store: data may be moved or copied."""
    content = json.dumps({"folder": str(Path(folder).absolute())})
    path = store / PLACE
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        with replacing(path) as beside:
            beside.write_text(content, encoding="utf-8")
