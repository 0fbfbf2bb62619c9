"""The recordings of the demo dawn chorus: clips of one animal near the microphone, and soundscapes of many from afar.

Each is a function of (seed, number).
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.fft import rfft

from kit.demos.chorus_sites import SITES, lost_db, site_noise, through_the_forest
from kit.demos.chorus_voices import Voice, draw_voices
from kit.demos.soundscape import Call, band, make_noise, sing

CLIP_DB, CLIP_SPREAD_DB = 20.0, 6.0  # of the one that a clip was made for, over the noise in its band
BEHIND_DB = 5.0  # of another behind it
SOUNDSCAPE_DB, FARTHER_DB, SOUNDSCAPE_SPREAD_DB = 10.0, 4.0, 4.5
SEGMENT = 8192  # samples of which a noise's spectrum is taken
AUDIBLE_DB = 0.0  # annotators hear calls from here on
MEAN_VOICES = 9.0  # in a minute
CALLS_A_BOUT = 10.0


@dataclass(frozen=True)
class Microphone:
    """An author's: what it keeps, and how much noise it adds."""

    low_hz: float
    high_hz: float
    hiss: float


def draw_microphone(seed: int, author: int) -> Microphone:
    rng = np.random.default_rng((seed, 3, 1, author))
    return Microphone(rng.uniform(50, 350), rng.uniform(9000, 15000), 10 ** rng.uniform(-3, -1.3))


class _Chorus:
    """Mixes calls so that each stands out from one noise by so many decibels."""

    def __init__(self, voices: tuple[Voice, ...], noise: np.ndarray, rate_hz: int, rng: np.random.Generator):
        self.voices, self.rate_hz, self.rng = voices, rate_hz, rng
        self.place = {voice.label: row for row, voice in enumerate(voices)}
        power = _power(noise)
        self.band = cache(lambda row: band(voices[row].species, power, rate_hz, SEGMENT))

    def mix(self, wave: np.ndarray, place: int, level_db: float, start: float | None = None) -> Call:
        """One call into the wave, in place: it is the recording that is being made. start (s) is drawn if not given."""
        call = sing(self.voices[place].species, self.rate_hz, self.rng)
        low, high, noise = self.band(place)
        room = max(1, len(wave) - len(call) + 1)
        first = int(self.rng.integers(0, room)) if start is None else int(start * self.rate_hz)
        call = call[: len(wave) - first]
        wave[first : first + len(call)] += call * np.sqrt(noise * 10 ** (level_db / 10))
        return Call(place, first / self.rate_hz, (first + len(call)) / self.rate_hz, low, high, level_db)


def make_clip(
    seed: int, number: int, label: str, others: tuple[str, ...], seconds: float, rate_hz: int, microphone: Microphone
) -> tuple[np.ndarray, list[Call]]:
    """A clip (N,) float32 of one class, with `others` behind it, and every call in it."""
    rng = np.random.default_rng((seed, 4, number))
    n = round(seconds * rate_hz)
    wave = _recorded(make_noise(n, rate_hz, rng), microphone, rate_hz)
    wave += microphone.hiss * rng.standard_normal(n)
    chorus, calls = _Chorus(draw_voices(seed), wave, rate_hz, rng), []
    level = float(np.clip(rng.normal(CLIP_DB, CLIP_SPREAD_DB), 8, 35))
    bouts = [(label, level, seconds / 2.5), *((name, BEHIND_DB + rng.normal(0, 2), seconds / 8) for name in others)]
    for name, db, mean in bouts:
        for _ in range(1 + rng.poisson(mean)):
            calls.append(chorus.mix(wave, chorus.place[name], db + rng.normal(0, 1)))
    return _levelled(wave, rng.uniform(0.1, 0.8)), calls


def make_soundscape(
    seed: int, number: int, site: int, hour: int, seconds: float, rate_hz: int
) -> tuple[np.ndarray, list[Call]]:
    """A soundscape (N,) float32 of a site at an hour, and every call in it, as loud as it arrives."""
    voices, rng = draw_voices(seed), np.random.default_rng((seed, 5, number))
    wave = site_noise(SITES[site], round(seconds * rate_hz), rate_hz, rng)
    buses = np.zeros((2, len(wave)), np.float32)  # near calls, and far ones
    chorus, calls = _Chorus(voices, wave, rate_hz, rng), []
    for place in _who_calls(voices, site, hour, seconds, rng):
        far = bool(rng.random() < SITES[site].far_share)
        level = rng.normal(SOUNDSCAPE_DB - FARTHER_DB * far, SOUNDSCAPE_SPREAD_DB)
        species = voices[place].species
        lost = lost_db(SITES[site], far, np.sqrt(species.low_hz * species.high_hz), rate_hz)
        for start in _bout(seconds, rng):
            db = float(np.clip(level + rng.normal(0, 1.5), -4, 24))
            call = chorus.mix(buses[int(far)], int(place), db, start)
            calls.append(replace(call, level_db=db - lost))
    for far, bus in enumerate(buses):
        wave += through_the_forest(SITES[site], bus, bool(far), rate_hz, rng)
    return _levelled(wave, rng.uniform(0.15, 0.5)), calls


def labels_of_windows(calls: list[Call], seconds: float, window_seconds: float = 5.0) -> list[set[int]]:
    """The classes that an annotator hears in each window: an audible call's 0.2 s, or the whole of a shorter one."""
    recordings = []
    for start in np.arange(0, seconds - 0.1, window_seconds):
        heard = set()
        for call in calls:
            inside = min(call.t_max, start + window_seconds) - max(call.t_min, start)
            if call.level_db >= AUDIBLE_DB and inside >= min(0.2, call.t_max - call.t_min) - 1e-9:
                heard.add(call.species)
        recordings.append(heard)
    return recordings


def _bout(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """When an animal's calls start (s): it may have begun before the recording, or go on behind it."""
    first, last = np.sort(rng.uniform(-0.3, 1.3, 2)) * seconds
    starts = rng.uniform(first, last, 1 + rng.poisson(CALLS_A_BOUT * seconds / 60 + 1))
    return starts[(starts >= 0) & (starts < seconds - 0.2)]


def _who_calls(voices: tuple[Voice, ...], site: int, hour: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    weights = np.array([voice.weight(site, hour + 0.5) for voice in voices])
    count = min(len(voices), max(1, rng.poisson(MEAN_VOICES * min(1.0, seconds / 60) ** 0.5)))
    return rng.choice(len(voices), count, replace=False, p=weights / weights.sum())


def _power(noise: np.ndarray) -> np.ndarray:
    """What each bin of a spectrum of SEGMENT samples has of a noise's mean square, the mean over its segments."""
    segments = noise[: len(noise) // SEGMENT * SEGMENT].reshape(-1, SEGMENT)
    return (np.abs(rfft(segments, axis=1)) ** 2).mean(0) * 2 / SEGMENT**2


def _recorded(wave: np.ndarray, microphone: Microphone, rate_hz: int) -> np.ndarray:
    hz = np.fft.rfftfreq(len(wave), 1 / rate_hz)
    low = (hz / microphone.low_hz) ** 2
    keep = low / (1 + low) / np.sqrt(1 + (hz / microphone.high_hz) ** 8)
    return np.fft.irfft(np.fft.rfft(wave) * keep, len(wave))


def _levelled(wave: np.ndarray, peak: float) -> np.ndarray:
    return (wave / np.abs(wave).max() * peak).astype(np.float32)
