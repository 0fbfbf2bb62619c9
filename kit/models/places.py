"""The places at which a net can be mixed that are not the same place twice.

Mixing before and after an affine map is one and the same: λ(Ax + b) + (1 − λ)(Ax' + b) = A(λx + (1 − λ)x') + b. So a
stage that is affine, such as a ResNet's mean over frequency after its last layer, or a stem that is one Linear, adds no
place.
"""

from collections.abc import Mapping

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d, VisionTransformer)  # whose own weights, positions and tokens, are added
TRIAL_LAM = 0.3


def mix_places(stages: Mapping[str, nn.Module], same: Mapping[str, str]) -> tuple[str, ...]:
    """Where manifold mixup mixes unless told otherwise: "input", and the layers but the last, each place once.

    As the source's resnet does, never after the stem and never after the last layer. A net that can't be cut has
    "input" alone. same: of same_places.
    """
    layers = [name for name in stages if name not in ("stem", "final")]
    return ("input", *(name for name in layers[:-1] if name not in same))


@torch.no_grad()
def same_places(stages: Mapping[str, nn.Module], mel_shape: tuple[int, int]) -> dict[str, str]:
    """Stages after which mixing is mixing at an earlier place, and that place; tried on noise of mel_shape (T, F).

    A stage is affine where all its modules with weights are (a norm, a scale and an attention are not, whatever their
    first values make of them), and where on noise in eval it maps a mixture to the mixture.
    """
    training = {stage: stage.training for stage in stages.values()}
    device = next((parameter.device for stage in stages.values() for parameter in stage.parameters()), None)
    h = torch.randn(2, *mel_shape, generator=torch.Generator().manual_seed(0)).to(device)
    same, here = {}, "input"
    try:
        for name, stage in stages.items():
            gave, _ = stage.eval()(torch.cat([h, _mixture(h)]), None)
            h, mixed = gave[:2], gave[2:]
            if _only_affine_weights(stage) and _close(_mixture(h), mixed):
                same[name] = here
            else:
                here = name
    finally:
        for stage, was in training.items():
            stage.train(was)
    return same


def _mixture(h: Tensor) -> Tensor:
    return TRIAL_LAM * h[:1] + (1 - TRIAL_LAM) * h[1:]


def _only_affine_weights(stage: nn.Module) -> bool:
    weighted = [module for module in stage.modules() if list(module.parameters(recurse=False))]
    return all(isinstance(module, AFFINE) for module in weighted)


def _close(a: Tensor, b: Tensor) -> bool:
    """Whether they differ by rounding alone. A ReLU or a maximum of noise is off by a tenth and more."""
    return bool((a - b).abs().max() <= 1e-3 * b.abs().max())
