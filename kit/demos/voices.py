"""Random speakers and what they say: vocal tracts, sources, strings of phones, and both as tracks in time."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import convolve1d

SAMPLE_RATE_HZ = 16000
CONTROL_SAMPLES = 80  # a step of the tracks, 5 ms
N_RESONATORS = 8

# The difficulty: how far speakers lie apart, how far one speaker wanders between utterances, and what hides both.
TRACT_SPREAD = 0.06
OFFSET_SPREAD = 0.03
IDIOLECT_SPREAD = 0.03
PITCH_SPREAD_OCTAVES = 0.25
TRACT_WANDER = 0.015
PITCH_WANDER_SEMITONES = 1.5


@dataclass(frozen=True)
class Phone:
    """A target of the tracks. Amplitudes are linear, 1 for a vowel's voicing; frication_hz is its centre."""

    kind: str
    formants_hz: tuple[float, float, float, float]
    voicing: float
    frication: float = 0.0
    frication_hz: float = 4000.0
    frication_width_hz: float = 1500.0
    nasal_zero_hz: float = 270.0


def _vowel(*formants_hz):
    return Phone("vowel", formants_hz, 1.0)


def _glide(*formants_hz):
    return Phone("glide", formants_hz, 0.6)


def _nasal(zero_hz, *formants_hz):
    return Phone("nasal", formants_hz, 0.5, nasal_zero_hz=zero_hz)


def _fricative(voicing, frication, centre_hz, width_hz, *formants_hz):
    return Phone("fricative", formants_hz, voicing, frication, centre_hz, width_hz)


# Vowels: men's means of Peterson and Barney (1952); the rest near Klatt's (1980) table III; F4 is ours.
PHONES = {
    "_": Phone("pause", (500.0, 1500.0, 2500.0, 3500.0), 0.0),
    "i": _vowel(270, 2290, 3010, 3600),
    "e": _vowel(530, 1840, 2480, 3500),
    "y": _vowel(390, 1990, 2550, 3500),
    "ae": _vowel(660, 1720, 2410, 3450),
    "a": _vowel(730, 1090, 2440, 3400),
    "o": _vowel(570, 840, 2410, 3300),
    "uh": _vowel(640, 1190, 2390, 3400),
    "oo": _vowel(440, 1020, 2240, 3300),
    "u": _vowel(300, 870, 2240, 3250),
    "er": _vowel(490, 1350, 1690, 3250),
    "w": _glide(290, 610, 2150, 3250),
    "j": _glide(260, 2070, 3020, 3600),
    "r": _glide(310, 1060, 1450, 3250),
    "l": _glide(320, 1050, 2880, 3500),
    "m": _nasal(1000, 400, 1270, 2130, 3300),
    "n": _nasal(1600, 400, 1500, 2470, 3400),
    "f": _fricative(0.0, 0.10, 6500, 4000, 340, 1100, 2080, 3300),
    "s": _fricative(0.0, 0.40, 6000, 1500, 320, 1500, 2530, 3400),
    "sh": _fricative(0.0, 0.45, 3300, 1000, 300, 1840, 2750, 3400),
    "h": _fricative(0.0, 0.15, 1800, 3000, 500, 1500, 2500, 3500),
    "v": _fricative(0.5, 0.06, 6500, 4000, 320, 1130, 2100, 3300),
    "z": _fricative(0.5, 0.20, 6000, 1500, 300, 1500, 2540, 3400),
}
PHONE_NAMES = tuple(PHONES)
VOWELS = tuple(name for name, phone in PHONES.items() if phone.kind == "vowel")
ONSETS = tuple(name for name, phone in PHONES.items() if phone.kind not in ("vowel", "pause"))
CODAS = ("m", "n", "l", "r", "s", "sh", "f", "z")
SECONDS = {"vowel": 0.13, "glide": 0.07, "nasal": 0.075, "fricative": 0.09, "pause": 0.10}


