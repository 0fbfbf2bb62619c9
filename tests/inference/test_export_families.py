"""Which of timm's families that the kit cuts can be exported: the smallest net of each, as docs/timm.md lists them."""

import re
from pathlib import Path

import pytest
import torch

from kit.inference.onnx_graph import onnx_graph
from kit.inference.onnx_nets import Logits
from kit.models.net import Net
from kit.models.timm_backbone import Timm

pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")
PAGE = Path(__file__).parents[2] / "docs/timm.md"
N_MELS, MOST_SECONDS = 64, 12.0  # of the page's trial: larger nets are of the same layers, and take minutes
SIZES = ((1, 67), (3, 67), (1, 7), (2, 130), (3, 207))  # batch and frames; the graph is made of (2, 67)
ROW = re.compile(r"^\| (\w+) \| (\w+) \| [\d.]+ \| works.*? \| \d+ \| ([\d.]+) \|", re.MULTILINE)
FAMILIES = {family: name for family, name, seconds in ROW.findall(PAGE.read_text()) if float(seconds) < MOST_SECONDS}
REFUSED = {"cpubone": "GuardOnDataDependentSymNode"}  # whose sizes PyTorch can't follow; add what else fails, and why


@pytest.mark.nightly
@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_is_refused_says_why(family):
    net = Net(Timm(FAMILIES[family])).make(N_MELS, 5, 64).eval()
    with pytest.raises(ValueError, match=f"PyTorch can't export this net: {REFUSED[family]}"):
        onnx_graph(Logits(net), {"mel": torch.randn(2, 67, N_MELS)}, "logits", {})


@pytest.mark.nightly
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(REFUSED)))
def test_a_family(family):
    net = Net(Timm(FAMILIES[family])).make(N_MELS, 5, 64).eval()
    proto = onnx_graph(Logits(net), {"mel": torch.randn(2, 67, N_MELS)}, "logits", {})
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, frames in SIZES:
        mel = torch.randn(batch, frames, N_MELS)
        with torch.inference_mode():
            expected = net(mel)[0]
        (logits,) = session.run(None, {"mel": mel.numpy()})
        far = (torch.from_numpy(logits) - expected).abs().max() / max(1.0, expected.abs().max())
        assert far < 1e-4, f"{batch} × {frames} frames"


def test_the_page_is_read():
    assert {"efficientnet", "resnet", "convnext", "deit"} <= set(FAMILIES)
