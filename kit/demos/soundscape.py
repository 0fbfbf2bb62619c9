"""A made-up forest: species with their own calls, and recordings of them in rain, wind and insects.

Two species share each band of frequencies and differ in how a note moves through it, how it trills and repeats, and in
the season when they call. So a species can't be told from its band alone.
"""

from dataclasses import dataclass

import numpy as np

N_SPECIES = 24
SEASONS = ("dry", "early rains", "rains", "late rains")
SWEEPS = ("rise", "fall", "arch", "level")

# The difficulty: how far calls stand out, how many species call at once, and how many of their calls a detector hears.
LEVEL_DB, LEVEL_SPREAD_DB, LOWEST_DB, HIGHEST_DB = 11.0, 5.0, -2.0, 24.0
MEAN_SPECIES = 3.6  # in a recording
OUT_OF_SEASON = 0.15  # how often a species calls then, against its own season
HEARD_FROM_DB, HEARD_STEP_DB, HEARD_AT_MOST = 9.0, 2.5, 0.85
FALSE_HITS = 6.0  # a recording, of species that are not there


@dataclass(frozen=True)
class Species:
    """A call: notes that sweep through a band. trill_hz 0 is a plain tone; the trill moves pitch, or loudness."""

    low_hz: float
    high_hz: float
    sweep: str
    note_seconds: float
    gap_seconds: float
    notes: int
    trill_hz: float
    trill_moves_pitch: bool
    season: int
    overtone: float = 0.0  # amplitude of a second harmonic against the first's


@dataclass(frozen=True)
class Call:
    """One call in a recording, and the box around it."""

    species: int
    t_min: float  # s
    t_max: float
    f_min: float  # Hz
    f_max: float
    level_db: float  # power of its notes over that of the noise in its band