@dataclass(frozen=True)
class Voice:
    """A speaker: tract (shorter tract, higher scale), source and pace."""

    scale: float
    offsets: np.ndarray  # (N_RESONATORS,) factors of the formants
    idiolect: np.ndarray  # (phones, 4) factors of this speaker's targets
    bandwidths: np.ndarray  # (N_RESONATORS,) factors
    pitch_hz: float
    pitch_range_semitones: float
    tilt: float  # pole of the source, in [0, 1): nearer 1, darker
    jitter: float
    shimmer: float
    breathiness: float
    pace: float


@dataclass(frozen=True)
class Tracks:
    """What an utterance does, one row a CONTROL_SAMPLES step, K rows."""

    formants_hz: np.ndarray  # (K, N_RESONATORS)
    bandwidths_hz: np.ndarray  # (K, N_RESONATORS)
    pitch_hz: np.ndarray
    voicing: np.ndarray
    frication: np.ndarray
    frication_hz: np.ndarray
    frication_width_hz: np.ndarray
    nasal_zero_hz: np.ndarray
    phone: np.ndarray  # index into PHONE_NAMES

    @property
    def seconds(self) -> np.ndarray:
        """Where each row is exact."""
        return (np.arange(len(self.phone)) + 0.5) * CONTROL_SAMPLES / SAMPLE_RATE_HZ


def truth_at(tracks: Tracks, seconds: np.ndarray) -> dict[str, np.ndarray]:
    """The tracks at T moments: formants_hz (T, 4), pitch_hz (T,) with 0 where unvoiced, voiced (T,) bool,
    phone (T,) uint8, an index into PHONE_NAMES."""

    def at(track: np.ndarray) -> np.ndarray:
        return np.interp(seconds, tracks.seconds, track)

    voiced = at(tracks.voicing) > 0.3
    step = np.floor(seconds * SAMPLE_RATE_HZ / CONTROL_SAMPLES).astype(int)
    return {
        "formants_hz": np.stack([at(track) for track in tracks.formants_hz.T[:4]], axis=1).astype(np.float32),
        "pitch_hz": np.where(voiced, at(tracks.pitch_hz), 0.0).astype(np.float32),
        "voiced": voiced,
        "phone": tracks.phone[np.minimum(step, len(tracks.phone) - 1)].astype(np.uint8),
    }


def draw_voice(rng: np.random.Generator) -> Voice:
    """A random speaker. Length of tract and pitch go together, as from men over women to children."""
    size = rng.uniform(-1, 1)  # large to small
    return Voice(
        scale=1.06 * np.exp(1.8 * TRACT_SPREAD * size + 0.5 * TRACT_SPREAD * rng.standard_normal()),
        offsets=np.exp(OFFSET_SPREAD * rng.standard_normal(N_RESONATORS)),
        idiolect=np.exp(IDIOLECT_SPREAD * rng.standard_normal((len(PHONES), 4))),
        bandwidths=np.exp(0.25 * rng.standard_normal(N_RESONATORS)),
        pitch_hz=145 * 2 ** (PITCH_SPREAD_OCTAVES * (1.5 * size + 0.7 * rng.standard_normal())),
        pitch_range_semitones=rng.uniform(1.0, 3.5),
        tilt=rng.uniform(0.0, 0.6),
        jitter=rng.uniform(0.003, 0.015),
        shimmer=rng.uniform(0.02, 0.10),
        breathiness=10 ** rng.uniform(-2.2, -1.0),
        pace=rng.uniform(0.85, 1.2),
    )


def draw_take(voice: Voice, rng: np.random.Generator) -> Voice:
    """The speaker as of one utterance: nobody sounds the same twice."""
    return replace(
        voice,
        scale=voice.scale * np.exp(TRACT_WANDER * rng.standard_normal()),
        pitch_hz=voice.pitch_hz * 2 ** (PITCH_WANDER_SEMITONES / 12 * rng.standard_normal()),
        tilt=float(np.clip(voice.tilt + 0.1 * rng.standard_normal(), 0.0, 0.8)),
        breathiness=voice.breathiness * 10 ** (0.15 * rng.standard_normal()),
        pace=voice.pace * np.exp(0.08 * rng.standard_normal()),
    )


