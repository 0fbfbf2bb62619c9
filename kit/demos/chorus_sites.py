"""The four sites of the demo dawn chorus: each has its own noise, its own echo and its own distances.

A recorder that hangs in a forest hears all calls from afar: through leaves, which take the high notes, and with an
echo, which smears the short ones. So a soundscape sounds unlike a clip that someone aimed a microphone for.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, lfilter, oaconvolve

NOISE_TAPS = 4096  # of the filter that gives a noise its spectrum: 8 Hz apart at 32 kHz
FAR_MUFFLED = 0.45  # of a site's treble_hz, what a far call keeps


@dataclass(frozen=True)
class Site:
    name: str
    stream: float  # broad noise around 1.5 kHz
    wind_hz: float  # above which wind falls off
    gusts: float  # how much it comes and goes, 0 to 1
    insects_hz: tuple[float, ...]  # bands of a chorus that is no class
    hum: float  # of a road or a generator: 100 Hz and its multiples
    echo_seconds: float  # until it has fallen by 60 dB
    treble_hz: float  # above which leaves and distance take a near call's power
    far_share: float  # of calls


SITES = (
    Site("S03", stream=0.35, wind_hz=150, gusts=0.2, insects_hz=(), hum=0.0, echo_seconds=0.3, treble_hz=9000,
         far_share=0.3),  # by a stream
    Site("S07", stream=0.01, wind_hz=90, gusts=0.3, insects_hz=(6100.0,), hum=0.0, echo_seconds=1.4, treble_hz=4500,
         far_share=0.6),  # deep in the forest
    Site("S11", stream=0.03, wind_hz=300, gusts=0.9, insects_hz=(3700.0, 8600.0), hum=0.0, echo_seconds=0.15,
         treble_hz=12000, far_share=0.4),  # a windy marsh
    Site("S19", stream=0.02, wind_hz=200, gusts=0.4, insects_hz=(), hum=0.8, echo_seconds=0.6, treble_hz=7000,
         far_share=0.5),  # by a road
)  # fmt: skip


def site_noise(site: Site, n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A site's noise of unit power (n,) float32; its parts differ a little by recording."""
    hz = np.fft.rfftfreq(NOISE_TAPS, 1 / rate_hz)
    shape = 0.003 + 1 / (1 + (hz / (site.wind_hz * rng.uniform(0.8, 1.25))) ** 1.5)
    shape += site.stream * rng.uniform(0.7, 1.4) * np.exp(-((np.log(np.maximum(hz, 1) / 1500) / 1.1) ** 2))
    for centre in site.insects_hz:
        shape += rng.uniform(0.05, 0.12) * np.exp(-(((hz - centre * rng.uniform(0.97, 1.03)) / 150) ** 2))
    filter_ = np.roll(np.fft.irfft(shape), NOISE_TAPS // 2).astype(np.float32)
    noise = oaconvolve(rng.standard_normal(n, dtype=np.float32), filter_, "same")
    gusts = 1 + site.gusts * rng.uniform(-1, 1, 25)
    noise *= np.interp(np.arange(n), np.linspace(0, n, 25), gusts).astype(np.float32)
    noise /= np.sqrt(np.mean(noise**2))
    if site.hum:
        seconds = np.arange(n, dtype=np.float32) / rate_hz
        for multiple in range(1, 6):
            noise += np.float32(site.hum / multiple) * np.sin(2 * np.pi * 100.5 * multiple * seconds)
    return noise / np.sqrt(np.mean(noise**2))


def through_the_forest(site: Site, calls: np.ndarray, far: bool, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Calls (N,) as they reach the recorder, with as much power as they have at 1 kHz."""
    return oaconvolve(calls, _path(site, far, rate_hz, rng))[: len(calls)].astype(np.float32)


def _path(site: Site, far: bool, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """The response of the way from animal to recorder: the call itself, then an echo that fades."""
    n = max(64, round(site.echo_seconds * rate_hz))
    seconds = np.arange(n) / rate_hz
    echo = rng.standard_normal(n) * 10 ** (-3 * seconds / site.echo_seconds)
    echo *= np.sqrt((0.5 if far else 0.15) / np.sum(echo**2))  # of the power, what comes late
    echo[0] += np.sqrt(0.5 if far else 0.85)
    return lfilter(*butter(1, _treble_hz(site, far), fs=rate_hz), echo)


def lost_db(site: Site, far: bool, hz: float, rate_hz: int) -> float:
    """What leaves and distance take of a call's power at a frequency: 3 dB at treble_hz, and about 6 more each octave.

    Of a filter of first order, by the bilinear transform.
    """
    ratio = np.tan(np.pi * hz / rate_hz) / np.tan(np.pi * _treble_hz(site, far) / rate_hz)
    return float(10 * np.log10(1 + ratio**2))


def _treble_hz(site: Site, far: bool) -> float:
    return site.treble_hz * (FAR_MUFFLED if far else 1.0)
