"""Nets with the head that attends to frames, as graphs: one row and several, masked, of odd and even lengths."""

import pytest
import torch

from kit.inference.onnx_graph import onnx_graph
from kit.inference.onnx_nets import Logits
from kit.models.net import Net
from kit.models.sed import ClassAttention
from kit.models.timm_backbone import Timm
from kit.presets import recording_preset, soundscape_preset
from tests.inference.random_runs import CONFORMER

pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")
SIZES = ((1, 67), (3, 67), (1, 1), (2, 2), (1, 7), (2, 130), (3, 207))  # batch and frames; the graph is of (2, 67)
BOUND = 1e-4  # of the largest logit, or of 1


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def made(net, n_mels):
    """The module with a head whose weights tell rows and frames apart, as training's do and random ones do not."""
    module = net.make(n_mels, 5, 64).eval()
    with torch.no_grad():
        for weight in (module.pooling.hidden.weight, module.pooling.score.weight, module.head.linear.weight):
            weight *= 10
    return module


def graph_of(module, masks):
    trial = {"mel": torch.randn(2, 67, module.n_mels)}
    if masks:
        trial["mask"] = torch.arange(67) < torch.tensor([[67], [50]])
    proto = onnx_graph(Logits(module), trial, "logits", {})
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda **inputs: torch.from_numpy(
        session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]
    )


def far(logits, expected):
    return (logits - expected).abs().max() / max(1.0, expected.abs().max())


@torch.inference_mode()
def test_a_conformer_with_a_mask():
    module = made(Net(CONFORMER.backbone, head=ClassAttention()), 40)
    graph = graph_of(module, masks=True)
    for batch, frames in SIZES:
        mel, lengths = torch.randn(batch, frames, 40), torch.randint(1, frames + 1, (batch, 1))
        mask = torch.arange(frames) < lengths
        logits, whole = graph(mel=mel, mask=mask), graph(mel=mel, mask=torch.ones_like(mask))
        assert far(logits, module(mel, mask)[0]) < BOUND, f"{batch} × {frames} frames, masked"
        assert far(whole, module(mel)[0]) < BOUND, f"{batch} × {frames} frames"
        assert frames < 67 or far(logits, whole) > 100 * BOUND
        alone = mel[:1, : int(lengths[0])]
        assert far(graph(mel=alone, mask=torch.ones(alone.shape[:2], dtype=torch.bool)), logits[:1]) < BOUND


@torch.inference_mode()
def check_image_net(net, n_mels):
    module = made(net, n_mels)
    graph = graph_of(module, masks=False)
    for batch, frames in SIZES:
        mel = torch.randn(batch, frames, n_mels) * 10 ** torch.rand(batch, 1, 1)
        assert far(graph(mel=mel), module(mel)[0]) < BOUND, f"{batch} × {frames} frames"


@pytest.mark.nightly
@pytest.mark.parametrize("frequency", ["mean", "stack"])
@pytest.mark.parametrize("name", ["test_byobnet", "test_efficientnet"])
def test_image_nets_with_either_frequency(name, frequency):
    check_image_net(Net(Timm(name, frequency=frequency), head=ClassAttention()), 40)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["tiny", "demo", "quick", "full"])
@pytest.mark.parametrize("preset", [recording_preset, soundscape_preset])
def test_the_nets_of_presets(preset, name):
    experiment = preset(name)
    check_image_net(experiment.net, experiment.features.n_mels)
