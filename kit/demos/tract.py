"""Tracks to a recording: glottal pulses and noise through a moving tract, then a channel and its noise.

Klatt's resonators (1980, JASA 67), run in overlapping 10 ms windows, each through the exact response of its own centre,
so that the formants written down are the formants heard.
"""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from kit.demos.voices import (
    CONTROL_SAMPLES,
    SAMPLE_RATE_HZ,
    Tracks,
    Voice,
    draw_phones,
    draw_seconds,
    draw_take,
    draw_voice,
    plan_tracks,
)

WINDOW_SAMPLES = 2 * CONTROL_SAMPLES
RESPONSE_SAMPLES = 10 * CONTROL_SAMPLES  # a window and 40 ms of ringing
SOURCE_POLE = 0.97  # -6 dB an octave, pulse and lips together
NASAL_POLE_HZ, NASAL_WIDTH_HZ = 270.0, 100.0

# What lies between a mouth and a file: the more of it, the harder the competition.
TILT_DB_PER_OCTAVE = 2.0
RIPPLE_DB = 2.0
SNR_DB = (12.0, 35.0)
LEVEL_DB = (-30.0, -20.0)  # RMS below full scale


def say_utterance(seed: int, speaker: int, number: int) -> tuple[np.ndarray, Tracks]:
    """A speaker's utterance of random phones, 1.2 to 2.5 s: int16 wave (N,) and its truth."""
    rng = np.random.default_rng((seed, speaker, number + 1))
    take = draw_take(draw_voice(np.random.default_rng((seed, speaker))), rng)
    length = rng.uniform(1.2, 2.5)
    phones = draw_phones(rng, n_syllables=round(3.8 * take.pace * length))
    seconds = draw_seconds(take, phones, rng)
    tracks = plan_tracks(take, phones, seconds * length / seconds.sum(), rng)
    return record(speak(tracks, take, rng), rng), tracks


def say_word(seed: int, speaker: int, word: tuple[str, ...], take_key: tuple[int, int]) -> tuple[np.ndarray, Tracks]:
    """The phones of `word` somewhere in a clip of 1 s: int16 wave (SAMPLE_RATE_HZ,) and its truth."""
    rng = np.random.default_rng((seed, speaker, *(key + 1 for key in take_key)))
    take = draw_take(draw_voice(np.random.default_rng((seed, speaker))), rng)
    seconds = draw_seconds(take, word, rng)
    seconds *= min(1.0, 0.9 / seconds.sum())
    before = rng.uniform(0.2, 0.8) * (1.0 - seconds.sum())
    seconds = np.array([before, *seconds, 1.0 - seconds.sum() - before])
    tracks = plan_tracks(take, ("_", *word, "_"), seconds, rng)
    return record(speak(tracks, take, rng), rng), tracks


