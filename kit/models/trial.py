"""Before any training: does every part of a net take and give what its neighbours expect?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kit.models.own import WholeNet, shape_of
from kit.parts import part_name

ROWS = 2


def check_net(
    net: nn.Module, part: Any, n_mels: int, n_classes: int, crop_frames: int, image_channels: int = 0
) -> None:
    """Tries the net that `part` made on two small batches, one whole and one padded, in training and in eval mode.

    Nothing stays of it: buffers such as a batch norm's statistics, modes and torch's random state are as before.
    Raises ValueError in one line that names the backbone, pooling, head or whole net, and what it gave.
    """
    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    modes = [(module, module.training) for module in net.modules()]
    mel = torch.rand(ROWS, crop_frames, n_mels, generator=torch.Generator().manual_seed(0)).to(device)
    mask = torch.ones(ROWS, crop_frames, dtype=torch.bool, device=device)
    mask[1, (crop_frames + 1) // 2 :] = False
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            for training in (True, False):
                net.train(training)
                for padding in (None,) if image_channels else (None, mask):
                    with torch.set_grad_enabled(training):
                        _try(net, part, mel, padding, n_classes)
        finally:
            for buffer, before in buffers:
                buffer.data.copy_(before)
            for module, mode in modes:
                module.training = mode


def _try(net: Any, part: Any, mel: Tensor, mask: Tensor | None, n_classes: int) -> None:
    if isinstance(net, WholeNet):
        logits = _try_whole(net, f"net {part_name(part)}", mel, mask, n_classes)
    else:
        by_length = net.one_length and mask is not None and not net.training
        z = _try_by_length(net, part, mel, mask) if by_length else _try_stages(net, part, mel, mask)
        what = f"head {_name(part, 'head')}"
        logits = _call(what, f"z {shape_of(z)}", net.head, z)
        _expect(what, "logits", logits, (ROWS, n_classes), f"(B, {n_classes})")
    _try_margin(net, part, logits)


def _try_by_length(net: Any, part: Any, mel: Tensor, mask: Tensor) -> Tensor:
    return _call(f"backbone {_name(part, 'backbone')}", "mel of unequal lengths, each alone", net.embed, mel, mask)


def _try_stages(net: Any, part: Any, mel: Tensor, mask: Tensor | None) -> Tensor:
    """z (B, D) of mel."""
    what = f"backbone {_name(part, 'backbone')}"
    h: Any = mel
    for stage in net.stages.values():
        h, mask = _call(what, _given(mel, mask), stage, h, mask)
    frames = shape_of(h)
    if not isinstance(h, Tensor) or h.dim() != 3 or len(h) != ROWS or h.shape[2] != net.width:
        raise ValueError(f"{what} must give frames (B, T, {net.width}), got {frames} of mel {tuple(mel.shape)}")
    if mask is not None and (mask.shape != h.shape[:2] or mask.dtype != torch.bool or not mask.any(1).all()):
        raise ValueError(
            f"{what} must give (frames, mask) where it changes the number of frames, with a mask (B, T) that leaves "
            f"each clip a frame, got frames {frames} and mask {tuple(mask.shape)} of {mask.dtype}"
        )
    what = f"pooling {_name(part, 'pooling')}"
    z = _call(what, _given(h, mask, "frames"), net.pooling, h, mask)
    if not hasattr(getattr(part, "head", None), "pool"):
        _expect(what, "z", z, (ROWS, net.pooling.out_width), f"(B, {net.pooling.out_width})")
    return net.hidden(z)


def _try_whole(net: WholeNet, what: str, mel: Tensor, mask: Tensor | None, n_classes: int) -> Tensor:
    out = _call(what, _given(mel, mask), net, mel, mask)
    if not isinstance(out, tuple) or len(out) != 2:
        raise ValueError(f"{what} must give (logits, z), got {shape_of(out)}")
    logits, z = out
    _expect(what, "logits", logits, (ROWS, n_classes), f"(B, {n_classes})")
    if not isinstance(z, Tensor) or z.dim() < 2 or len(z) != ROWS:
        raise ValueError(f"{what} must give z (B, D), got {shape_of(z)} of {ROWS} clips")
    return logits


def _try_margin(net: nn.Module, part: Any, logits: Tensor) -> None:
    what = f"{'net' if isinstance(net, WholeNet) else 'head'} {_name(part, 'head')}"
    shares = torch.full_like(logits, 1 / logits.shape[1])
    shown = _call(f"{what}'s with_margin", f"logits {shape_of(logits)}", net.head.with_margin, logits, shares, None)
    _expect(f"{what}'s with_margin", "logits", shown, tuple(logits.shape), f"(B, {logits.shape[1]})")


def _name(part: Any, role: str) -> str:
    return part_name(getattr(part, role, part))


def _given(h: Tensor, mask: Tensor | None, name: str = "mel") -> str:
    return f"{name} {tuple(h.shape)} {'without a mask' if mask is None else 'with a mask'}"


def _call(what: str, given: str, function: Callable, *inputs: Any) -> Any:
    try:
        return function(*inputs)
    except Exception as error:  # a part of one's own may raise anything
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{what} failed on {given}: {type(error).__name__}: {reason}") from error


def _expect(what: str, name: str, value: Any, shape: tuple, rule: str) -> None:
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        raise ValueError(f"{what} must give {name} {rule}, got {shape_of(value)} of {ROWS} clips")