def draw_phones(rng: np.random.Generator, n_syllables: int) -> tuple[str, ...]:
    """Syllables of an onset, a vowel and sometimes a coda, with a pause at each end and now and then between."""
    names = ["_"]
    for syllable in range(n_syllables):
        if syllable and rng.random() < 0.1:
            names.append("_")
        if rng.random() < 0.9:
            names.append(str(rng.choice(ONSETS)))
        names.append(str(rng.choice(VOWELS)))
        if rng.random() < 0.25:
            names.append(str(rng.choice(CODAS)))
    return (*names, "_")


def draw_seconds(voice: Voice, phones: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """A length for each phone (P,), quicker for a quick speaker."""
    typical = np.array([SECONDS[PHONES[name].kind] for name in phones])
    return typical * np.exp(0.2 * rng.standard_normal(len(phones))) / voice.pace


def plan_tracks(voice: Voice, phones: tuple[str, ...], seconds: np.ndarray, rng: np.random.Generator) -> Tracks:
    """Phones of the given lengths as smooth tracks: targets held, then moved through by a 65 ms Hann window."""
    ends = np.round(np.cumsum(seconds) * SAMPLE_RATE_HZ / CONTROL_SAMPLES).astype(int)
    phone_of_step = np.repeat(np.arange(len(phones)), np.diff(ends, prepend=0))  # (K,)
    index = np.array([PHONE_NAMES.index(name) for name in phones])  # (P,)
    targets = [PHONES[name] for name in phones]

    def follow(field, n_steps):
        return _smooth(np.array([getattr(phone, field) for phone in targets])[phone_of_step], n_steps)

    low = np.array([phone.formants_hz for phone in targets]) * voice.idiolect[index]  # (P, 4)
    low = low * np.exp(0.03 * rng.standard_normal(low.shape))
    high = 1000.0 * np.arange(5, N_RESONATORS + 1) - 500.0
    formants = np.hstack([low, np.broadcast_to(high, (len(low), len(high)))])  # (P, N_RESONATORS)
    formants_hz = _smooth(formants[phone_of_step], 13) * voice.scale * voice.offsets
    nasality = _smooth(np.array([phone.kind == "nasal" for phone in targets])[phone_of_step].astype(float), 9)
    bandwidths_hz = (50 + 9e-6 * formants_hz**2) * voice.bandwidths
    bandwidths_hz += 2 * np.maximum(formants_hz - 7000.0, 0.0)  # those near 8 kHz fade out, and never fold back
    return Tracks(
        formants_hz=np.minimum(formants_hz, 7900.0),
        bandwidths_hz=bandwidths_hz * (1 + 0.5 * nasality[:, None]),
        pitch_hz=_melody(voice, targets, phone_of_step, rng),
        voicing=follow("voicing", 7),
        frication=follow("frication", 7),
        frication_hz=np.minimum(follow("frication_hz", 5) * voice.scale, 7000.0),
        frication_width_hz=follow("frication_width_hz", 5),
        nasal_zero_hz=follow("nasal_zero_hz", 9),
        phone=index[phone_of_step],
    )


def _melody(voice, targets, phone_of_step, rng) -> np.ndarray:
    """Pitch in Hz (K,): a falling line, an accent of its own on each phone, a slow drift."""
    accents = np.array([rng.standard_normal() if phone.kind == "vowel" else 0.0 for phone in targets])
    fall = np.linspace(0.5, -0.5, len(phone_of_step))
    semitones = voice.pitch_range_semitones * (fall + _smooth(accents[phone_of_step], 31))
    return voice.pitch_hz * 2 ** (semitones / 12)


def _smooth(track: np.ndarray, n_steps: int) -> np.ndarray:
    """track (K,) or (K, n), averaged in time under a Hann window, its ends held."""
    kernel = np.hanning(n_steps + 2)[1:-1]
    return convolve1d(track, kernel / kernel.sum(), axis=0, mode="nearest")