def record(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The wave through a channel, at a random level, as int16 (N,)."""
    heard = send(wave, rng)
    heard *= 10 ** (rng.uniform(*LEVEL_DB) / 20) / np.sqrt(np.mean(heard**2))
    return np.round(32767 * np.clip(heard, -1.0, 1.0)).astype(np.int16)


def speak(tracks: Tracks, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """The clean wave (K · CONTROL_SAMPLES,) float64, vowels near an RMS of 1."""
    n_samples = len(tracks.phone) * CONTROL_SAMPLES
    pulses, phase = glottal_pulses(tracks, voice, n_samples, rng)
    voicing = np.interp(np.arange(n_samples) / SAMPLE_RATE_HZ, tracks.seconds, tracks.voicing)
    breath = voice.breathiness * voicing * (1 + np.cos(2 * np.pi * phase)) * rng.standard_normal(n_samples)
    frication = np.interp(np.arange(n_samples) / SAMPLE_RATE_HZ, tracks.seconds, tracks.frication)
    hiss = frication * rng.standard_normal(n_samples)
    spectrum = np.zeros((len(tracks.phone), RESPONSE_SAMPLES // 2 + 1), np.complex64)
    sounding, hissing = np.flatnonzero(tracks.voicing > 1e-3), np.flatnonzero(tracks.frication > 1e-3)
    spectrum[sounding] = _spectra(pulses + breath, sounding) * tract_response(tracks, voice, sounding)
    spectrum[hissing] += _spectra(hiss, hissing) * frication_response(tracks, hissing)
    return _overlap_add(irfft(spectrum, RESPONSE_SAMPLES))[:n_samples]


def glottal_pulses(tracks: Tracks, voice: Voice, n_samples: int, rng: np.random.Generator):
    """Band-limited pulses of mean power voicing², with jitter and shimmer, and the phase in periods: both (N,)."""
    pitch_hz = np.interp(np.arange(n_samples) / SAMPLE_RATE_HZ, tracks.seconds, tracks.pitch_hz)
    phase = np.cumsum(pitch_hz) / SAMPLE_RATE_HZ + rng.random()
    beats = np.arange(np.ceil(phase[0]), phase[-1])
    times = np.interp(beats + voice.jitter * rng.standard_normal(len(beats)), phase, np.arange(n_samples))
    seconds = times / SAMPLE_RATE_HZ
    heights = np.interp(seconds, tracks.seconds, tracks.voicing) * (1 + voice.shimmer * rng.standard_normal(len(beats)))
    heights *= np.sqrt(SAMPLE_RATE_HZ / np.interp(seconds, tracks.seconds, tracks.pitch_hz))
    taps = np.floor(times).astype(int)[:, None] + np.arange(-7, 9)  # (beats, 16)
    shift = taps - times[:, None]
    shape = np.sinc(shift) * np.cos(np.pi * shift / 17) ** 2 * heights[:, None]
    inside = (taps >= 0) & (taps < n_samples)
    pulses = np.bincount(taps[inside], weights=shape[inside], minlength=n_samples)
    return pulses, phase


def tract_response(tracks: Tracks, voice: Voice, steps: np.ndarray) -> np.ndarray:
    """Source slope, cascade of formants, nasal pole and zero, at some steps: (steps, bins) complex64."""
    hz, width_hz = tracks.formants_hz[steps], tracks.bandwidths_hz[steps]
    poles = _unit(_section(np.full(len(steps), NASAL_POLE_HZ), NASAL_WIDTH_HZ))
    for formant in range(hz.shape[1]):
        poles = _multiply(poles, _unit(_section(hz[:, formant], width_hz[:, formant])))
    source = np.convolve([1.0, -SOURCE_POLE], [1.0, -voice.tilt])
    poles = _multiply(poles, np.broadcast_to(source, (len(poles), 3)))
    zeros = _unit(_section(tracks.nasal_zero_hz[steps], NASAL_WIDTH_HZ))
    level = np.sqrt(1 - SOURCE_POLE**2) * (1 - voice.tilt)
    inverse = 1 / rfft(poles, RESPONSE_SAMPLES)  # 20 poles near the circle need float64
    return _spectrum_of_three(level * zeros) * inverse.astype(np.complex64)


def frication_response(tracks: Tracks, steps: np.ndarray) -> np.ndarray:
    """A wide resonance in front of the constriction, nothing at 0 Hz: (steps, bins) complex64, its peak near 2."""
    width_hz = tracks.frication_width_hz[steps]
    poles = _spectrum_of_three(_section(tracks.frication_hz[steps], width_hz))
    zeros = _spectrum_of_three(np.outer(2 * np.pi * width_hz / SAMPLE_RATE_HZ, [1.0, -1.0, 0.0]))
    return zeros / poles


def send(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The wave through a random channel (slope, ripple, a high-pass) with coloured noise added: (N,) float64."""
    size = next_fast_len(len(wave) + SAMPLE_RATE_HZ // 20, real=True)
    hz = np.arange(size // 2 + 1) * SAMPLE_RATE_HZ / size
    octaves = np.log2(np.maximum(hz, 60.0) / 1000.0)
    gain_db = rng.uniform(-1, 1) * TILT_DB_PER_OCTAVE * octaves
    for cycles in (0.15, 0.3, 0.6):  # an octave
        gain_db += RIPPLE_DB * rng.standard_normal() * np.cos(2 * np.pi * (cycles * octaves + rng.random()))
    corner_hz = rng.uniform(40, 150)
    gain = 10 ** (gain_db / 20) * hz**2 / (hz**2 + corner_hz**2)
    heard = irfft(rfft(wave, size) * gain, size)[: len(wave)]
    slope = rng.uniform(0.0, 0.5)  # white to pink in amplitude
    noise = irfft(rfft(rng.standard_normal(size)) * np.maximum(hz, 60.0) ** -slope, size)[: len(wave)]
    snr = 10 ** (rng.uniform(*SNR_DB) / 20)
    return heard + noise * np.sqrt(np.mean(heard**2) / np.mean(noise**2)) / snr


def _section(hz: np.ndarray, width_hz: np.ndarray | float) -> np.ndarray:
    """The polynomial 1 - 2 r cos θ z⁻¹ + r² z⁻² of a resonance (K,), or of its inverse: (K, 3)."""
    radius = np.exp(-np.pi * np.broadcast_to(width_hz, hz.shape) / SAMPLE_RATE_HZ)
    return np.stack([np.ones_like(hz), -2 * radius * np.cos(2 * np.pi * hz / SAMPLE_RATE_HZ), radius**2], axis=1)


def _unit(section: np.ndarray) -> np.ndarray:
    """Sections (K, 3) with a gain of 1 at 0 Hz, as Klatt's."""
    return section / section.sum(axis=1, keepdims=True)


def _spectrum_of_three(section: np.ndarray) -> np.ndarray:
    """Responses of three-tap filters (K, 3), written out, which is quicker than an FFT: (K, bins) complex64."""
    delay = np.exp(-2j * np.pi * np.arange(RESPONSE_SAMPLES // 2 + 1) / RESPONSE_SAMPLES).astype(np.complex64)
    first, second, third = section.astype(np.float32).T[:, :, None]
    return (third * delay + second) * delay + first


def _multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Products of polynomials row by row: (K, n), (K, m) -> (K, n + m - 1)."""
    product = np.zeros((len(left), left.shape[1] + right.shape[1] - 1))
    for tap in range(right.shape[1]):
        product[:, tap : tap + left.shape[1]] += left * right[:, tap, None]
    return product


def _spectra(wave: np.ndarray, steps: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Spectra of Hann windows centred on the steps, which add up to the wave: (K, bins)."""
    half = CONTROL_SAMPLES // 2
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, half), WINDOW_SAMPLES)[::CONTROL_SAMPLES][steps]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(WINDOW_SAMPLES) + 0.5) / WINDOW_SAMPLES)
    return rfft((frames * window).astype(np.float32), RESPONSE_SAMPLES)


def _overlap_add(frames: np.ndarray) -> np.ndarray:
    """Frames (K, RESPONSE_SAMPLES), CONTROL_SAMPLES apart, summed from the first window's wave on."""
    n_blocks = RESPONSE_SAMPLES // CONTROL_SAMPLES
    total = np.zeros((len(frames) + n_blocks, CONTROL_SAMPLES))
    for block in range(n_blocks):
        total[block : block + len(frames)] += frames[:, block * CONTROL_SAMPLES : (block + 1) * CONTROL_SAMPLES]
    return total.reshape(-1)[CONTROL_SAMPLES // 2 :]
