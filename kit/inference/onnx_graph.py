"""A module as an ONNX graph whose batch and length are free, by PyTorch's exporter (torch.export, onnxscript)."""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from kit.inference.engines import KEY

OPSET = 18  # the exporter's own; others are converted from it
LEAST_HALF = 64  # numbers in a tensor that is worth storing in 16 bits
HIGHEST_HALF = 65504.0


def onnx_graph(module: nn.Module, inputs: dict[str, Tensor], output: str, facts: dict[str, Any], *, free_length=True):
    """The onnx.ModelProto of a module in eval; inputs by argument, of 2 items or more, axes 0 and 1 of each being free.

    facts are kept in the file as JSON. Raises ValueError where PyTorch can't export the module.
    """
    free = torch.export.Dim.DYNAMIC
    axes = {0: free, 1: free} if free_length else {0: free}
    try:
        with torch.no_grad(), _quiet(), _exportable() as translations:
            program = torch.onnx.export(
                module.eval(), tuple(inputs.values()), dynamo=True, input_names=list(inputs), output_names=[output],
                dynamic_shapes=tuple(axes for _ in inputs), opset_version=OPSET, verbose=False,
                custom_translation_table=translations,
            )  # fmt: skip
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise ValueError(f"PyTorch can't export this net: {_reason(error)}") from error
    proto = program.model_proto
    _strip(proto.graph)
    prop = proto.metadata_props.add()
    prop.key, prop.value = KEY, json.dumps(facts, ensure_ascii=False)
    return proto


def _strip(graph: Any) -> None:
    """Without the exporter's notes, four fifths of a small file: they tell the paths of the machine it was made on."""
    for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]


def store_in_half(proto: Any) -> None:
    """Keep the graph's weights in 16 bits, half the file, and cast them to 32 where it is loaded.

    Raises ValueError naming a weight beyond half precision's range.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph, casts = proto.graph, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < LEAST_HALF:
            continue
        if (most := float(np.abs(values).max())) > HIGHEST_HALF:
            raise ValueError(f"half must be False where weights are beyond {HIGHEST_HALF:g}, got {most:g}")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for position, node in enumerate(casts):
        graph.node.insert(position, node)


def _reason(error: BaseException) -> str:
    """The innermost cause's first line: the exporter's own message is about how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()[:200] if lines else 'no message'}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings, which are about its own code and that of the net's library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _exportable() -> Iterator[dict]:
    """Transformer layers as plain operators, and timm's convolutions of "same" padding as ONNX's own.

    Computed from a free length, that padding would be a formula that grows with each layer: minutes to export.
    """
    import timm.layers  # noqa: F401

    module = sys.modules["timm.layers.conv2d_same"]  # by this path, since timm.layers has a function of that name
    was, fast = module.conv2d_same, torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    module.conv2d_same = lambda x, weight, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1: _same(
        x, weight, bias, list(stride), list(dilation), groups
    )
    try:
        yield {torch.ops.kit.conv2d_same.default: _onnx_same}
    finally:
        module.conv2d_same = was
        torch.backends.mha.set_fastpath_enabled(fast)


@torch.library.custom_op("kit::conv2d_same", mutates_args=())
def _same(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], dilation: list[int], groups: int
) -> Tensor:
    """TensorFlow's "same": as many outputs as strides fit, the odd row or column of padding at the end."""
    from timm.layers.padding import pad_same

    padded = pad_same(x, weight.shape[-2:], stride, dilation)
    return torch.nn.functional.conv2d(padded, weight, bias, stride, 0, dilation, groups)


@_same.register_fake
def _(x, weight, bias, stride, dilation, groups):
    height, width = ((side + step - 1) // step for side, step in zip(x.shape[2:], stride, strict=True))
    return x.new_empty(x.shape[0], weight.shape[0], height, width)


def _onnx_same(x, weight, bias, stride, dilation, groups):
    from onnxscript import opset18

    return opset18.Conv(x, weight, bias, auto_pad="SAME_UPPER", strides=stride, dilations=dilation, group=groups)
