"""Runs as files of other engines, held to PyTorch: both engines, masks, lengths, waves, and what is refused."""

import json

import numpy as np
import pytest
import torch

from kit.data.store import pack
from kit.inference import export as export_module
from kit.inference import onnx_graph
from kit.inference.engines import load_engine
from kit.inference.export import Options, export
from kit.inference.onnx_nets import FromWave, MeanProbability
from kit.training.checkpoint import load_model
from tests.inference.random_runs import CONFORMER, SHORT, random_run

onnx = pytest.importorskip("onnx")
for name in ("onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(name)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def store(voices, work):
    return pack(voices, work / "cache", progress=False)


@pytest.fixture(scope="module")
def run(store, work):
    return random_run(work / "conformer", store, CONFORMER, folds=2)


@pytest.fixture(scope="module")
def exported(run, work):
    (path,) = export(run, folds=[1], cache=work / "cache")
    return path


def rows_of(store, numbers):
    """Log-mels (B, T, F) of some rows with 0 after their ends, and the mask."""
    start, frames = (store.index[name].to_numpy()[numbers] for name in ("start", "frames"))
    rows = [store.features[first : first + size].float() for first, size in zip(start, frames, strict=True)]
    mask = torch.arange(int(frames.max())) < torch.tensor(frames)[:, None]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), mask


@torch.inference_mode()
def test_a_fold_gives_pytorchs_logits_and_labels(store, run, exported):
    assert exported == run / "exported/fold1.onnx"
    model, saved = load_model(run / "fold1/best.pt")
    engine, numbers = load_engine(exported, threads=1), np.arange(len(store.index))
    mel, mask = rows_of(store, numbers)
    expected = model(mel, mask)[0].numpy()
    logits = engine(mel.numpy(), mask.numpy())
    bound = 1e-4 * max(1, np.abs(expected).max())
    assert np.abs(logits - expected).max() < bound
    best = np.sort(expected, axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * bound
    assert clear.sum() > 0.9 * len(clear)
    assert np.array_equal(logits.argmax(1)[clear], expected.argmax(1)[clear])
    for row in (0, 5):  # alone, without mask: the same, since padding does not matter
        size = int(mask[row].sum())
        assert np.abs(engine(mel[row : row + 1, :size].numpy()) - expected[row]).max() < bound
    for length in (1, 2, 33, 1000):
        mel = torch.randn(2, length, store.n_mels)
        assert np.abs(engine(mel.numpy()) - model(mel)[0].numpy()).max() < bound


def test_the_file_says_what_it_is_and_not_where_it_was_made(store, run, exported):
    facts = load_engine(exported).facts
    assert tuple(facts["classes"]) == store.classes and facts["folds"] == [1]
    assert facts["experiment"] == json.loads((run / "experiment.json").read_text())
    assert facts["sha256"]["fold1"] == export_module.fold_nets(run, [1])[0].sha256
    assert (facts["takes"], facts["gives"], facts["masks"], facts["half"]) == ("mel", "logits", True, False)
    assert b"site-packages" not in exported.read_bytes() and b".py" not in exported.read_bytes()
    assert not list(exported.parent.glob("*.data")) and not list(exported.parent.glob(".*"))


def test_another_nets_graph_is_refused_and_not_written(run, exported, work, monkeypatch, tmp_path):
    monkeypatch.setattr(export_module, "onnx_graph", lambda *_, **__: onnx.load(exported))  # fold 1's
    with pytest.raises(ValueError, match=r"fold0.onnx: must be within 0.0001 of PyTorch, not written; largest.*class"):
        export(run, folds=[0], cache=work / "cache", out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_choices_and_rows_that_are_refused(run, work, tmp_path):
    with pytest.raises(ValueError, match="to must be one of onnx, openvino, got 'tflite'"):
        export(run, "tflite")
    with pytest.raises(ValueError, match="mel must be one of outside, inside, got 'both'"):
        export(run, mel="both")
    with pytest.raises(ValueError, match=r"its store \w+ is not in .*; give data, a folder with rows to check on"):
        export(run, cache=tmp_path)
    with pytest.raises(ValueError, match=r'mel "inside" is checked on waves, and .* holds log-mels; give data'):
        export(run, mel="inside", cache=work / "cache")
    with pytest.raises(ValueError, match="fold 7 is not finished; there are 0, 1"):
        export(run, folds=[7], cache=work / "cache")
    assert Options().bound == 1e-4 and Options(half=True).bound == 1e-3


def test_a_net_that_pytorch_cannot_export_is_one_line():
    class Counts(torch.nn.Module):
        def forward(self, mel):
            return mel * len([value for value in mel[:, 0, 0].tolist() if value > 0])

    with pytest.raises(ValueError, match="^PyTorch can't export this net: .+") as raised:
        onnx_graph.onnx_graph(Counts(), {"mel": torch.randn(2, 3, 4)}, "logits", {})
    assert "\n" not in str(raised.value)


def test_weights_in_half():
    from onnx import TensorProto, helper, numpy_helper

    weights = {"large": np.linspace(-3, 3, 64, dtype=np.float32).reshape(8, 8), "small": np.float32([1 / 3] * 8)}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 8]) for name in ("mel", "logits")]
    nodes = [helper.make_node("Gemm", ["mel", *weights], ["logits"])]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    proto = helper.make_model(helper.make_graph(nodes, "net", values[:1], values[1:], tensors), ir_version=10)
    onnx_graph.store_in_half(proto)
    onnx.checker.check_model(proto, full_check=True)
    kept = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert kept["large_half"].dtype == np.float16 and kept["small"].dtype == np.float32
    assert np.array_equal(kept["large_half"], weights["large"].astype(np.float16))
    from onnx.reference import ReferenceEvaluator

    (one,) = ReferenceEvaluator(proto).run(None, {"mel": np.eye(8, dtype=np.float32)})
    assert np.array_equal(one, weights["large"].astype(np.float16).astype(np.float32) + weights["small"])
    proto.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.full(64, 1e5, np.float32), "small"))
    with pytest.raises(ValueError, match="half must be False where weights are beyond 65504, got 100000"):
        onnx_graph.store_in_half(proto)


def test_a_mean_of_folds_is_of_probabilities():
    nets = [lambda mel, mask, sign=sign: (sign * mel[:, 0], None) for sign in (1, -1)]
    mel = torch.tensor([[[2.0, 0.0]]])

    def mean(task, n_base=0):
        module = MeanProbability([], task, n_base)
        object.__setattr__(module, "nets", nets)
        del module._modules["nets"]
        return module(mel)

    assert torch.allclose(mean("single"), torch.tensor([[0.5, 0.5]]))
    assert torch.allclose(mean("multi"), torch.tensor([[0.5, 0.5]]))
    assert torch.equal(mean("single", n_base=1), torch.tensor([[1.0, 0.0]]))


class Both(torch.nn.Module):
    def forward(self, mel, mask):
        return mel, mask


@torch.inference_mode()
def test_waves_of_several_lengths_are_padded_as_a_store_is():
    wave = 0.1 * torch.randn(2, 1000)
    mask = torch.arange(1000) < torch.tensor([[1000], [700]])  # 4 windows of 400 every 160, and 2
    mel, valid = FromWave(SHORT, Both())(wave, mask)
    assert valid.tolist() == [[True] * 4, [True, True, False, False]]
    alone = SHORT.make()(wave[1:, :700])[0]
    assert torch.allclose(mel[1, :2], alone, atol=1e-4)
    assert torch.allclose(mel[1, 2:], alone.mean(0).expand(2, -1), atol=1e-4)
    assert FromWave(SHORT, Both())(wave)[1] is None
