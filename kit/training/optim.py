"""Optimisers: `(param groups) -> torch optimiser`. No weight decay on norms and biases, as timm groups them.

Rates of a group are the optimiser's own rate times its share; kit.training.schedules then scales all alike.
"""

import inspect
from typing import Any

import torch
from torch import nn

from kit.parts import Part, above, at_least, make, part, part_name, unknown


@part
class AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), fused.

    head_lr: the rate of all that follows the backbone; 0 is lr. layer_decay: each stage of the backbone has this share
    of the next one's rate, the last the whole of lr (Clark et al. 2020, arXiv 2003.10555).
    """

    lr: float = 1e-3
    weight_decay: float = 0.01
    head_lr: float = 0.0
    layer_decay: float = 1.0

    def check(self):
        check_rates(self)

    def build(self, net: nn.Module, capturable: bool) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            param_groups(net, self), self.lr, weight_decay=self.weight_decay, fused=True, capturable=capturable
        )


@part
class TimmOptimizer:
    """An optimiser by timm's name for it, such as "muon" or "lamb" (timm.optim.list_optimizers); fields as AdamW's."""

    name: str = "muon"
    lr: float = 1e-3
    weight_decay: float = 0.01
    head_lr: float = 0.0
    layer_decay: float = 1.0

    def check(self):
        import timm.optim  # here, for it takes seconds

        check_rates(self)
        if self.name not in timm.optim.list_optimizers():
            raise ValueError(unknown("name: timm has no optimiser", self.name, timm.optim.list_optimizers()))

    def build(self, net: nn.Module, capturable: bool) -> torch.optim.Optimizer:
        if capturable:
            raise ValueError(f'optimizer must be AdamW with step "graph", got {self.name!r}')
        import timm.optim

        return timm.optim.create_optimizer_v2(
            param_groups(net, self), self.name, lr=self.lr, weight_decay=self.weight_decay
        )


def check_rates(optimizer: Any) -> None:
    above(optimizer, 0, "lr", "layer_decay")
    at_least(optimizer, 0, "weight_decay", "head_lr")
    if optimizer.layer_decay > 1:
        raise ValueError(f"layer_decay must be at most 1, got {optimizer.layer_decay}")


def build_optimizer(optimizer: Any, net: nn.Module, capturable: bool = False) -> torch.optim.Optimizer:
    """The optimiser of a part over a net that lies on its device; one of your own gets two groups.

    capturable says that a CUDA graph must be able to hold it. Raises ValueError naming a part that gives no optimiser.
    """
    if hasattr(optimizer, "build"):
        built = optimizer.build(net, capturable)
    elif isinstance(optimizer, Part) and inspect.isclass(optimizer.target):
        built = optimizer.make(param_groups(net))
    else:
        built = make(optimizer)(param_groups(net))
    if not isinstance(built, torch.optim.Optimizer):
        raise ValueError(f"optimizer {part_name(optimizer)}: must give a torch optimiser, got {type(built).__name__}")
    for group in built.param_groups:
        group["initial_lr"] = group["lr"]
    return built


def param_groups(net: nn.Module, optimizer: Any = None) -> list[dict[str, Any]]:
    """The parameters that are trained, those of one rate and one weight decay together; norms and biases without decay.

    Without an optimiser's rates: two groups, decayed and not, for one that sets its own.
    """
    rates = _rates(net, optimizer) if optimizer is not None else {}
    groups: dict[tuple, dict[str, Any]] = {}
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:
            continue
        decays, rate = parameter.dim() > 1, rates.get(name)
        group = groups.setdefault((decays, rate), {"params": []})
        group["params"].append(parameter)
        if not decays:
            group["weight_decay"] = 0.0
        if rate is not None:
            group["lr"] = rate
    return list(groups.values())


def _rates(net: nn.Module, optimizer: Any) -> dict[str, float]:
    """The rate of each parameter by its name: the backbone's by depth, head_lr for what follows it."""
    heads, rates = set(net.head_parameters()), {}
    groups = [group for group in net.layer_groups() if group and group[0] not in heads]
    for below, group in enumerate(reversed(groups)):
        rates |= dict.fromkeys(group, optimizer.lr * optimizer.layer_decay**below)
    return rates | dict.fromkeys(heads, optimizer.head_lr or optimizer.lr)
