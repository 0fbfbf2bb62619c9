"""A timm net taken apart into the stages between which we mix, proved by following one image through it.

What forward_features calls is recorded. Where each call's input is the very tensor that the call before gave, and the
last call's output the features, the calls one after another are the net. Other nets stay whole; a ViT has its own cut.
"""

from dataclasses import dataclass

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kit.models.maps import HeadNorm


@dataclass
class Call:
    """A module that was called once, on one tensor, and what it was given and gave."""

    module: nn.Module
    given: Tensor | None
    gave: Tensor


class VitStem(nn.Module):
    """A ViT up to its blocks: patches, positions resampled to the grid, prefix tokens."""

    def __init__(self, net: VisionTransformer):
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.net._pos_embed(self.net.patch_embed(image))
        return self.net.norm_pre(self.net.patch_drop(tokens))  # (B, prefix + H·W, C)


@torch.no_grad()
def cut(net: nn.Module, image: Tensor) -> list[nn.Module] | None:
    """[stem, stages …, final] that run as the net's forward_features in eval; None for a net that can't be cut.

    The net must be in eval. A ViT is changed: its stem keeps it, without its blocks and norms.
    """
    if type(net).forward_features is VisionTransformer.forward_features:
        return _cut_vit(net)
    chain = _chain(net, list(net.children()), image)
    return None if chain is None else _group(_expand(net, chain, image))


def _cut_vit(net: VisionTransformer) -> list[nn.Module]:
    blocks, norm = list(net.blocks), net.norm
    net.blocks = net.norm = net.fc_norm = nn.Identity()  # the stem keeps the net for what comes before its blocks
    net.attn_pool = None
    return [VitStem(net), *blocks, norm]


def _chain(net: nn.Module, parts: list[nn.Module], image: Tensor) -> list[Call] | None:
    """The calls of the parts if one after another they are the net's forward_features.

    Of a list, or a Sequential that the net runs item by item, the items' calls.
    """
    lists = [part for part in parts if isinstance(part, (nn.ModuleList, nn.Sequential))]
    list_of = {id(item): part for part in lists for item in part}
    watched = [*parts, *(item for part in lists for item in part)]
    calls: list[Call] = []

    def record(module, given, gave):
        calls.append(Call(module, given[0] if len(given) == 1 else None, gave))

    hooks = [module.register_forward_hook(record) for module in watched]
    try:
        features = net.forward_features(image)
    finally:
        for hook in hooks:
            hook.remove()
    called = {id(call.module) for call in calls}
    calls = [call for call in calls if id(list_of.get(id(call.module))) not in called]
    once = len({id(call.module) for call in calls}) == len(calls)
    whole = all(isinstance(call.given, Tensor) and isinstance(call.gave, Tensor) for call in calls)
    if not (whole and once and calls and calls[0].given is image and calls[-1].gave is features):
        return None
    return calls if all(b.given is a.gave for a, b in zip(calls, calls[1:], strict=False)) else None


def _expand(net: nn.Module, chain: list[Call], image: Tensor) -> list[Call]:
    """The chain with its one large part, such as `stages`, `blocks` or `features`, taken apart; and so on."""
    large = [number for number, call in enumerate(chain) if _n_kernels(call.module) > 1]
    large = [number for number in large if number > 0 or len(large) == 1]  # a deep stem stays in one piece
    if len(large) != 1 or not isinstance(chain[large[0]].module, nn.Sequential):
        return chain  # also where several are large, as a ResNet's layers
    items = list(chain[large[0]].module.children())
    parts = [call.module for call in chain[: large[0]]] + items + [call.module for call in chain[large[0] + 1 :]]
    finer = _chain(net, parts, image) if len(items) > 1 else None
    return chain if finer is None else _expand(net, finer, image)


def _group(chain: list[Call]) -> list[nn.Module] | None:
    """[stem, stages …, final]: parts of one kernel at most join the stem, the stage before them, or the final layers.

    Where no part but the first is larger (VGG), a stage ends where the image shrinks. None for a single stage.
    """
    large = [number for number in range(1, len(chain)) if _n_kernels(chain[number].module) > 1]
    if not large:
        shrinks = [n for n, call in enumerate(chain) if n > 0 and call.gave.shape[-1] < call.given.shape[-1]]
        large = [n + 1 for n in shrinks if n + 1 < len(chain)]
    if len(large) < 2:
        return None
    modules = [call.module for call in chain]
    starts = [0, *large]
    groups = [modules[start:end] for start, end in zip(starts, [*large, len(modules)], strict=True)]
    final = groups[-1][1:] if _n_kernels(groups[-1][0]) > 1 else []
    groups[-1] = groups[-1][: len(groups[-1]) - len(final)]
    return [*(_together(group) for group in groups), _together(final)]


def _together(modules: list[nn.Module]) -> nn.Module:
    modules = [module for module in modules if not isinstance(module, nn.Identity)]
    if not modules:
        return nn.Identity()
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _n_kernels(module: nn.Module) -> int:
    """Weights of two or more dimensions, such as a convolution's; norms and biases have one."""
    return sum(parameter.dim() > 1 and parameter.numel() > max(parameter.shape) for parameter in module.parameters())


@torch.no_grad()
def head_norm(net: nn.Module, features: Tensor) -> nn.Module | None:
    """The norm that the net's own head has between pooling and classifier, such as ConvNeXt's and an averaging ViT's.

    It is the head's first module with weights, if it is a norm over channels; a batch norm, whose statistics would be
    of frames and not of clips, is left out. The net must be in eval, and whole.
    """
    calls = []
    hooks = [
        module.register_forward_hook(lambda module, given, gave: calls.append((module, given[0])))
        for module in net.modules()
        if not list(module.children()) and list(module.parameters())
    ]
    try:
        net.forward_head(features, pre_logits=True)
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        return None
    norm, given = calls[0]
    if isinstance(norm, _BatchNorm) or _n_kernels(norm) or given.numel() != net.num_features:
        return None
    return HeadNorm(norm, channels_first=given.dim() == 4 and given.shape[1] == net.num_features)
