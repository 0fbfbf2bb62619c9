"""Prototypes: a class is the mean of its examples' embeddings, and a new class needs a handful, not a training.

ĉ is c / |c|; an utterance belongs to the class whose prototype has the largest cosine with its embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from kit.models.heads import mix_prototypes


def cosines(z: Tensor, prototypes: Tensor) -> Tensor:
    """The cosine (N, C) of each embedding z (N, D) with each prototype (C, D)."""
    return normalize(z, dim=1) @ normalize(prototypes, dim=1).T


def calibrate(new: Tensor, base: Tensor, weight: float = 0.5, temperature: float = 16.0) -> Tensor:
    """New prototypes (K, D) drawn towards the base prototypes (B, D) that they resemble: (1 − w) ĉ + w δ, (K, D).

    Soft calibration, TEEN (Wang et al. 2023, arXiv 2312.05229): δ is the normalised mean of the base prototypes, each
    weighted by softmax(temperature · cosine). Its authors' scripts (github.com/wangkiw/TEEN) have temperature 16 and
    weight 0.5, or on CIFAR-100 0.1. Raises ValueError for weight outside [0, 1], temperature not above 0.
    """
    _check_weight("weight", weight)
    _check_temperature(temperature)
    new, base = normalize(new, dim=1), normalize(base, dim=1)
    share = (temperature * (new @ base.T)).softmax(1)  # (K, B)
    return torch.lerp(new, normalize(share @ base, dim=1), weight)


@dataclass(frozen=True)
class Recipe:
    """How class means become prototypes; a step with weight 0 is left out.

    Raises ValueError where a weight is outside [0, 1], or temperature is not above 0.
    """

    name: str = "plain"
    formant: float = 0.0  # share of the formant view's prototypes
    residual: float = 0.0  # share of the residual view's
    calibration: float = 0.0  # the new classes' step towards the base classes that they resemble
    temperature: float = 16.0  # of the resemblance

    def __post_init__(self):
        for name in ("formant", "residual", "calibration"):
            _check_weight(name, getattr(self, name))
        _check_temperature(self.temperature)

    def prototypes(self, means: Tensor, n_base: int) -> Tensor:
        """means (V, C, D), of speech alone or of speech, formant, residual, the base classes first -> (C, D).

        Prototype-level LPC mixup of every class, then soft calibration of the classes from n_base on.
        """
        mixed = normalize(means[0], dim=1)
        for view, name in enumerate(("formant", "residual"), start=1):
            weight = getattr(self, name)
            if weight and len(means) < 3:
                raise ValueError(f"{name} must be 0 where there is the speech view alone, got {weight}")
            if weight:
                mixed = mix_prototypes(mixed, means[view], weight)
        if not self.calibration:
            return mixed
        new = calibrate(mixed[n_base:], mixed[:n_base], self.calibration, self.temperature)
        return torch.cat([mixed[:n_base], normalize(new, dim=1)])


def _check_weight(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")


def _check_temperature(value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"temperature must be above 0 and finite, got {value}")
