"""What the fields of a Config must be: choices, bounds, and what goes with what."""

import math
from dataclasses import fields
from typing import Any

from kit.data.augment import FILLS
from kit.data.mixup import MIXES
from kit.data.windows import POOLS
from kit.models.pixels import STEMS
from kit.training.multilabel import LOSSES, check_fields
from kit.training.step import STEPS

CHOICES = {
    "features": ("mel", "wave"),
    "mask_fill": FILLS,
    "mix": (*MIXES, "lpc"),
    "lpc_with": tuple(MIXES),
    "lpc_swap": ("none", "least", "most"),
    "backbone": ("transformer", "conformer", "timm"),
    "timm_stem": STEMS,
    "timm_frequency": ("mean", "stack"),
    "normalize": ("none", "mean", "mean_std"),
    "conv_norm": ("batch", "group"),
    "pooling": ("mean", "attention", "statistics", "gem", "sed"),
    "head": ("linear", "cosine", "am_softmax", "sed"),
    "loss": LOSSES,
    "keep": ("best", "last"),
    "eval_windows": ("none", *POOLS),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "step": STEPS,
}
AT_LEAST_ONE = (
    "segment_frames", "width", "layers", "heads", "ff_width", "kernel_size", "frame_stack", "epochs", "batch_size",
    "patience", "average_best",
    "n_folds", "mix_from_epoch", "lpc_order", "eval_top",
)  # fmt: skip
AT_LEAST_ZERO = (
    "seed", "fold_seed", "time_masks", "time_mask_frames", "freq_masks", "freq_mask_bins", "margin_warmup_steps",
    "warmup_steps", "weight_decay", "clip_norm", "epoch_steps", "eval_crops", "eval_frames", "workers",
    "mix_alpha", "mix_until_epoch", "lpc_formant", "lpc_residual", "lpc_recombination", "lpc_shuffled",
    "lpc_swap_weight", "n_base",
    "image_channels", "image_crop_pixels",
    "focal_gamma", "positive_weight", "pseudo_weight", "eval_overlap",
)  # fmt: skip
FRACTIONS = ("dropout", "margin", "label_smoothing", "ema_decay")
SHARES = (
    "wave_probability", "mix_probability", "lpc_instance", "lpc_prototypes",
    "positive_decay", "pseudo_decay", "mix_unknown_share",
)  # fmt: skip
RANGES = ("wave_snr_db", "wave_gain_db", "wave_pitch_semitones", "wave_stretch_rate")
MOST_SEED = 2**32 - 1  # NumPy's and scikit-learn's
MOST_NAME = 200  # bytes: a folder's name may have 255, and what is made beside it is longer


def check(config) -> None:
    """Raises ValueError naming the field, the rule and the value."""
    for item in fields(config):
        _check_type(item.name, getattr(config, item.name), item.type)
    _check_values(config)
    _check_limits(config)
    _check_shapes(config)
    _check_mix(config)
    _check_lpc(config)
    _check_images(config)
    check_fields(config)


def _check_values(config) -> None:
    for name, choices in CHOICES.items():
        if getattr(config, name) not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(config, name)!r}")
    for names, least in ((AT_LEAST_ONE, 1), (AT_LEAST_ZERO, 0)):
        for name in names:
            if not getattr(config, name) >= least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(config, name)}")
    for name in FRACTIONS:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must be in [0, 1), got {getattr(config, name)}")
    for name in SHARES:
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {getattr(config, name)}")
    for name in ("lr", "scale"):
        if not 0 < getattr(config, name) < float("inf"):
            raise ValueError(f"{name} must be above 0, got {getattr(config, name)}")


