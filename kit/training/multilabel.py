"""Losses over the known pairs of multi-label targets (B, C): 1, 0, shares between them in a mixture, NaN unknown.

Focal: Lin et al. 2017 (arXiv 1708.02002), without its balancing α, and for soft targets y the sum of both parts.
"""

import torch
from torch import Tensor
from torch.nn import functional

LOSSES = ("cross_entropy", "bce", "focal")


def mixed_labels(target: Tensor, weight: Tensor, plan, unknown_share: float = 0.0) -> tuple[Tensor, Tensor]:
    """The target (B, C) of a mixture, and its positive part times `weight`, both NaN where a part is unknown.

    A part that has no more than `unknown_share` of the mixture does not make it unknown: what is not known of it counts
    as 0, and is off by that share at most.
    """
    if plan is None:
        return target, target * weight
    share = plan.lam.to(target).expand(len(target))[:, None]  # (B, 1) of the item itself
    parts = []
    for of_part, perm in ((share, slice(None)), (1 - share, plan.perm)):
        part = target[perm]
        small = part.isnan() & (of_part <= unknown_share) & (unknown_share > 0)
        parts.append((of_part, torch.where(small, 0.0, part), weight[perm]))
    mixed = sum(of_part * part for of_part, part, _ in parts)
    return mixed, sum(of_part * part * part_weight for of_part, part, part_weight in parts)


def multilabel_loss(
    logits: Tensor, target: Tensor, positive: Tensor, *, gamma: float = 0.0, label_smoothing: float = 0.0
) -> Tensor:
    """−[w y (1 − p)^γ log p + (1 − y) p^γ log(1 − p)], the mean over known pairs, in single precision; 0 if none is.

    target y and positive w·y (B, C) are NaN where unknown. label_smoothing ε makes y of 1 into 1 − ε/2, of 0 into ε/2.
    """
    known = ~target.isnan()
    y, gain = target.nan_to_num(), torch.where(target > 0, positive / target, 1.0).nan_to_num(1.0)
    y = y * (1 - label_smoothing) + label_smoothing / 2
    logits = logits.float()
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    found, missed = gain * y * log_p, (1 - y) * log_q
    if gamma:
        found, missed = found * (gamma * log_q).exp(), missed * (gamma * log_p).exp()
    return -((found + missed) * known).sum() / known.sum().clamp(min=1)


def known_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Each item's share of known pairs on the right side of a half (B,); 1 where none is known."""
    known = ~target.isnan()
    right = ((logits > 0) == (target > 0.5)) & known
    return torch.where(known.any(1), right.sum(1) / known.sum(1).clamp(min=1), 1.0)


def positive_weights(config, epoch: int) -> tuple[float, float]:
    """The weights of true and of pseudo positives in an epoch (from 0): the one tends to 1, the other to 0."""
    true = 1 + (config.positive_weight - 1) * config.positive_decay**epoch
    return true, true * config.pseudo_weight * config.pseudo_decay**epoch


def multilabel_step(config, batch, model) -> tuple[Tensor, Tensor]:
    """The loss of a batch with a multi-label target, and its logits (B, C)."""
    logits, _ = model(batch.mel, batch.mask, batch.plan and batch.plan.mix)
    target, positive = mixed_labels(batch.target, batch.weight, batch.plan, config.mix_unknown_share)
    gamma = config.focal_gamma if config.loss == "focal" else 0.0
    return multilabel_loss(logits, target, positive, gamma=gamma, label_smoothing=config.label_smoothing), logits


def check_loss(config, task: str) -> None:
    """Raises ValueError where a config's loss is not for the task's labels."""
    if (task == "multi") != (config.loss != "cross_entropy"):
        wanted = '"bce" or "focal"' if task == "multi" else '"cross_entropy"'
        raise ValueError(f"loss must be {wanted} for this competition's labels, got {config.loss!r}")


def check_fields(config) -> None:
    """Raises ValueError naming the config's field about several labels that breaks a rule, the rule and the value."""
    for name in ("focal_gamma", "positive_weight", "pseudo_weight"):
        if getattr(config, name) == float("inf"):
            raise ValueError(f"{name} must be finite, got inf")
    if not config.eval_overlap < config.segment_frames:
        raise ValueError(
            f"eval_overlap must be below segment_frames ({config.segment_frames}), got {config.eval_overlap}"
        )
    if config.eval_windows != "none" and config.eval_crops:
        raise ValueError(f"eval_crops must be 0 with eval_windows {config.eval_windows!r}, got {config.eval_crops}")
    if config.loss == "cross_entropy" and (config.pseudo or config.mix_unknown_share):
        name = "pseudo" if config.pseudo else "mix_unknown_share"
        raise ValueError(f'loss must be "bce" or "focal" with {name}, got "cross_entropy"')
    if config.loss != "cross_entropy" and config.mix == "lpc":
        raise ValueError(f'mix must not be "lpc", which is for one label a row, with loss {config.loss!r}')
    if config.timm_frequency != "mean" and config.image_channels:
        raise ValueError(f'timm_frequency must be "mean" with images, got {config.timm_frequency!r}')
    if config.head == "sed" and config.backbone == "transformer":
        raise ValueError('head must not be "sed" with backbone "transformer", whose hidden layer it has no place for')