def draw_species(seed: int) -> list[Species]:
    """The 24 species of a forest."""
    rng = np.random.default_rng((seed, 0, 0))
    centres = np.geomspace(700, 9000, N_SPECIES // 2)
    forest = []
    for band, centre in enumerate(centres):
        sweeps = rng.permutation(SWEEPS)[:2]
        short = rng.permutation([True, False])
        for number in range(2):
            width = rng.uniform(1.15, 1.4)
            trills = rng.random() < 0.5
            forest.append(
                Species(
                    low_hz=centre / width,
                    high_hz=centre * width,
                    sweep=str(sweeps[number]),
                    note_seconds=rng.uniform(0.08, 0.16) if short[number] else rng.uniform(0.3, 0.6),
                    gap_seconds=rng.uniform(0.05, 0.15),
                    notes=int(rng.integers(4, 8)) if short[number] else int(rng.integers(1, 3)),
                    trill_hz=rng.uniform(8, 20) if trills and not short[number] else 0.0,
                    trill_moves_pitch=bool(rng.random() < 0.5),
                    season=(band + 2 * number) % len(SEASONS),
                )
            )
    return [forest[number] for number in rng.permutation(N_SPECIES)]


def sing(species: Species, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """One call of unit power in its notes (N,), never twice the same: pitch, pace and number of notes wander."""
    pitch, pace = 2 ** rng.normal(0, 0.02), rng.uniform(0.88, 1.12)
    gap = np.zeros(round(species.gap_seconds * pace * rate_hz))
    notes = max(1, species.notes + int(rng.integers(-1, 2)))
    note = _note(species, pitch, pace, rate_hz)
    parts = [part for _ in range(notes) for part in (note * rng.uniform(0.8, 1.0), gap)]
    return np.concatenate(parts[:-1])


def _note(species: Species, pitch: float, pace: float, rate_hz: int) -> np.ndarray:
    n = round(species.note_seconds * pace * rate_hz)
    u, seconds = np.linspace(0, 1, n), np.arange(n) / rate_hz
    height = {"rise": u, "fall": 1 - u, "arch": 1 - np.abs(2 * u - 1), "level": np.full(n, 0.5)}[species.sweep]
    trill = np.sin(2 * np.pi * species.trill_hz * seconds)
    if species.trill_hz and species.trill_moves_pitch:
        height = 0.7 * height + 0.15 + 0.15 * trill
    hz = pitch * species.low_hz * (species.high_hz / species.low_hz) ** height
    phase = 2 * np.pi * np.cumsum(hz) / rate_hz
    wave = np.sin(phase)
    if species.overtone:
        wave = wave + species.overtone * np.sin(2 * phase)
    envelope = np.minimum(1, np.minimum(u / 0.1, (1 - u) / 0.3))
    if species.trill_hz and not species.trill_moves_pitch:
        envelope = envelope * (0.55 + 0.45 * trill)
    wave = wave * envelope
    return wave / np.sqrt(np.mean(wave**2))


def make_noise(n: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Wind, rain with its drops, and insects, in shares that differ by recording (n,)."""
    hz = np.fft.rfftfreq(n, 1 / rate_hz)
    spectrum = np.fft.rfft(rng.standard_normal(n, dtype=np.float32))
    wind = 1 / (1 + (hz / rng.uniform(100, 300)) ** 1.5)
    rain = rng.uniform(0.002, 0.05) * np.exp(-((np.log(np.maximum(hz, 1) / rng.uniform(2000, 5000)) / 1.2) ** 2))
    insects = sum(
        rng.uniform(0.02, 0.12) * np.exp(-(((hz - centre) / rng.uniform(60, 200)) ** 2))
        for centre in rng.uniform(4000, 12000, rng.integers(0, 3))
    )
    noise = np.fft.irfft(spectrum * (0.004 + wind + rain + insects), n)
    gusts = np.interp(np.arange(n), np.linspace(0, n, 9), rng.uniform(0.7, 1.3, 9))
    noise = noise * gusts
    deviation = noise.std()
    for drop in rng.integers(0, n - 400, rng.poisson(6 * n / rate_hz * rng.random())):
        noise[drop : drop + 400] += 4 * deviation * rng.random() * rng.standard_normal(400) * _DROP
    return noise / np.sqrt(np.mean(noise**2))


_DROP = np.exp(-np.arange(400) / 60.0)


def make_recording(
    seed: int, number: int, seconds: float, rate_hz: int
) -> tuple[np.ndarray, list[Call], list[tuple[Call, bool]]]:
    """A recording (N,) int16, every call in it, and a detector's checked hits: (box, whether it was right).

    The detector hears the louder calls more often, and of a species in a recording only its clearest call is kept.
    """
    forest, rng = draw_species(seed), np.random.default_rng((seed, 1, number))
    n = round(seconds * rate_hz)
    wave = make_noise(n, rate_hz, rng)
    power = np.abs(np.fft.rfft(wave)) ** 2 * 2 / n**2  # of each bin: its share of the mean square
    calls = []
    for index in _who_calls(forest, rng):
        level = float(np.clip(rng.normal(LEVEL_DB, LEVEL_SPREAD_DB), LOWEST_DB, HIGHEST_DB))
        for _ in range(1 + rng.poisson(seconds / 12)):
            calls.append(_add_call(wave, power, forest[index], index, level + rng.normal(0, 1), rate_hz, rng))
    hits = [(call, True) for call in _heard(calls, rng)]
    hits += [(call, False) for call in _misheard(forest, calls, seconds, rng)]
    loudest = np.abs(wave).max()
    return np.round(wave / loudest * rng.uniform(0.03, 0.3) * 32767).astype(np.int16), calls, hits


def _who_calls(forest: list[Species], rng: np.random.Generator) -> np.ndarray:
    season = rng.integers(len(SEASONS))
    weights = np.array([1.0 if species.season == season else OUT_OF_SEASON for species in forest])
    n = min(8, rng.poisson(MEAN_SPECIES))
    return rng.choice(len(forest), n, replace=False, p=weights / weights.sum())


def _add_call(wave, power, species: Species, number: int, level_db: float, rate_hz: int, rng) -> Call:
    """Mix one call into the wave, in place: it is the recording that is being made."""
    call = sing(species, rate_hz, rng)[: len(wave)]
    low, high, noise = band(species, power, rate_hz, len(wave))
    start = int(rng.integers(0, len(wave) - len(call) + 1))
    wave[start : start + len(call)] += call * np.sqrt(noise * 10 ** (level_db / 10))
    return Call(number, start / rate_hz, (start + len(call)) / rate_hz, low, high, level_db)


def band(species: Species, power: np.ndarray, rate_hz: int, n: int) -> tuple[float, float, float]:
    """A call's lowest and highest frequency (Hz), and what a noise of n samples has there of its mean square.

    power: of each bin of the noise's real spectrum.
    """
    hz = np.arange(len(power)) * rate_hz / n
    low, high = 0.97 * species.low_hz, 1.03 * species.high_hz
    return low, high, power[(hz >= low) & (hz <= high)].sum()


def _heard(calls: list[Call], rng: np.random.Generator) -> list[Call]:
    clearest = {call.species: call for call in sorted(calls, key=lambda call: call.level_db)}
    chance = {
        number: HEARD_AT_MOST / (1 + np.exp(-(call.level_db - HEARD_FROM_DB) / HEARD_STEP_DB))
        for number, call in clearest.items()
    }
    return [clearest[number] for number in sorted(clearest) if rng.random() < chance[number]]


def _misheard(forest: list[Species], calls: list[Call], seconds: float, rng: np.random.Generator) -> list[Call]:
    """Hits of absent species: half of them where another of the band calls, if one does."""
    present, hits = {call.species for call in calls}, []
    absent = [number for number in range(len(forest)) if number not in present]
    for number in rng.choice(absent, min(len(absent), rng.poisson(FALSE_HITS)), replace=False):
        species = forest[number]
        alike = [call for call in calls if call.f_min < species.high_hz and call.f_max > species.low_hz]
        if alike and rng.random() < 0.5:
            box = alike[int(rng.integers(len(alike)))]
            start, length = box.t_min, box.t_max - box.t_min
        else:
            length = min(species.notes * (species.note_seconds + species.gap_seconds), seconds)
            start = rng.uniform(0, seconds - length)
        hits.append(Call(int(number), start, start + length, 0.97 * species.low_hz, 1.03 * species.high_hz, np.nan))
    return hits
