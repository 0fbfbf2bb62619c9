"""Every form of a file: folds and their mean, from log-mels and from waves, in 32 bits and 16, for both engines."""

import numpy as np
import pytest
import torch

from kit.data.features import Wave
from kit.data.store import pack
from kit.inference.engines import load_engine
from kit.inference.export import export
from kit.inference.onnx_check import BOUND_IN_HALF
from kit.training.checkpoint import load_model
from kit.training.losses import BCE
from tests.inference.random_runs import CONFORMER, SHORT, TIMM, TRANSFORMER, random_run

for name in ("onnx", "onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(name)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("forms")


@pytest.fixture(scope="module")
def waves(rainforest, work):
    """A store of waves, of rows with several labels."""
    return pack(rainforest, work / "cache", SHORT, "wave", progress=False)


@torch.inference_mode()
def test_the_mean_of_folds_of_waves_in_half(waves, work):
    run = random_run(work / "both", waves, TRANSFORMER, folds=2, features=Wave(SHORT), loss=BCE())
    (path,) = export(run, mean=True, half=True, cache=work / "cache")
    engine = load_engine(path, threads=1)
    assert path == run / "exported/mean.onnx" and engine.facts["folds"] == [0, 1]
    assert (engine.facts["takes"], engine.facts["gives"], engine.facts["half"]) == ("mel", "probability", True)
    mel = torch.randn(3, 41, SHORT.n_mels)
    mask = torch.arange(41) < torch.tensor([[41], [8], [1]])
    each = [load_model(run / f"fold{fold}/best.pt")[0](mel, mask)[0].sigmoid() for fold in (0, 1)]
    assert (each[0] - each[1]).abs().max() > 0.01  # so that one of them alone is not their mean
    assert np.abs(engine(mel.numpy(), mask.numpy()) - (sum(each) / 2).numpy()).max() < BOUND_IN_HALF


@pytest.mark.nightly
@pytest.mark.parametrize("to", ["onnx", "openvino"])
@pytest.mark.parametrize("net", [CONFORMER, TRANSFORMER, TIMM], ids=["conformer", "transformer", "timm"])
def test_every_form_of_every_net(waves, to, net, work, request, capsys):
    """Folds and their mean, log-mels outside and inside, in 32 bits and 16: export itself compares, or raises."""
    cache = work / "cache"
    folder = work / request.node.name.replace("[", "-").strip("]")
    run = random_run(folder, waves, net, folds=2, features=Wave(SHORT), loss=BCE())
    for inside in ("outside", "inside"):
        for mean in (False, True):
            paths = export(run, to, out=folder / inside, mean=mean, mel=inside, cache=cache)
            assert len(paths) == (1 if mean else 2)
    (small,) = export(run, to, out=folder / "half", folds=[0], half=True, cache=cache)
    weights = small.with_suffix(".bin") if to == "openvino" else small
    assert weights.stat().st_size < (folder / "outside" / weights.name).stat().st_size
    assert capsys.readouterr().out.count("largest difference from PyTorch") == 7