def _check_limits(config) -> None:
    """What a JSON file may say and no training can use."""
    for item in fields(config):
        value = getattr(config, item.name)
        if item.type is float and not abs(value) < math.inf:
            raise ValueError(f"{item.name} must be finite, got {value}")
        if item.type in (int, float) and isinstance(value, int) and not abs(value) < 2**63:
            raise ValueError(f"{item.name} must fit in 64 bits, got a number of {value.bit_length()} bits")
    for name in ("seed", "fold_seed"):
        if getattr(config, name) > MOST_SEED:
            raise ValueError(f"{name} must be at most {MOST_SEED}, got {getattr(config, name)}")
    for name in RANGES:
        value = getattr(config, name)
        if len(value) != 2 or not all(map(_is_number, value)) or not -math.inf < value[0] <= value[1] < math.inf:
            raise ValueError(f"{name} must be (low, high) with low <= high, got {value!r}")
    if not all(isinstance(place, str) for place in config.mix_places):
        raise ValueError(f"mix_places must be names of places, got {config.mix_places!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_shapes(config) -> None:
    if len(config.name.encode("utf-8", "replace")) > MOST_NAME:
        raise ValueError(f"name must be usable as a folder's name, of at most {MOST_NAME} bytes, got {config.name!r}")
    if not config.name or any(mark in config.name for mark in "/\\\0") or config.name.startswith("."):
        raise ValueError(f"name must be usable as a folder's name, got {config.name!r}")
    if config.backbone != "timm" and config.width % config.heads:
        raise ValueError(f"width must be a multiple of heads ({config.heads}), got {config.width}")
    if config.wave_probability and config.features != "wave":
        raise ValueError(f'wave_probability must be 0 unless features is "wave", got {config.wave_probability}')
    if config.kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, got {config.kernel_size}")


def _check_mix(config) -> None:
    if config.drawn_mix == "wave" and config.features != "wave":
        raise ValueError(f'features must be "wave" with mix "wave", got {config.features!r}')
    if config.mix_alpha == float("inf"):
        raise ValueError("mix_alpha must be finite, got inf")
    if config.mix_places and config.drawn_mix != "manifold":
        raise ValueError(f'mix_places must be empty unless mix is "manifold", got {config.mix_places!r}')
    if len(set(config.mix_places)) < len(config.mix_places):
        raise ValueError(f"mix_places must name each place once, got {config.mix_places!r}")
    if config.drawn_mix != "none" and config.mix_from_epoch > config.epochs:
        raise ValueError(f"mix_from_epoch must be at most epochs ({config.epochs}), got {config.mix_from_epoch}")
    if 0 < config.mix_until_epoch < config.mix_from_epoch:
        raise ValueError(
            f"mix_until_epoch must be 0 or at least mix_from_epoch ({config.mix_from_epoch}), "
            f"got {config.mix_until_epoch}"
        )


def _check_lpc(config) -> None:
    if config.mix != "lpc":
        for name in ("lpc_with", "lpc_swap", "lpc_prototypes"):
            if getattr(config, name) not in ("none", 0):
                raise ValueError(f'{name} must be left out unless mix is "lpc", got {getattr(config, name)!r}')
    for name in ("lpc_formant", "lpc_residual", "lpc_recombination", "lpc_shuffled", "lpc_swap_weight"):
        if getattr(config, name) == float("inf"):
            raise ValueError(f"{name} must be finite, got inf")
    trained = config.replace_prototypes or config.lpc_formant and config.lpc_residual
    if config.lpc_prototypes and not trained:
        raise ValueError(
            "lpc_prototypes must be 0 where lpc_formant or lpc_residual is 0 and replace_prototypes False, "
            f"got {config.lpc_prototypes}"
        )
    for needed, why in ((config.mix == "lpc", 'mix "lpc"'), (config.replace_prototypes, "replace_prototypes")):
        if needed and config.head not in ("cosine", "am_softmax"):
            raise ValueError(
                f"head must be cosine or am_softmax with {why}, which is about angles, got {config.head!r}"
            )


def _check_images(config) -> None:
    if config.keep == "last" and config.average_best > 1:
        raise ValueError(f'average_best must be 1 with keep "last", got {config.average_best}')
    if config.timm_stem != "as_built" and config.backbone != "timm":
        raise ValueError(f'timm_stem must be "as_built" unless backbone is "timm", got {config.timm_stem!r}')
    if not config.image_channels:
        wanted = {"image_crop_pixels": 0, "image_flip": False}
    else:
        wanted = {"backbone": "timm", "features": "mel", "normalize": "none"}
        wanted |= {"time_masks": 0, "freq_masks": 0, "eval_crops": 0}
    if config.image_channels and config.mix == "lpc":
        raise ValueError(f'mix must not be "lpc" with image_channels {config.image_channels}, got "lpc"')
    for name, value in wanted.items():
        if getattr(config, name) != value:
            found = getattr(config, name)
            raise ValueError(f"{name} must be {value!r} with image_channels {config.image_channels}, got {found!r}")


def _check_type(name: str, value: Any, kind: type) -> None:
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} must be of type {kind.__name__}, got {value!r}")
