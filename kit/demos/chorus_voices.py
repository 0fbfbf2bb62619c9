"""Who calls in the demo dawn chorus: birds of the demo rainforest, and frogs and insects of its own.

Codes are made up in the form of BirdCLEF's: letters for birds, numbers for the others, and "son" for an insect that is
known by its sound alone. A class calls at its own hours, and at some sites more than at others.
"""

from dataclasses import dataclass

import numpy as np

from kit.demos.soundscape import Species, draw_species

N_SITES = 4
BIRDS = (
    "ambtan1", "blufin2", "copjay1", "duswre3", "emefly1", "fenwar2", "grathr1", "horowl2", "ivopar1", "jadhum1",
    "lonpip2", "mottin1", "nobdov2",
)  # fmt: skip
FROGS = ("104417", "1163902", "220518", "65381")
INSECTS = ("47219", "84410son01", "84410son02")
WITHOUT_CLIPS = ("220518", "84410son02")  # heard in soundscapes only
KINDS = {"Aves": BIRDS, "Amphibia": FROGS, "Insecta": INSECTS}
PEAK_HOURS = {"Aves": 6.0, "Amphibia": 21.0, "Insecta": 18.0}
HOURS_SPREAD = {"Aves": 2.5, "Amphibia": 4.0, "Insecta": 5.0}


@dataclass(frozen=True)
class Voice:
    """A class: its code, its kind of animal (a key of KINDS), its call, and where and when it is heard."""

    label: str
    kind: str
    species: Species
    sites: tuple[float, ...]  # how often at each site, of a sum of 1
    peak_hour: float

    def weight(self, site: int, hour: float) -> float:
        """How often it is heard at a site and an hour, relative to others; never 0."""
        away = abs((hour - self.peak_hour + 12) % 24 - 12)
        return self.sites[site] * (0.05 + np.exp(-0.5 * (away / HOURS_SPREAD[self.kind]) ** 2))


def draw_voices(seed: int) -> tuple[Voice, ...]:
    """The 20 classes, in the order of their codes as text."""
    rng = np.random.default_rng((seed, 3, 0))
    calls = {
        "Aves": draw_species(seed)[: len(BIRDS)],
        "Amphibia": [_frog(hz, rng) for hz in np.geomspace(480, 2100, len(FROGS))],
        "Insecta": [_insect(hz, rng) for hz in (5200.0, 7300.0, 10400.0)],
    }
    voices = []
    for kind, labels in KINDS.items():
        for label, species in zip(labels, calls[kind], strict=True):
            sites = rng.dirichlet(np.full(N_SITES, 1.5))
            peak = (PEAK_HOURS[kind] + rng.normal(0, 1)) % 24
            voices.append(Voice(label, kind, species, tuple(0.9 * sites + 0.1 / N_SITES), peak))
    return tuple(sorted(voices, key=lambda voice: voice.label))


def _frog(hz: float, rng: np.random.Generator) -> Species:
    """A row of short pulses with an overtone."""
    return Species(
        low_hz=hz / 1.12,
        high_hz=hz * 1.12,
        sweep=str(rng.choice(["fall", "level", "rise"])),
        note_seconds=rng.uniform(0.025, 0.06),
        gap_seconds=rng.uniform(0.02, 0.07),
        notes=int(rng.integers(8, 18)),
        trill_hz=0.0,
        trill_moves_pitch=False,
        season=0,
        overtone=rng.uniform(0.3, 0.7),
    )


def _insect(hz: float, rng: np.random.Generator) -> Species:
    """A long buzz, loud and soft 30 to 70 times a second."""
    return Species(
        low_hz=hz / 1.04,
        high_hz=hz * 1.04,
        sweep="level",
        note_seconds=rng.uniform(0.7, 1.6),
        gap_seconds=rng.uniform(0.1, 0.4),
        notes=int(rng.integers(2, 4)),
        trill_hz=rng.uniform(30, 70),
        trill_moves_pitch=False,
        season=0,
    )
