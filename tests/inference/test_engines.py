"""Engines of small graphs written by hand: what goes in, what comes out, and files that are refused."""

import builtins
import json

import numpy as np
import pytest

from kit.inference.engines import KEY, engine_path, load_engine

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")
FACTS = {"classes": ["a", "b"], "experiment": {}, "sha256": {}, "takes": "mel", "gives": "logits", "masks": False}


def write(path, facts=None, masks=False):
    """A graph of mel (B, T, 2): the sum over time, of what the mask leaves where it takes one."""
    from onnx import TensorProto, helper, numpy_helper

    inputs = [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["b", "t", 2])]
    nodes, summed = [], "mel"
    if masks:
        inputs.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, ["b", "t"]))
        nodes = [helper.make_node("Cast", ["mask"], ["number"], to=TensorProto.FLOAT),
                 helper.make_node("Unsqueeze", ["number", "last"], ["wide"]),
                 helper.make_node("Mul", ["mel", "wide"], ["heard"])]  # fmt: skip
        summed = "heard"
    nodes.append(helper.make_node("ReduceSum", [summed, "time"], ["logits"], keepdims=0))
    axes = [numpy_helper.from_array(np.array([axis]), name) for name, axis in (("time", 1), ("last", 2))]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])
    graph = helper.make_graph(nodes, "net", inputs, [output], axes[: 1 + masks])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    text = json.dumps({**FACTS, "masks": masks} if facts is None else facts)
    helper.set_model_props(proto, {KEY: text})
    onnx.save(proto, path)
    if path.suffix == ".xml":
        onnx.save(proto, path.with_suffix(".onnx"))
        model = openvino.Core().read_model(path.with_suffix(".onnx"))
        model.set_rt_info(text, [KEY])
        openvino.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("name", ["fold0.onnx", "fold0.xml"])
@pytest.mark.parametrize("masks", [False, True])
def test_numbers_by_hand(tmp_path, name, masks):
    engine = load_engine(write(tmp_path / name, masks=masks), threads=1)
    mel = np.arange(12.0).reshape(2, 3, 2)  # rows 0 1, 2 3, 4 5 and 6 7, 8 9, 10 11
    assert engine(mel).tolist() == [[6, 9], [24, 27]] and engine.classes == ("a", "b")
    mask = np.array([[True, True, False], [True, True, True]])
    first = engine(mel, mask)
    assert first.tolist() == [[2, 4], [24, 27]]
    engine(mel * 2)
    assert first.tolist() == [[2, 4], [24, 27]]  # is a copy
    assert engine(mel[:1, :1]).tolist() == [[0, 1]]


def test_masks_that_are_refused(tmp_path):
    engine = load_engine(write(tmp_path / "fold0.onnx"))
    with pytest.raises(ValueError, match=r"mask must be \(2, 3\), as mel is, got \(2, 4\)"):
        engine(np.zeros((2, 3, 2)), np.ones((2, 4), bool))
    with pytest.raises(ValueError, match="mask must be True, then False, along time for a net that can't mask"):
        engine(np.zeros((1, 3, 2)), np.array([[False, True, True]]))


@pytest.mark.parametrize("to, name", [("onnx", "fold2.onnx"), ("openvino", "fold2.xml")])
def test_where_files_lie(tmp_path, to, name):
    assert engine_path(tmp_path, 2, to) == tmp_path / name
    assert engine_path(tmp_path, None, to).stem == "mean"
    with pytest.raises(ValueError, match="to must be one of onnx, openvino, got 'tflite'"):
        engine_path(tmp_path, 0, "tflite")


def test_files_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"fold0.pt: must end in .onnx or .xml, the files that export writes"):
        load_engine(tmp_path / "fold0.pt")
    with pytest.raises(FileNotFoundError, match="fold0.onnx: no such file; python -m kit export writes it"):
        load_engine(tmp_path / "fold0.onnx")
    path = write(tmp_path / "fold0.onnx")
    with pytest.raises(ValueError, match="threads must be at least 0, got -1"):
        load_engine(path, threads=-1)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"fold0.onnx: not a file that ONNX Runtime can read \(.+\)"):
        load_engine(path)
    with pytest.raises(ValueError, match="other.onnx: must say its masks, as the files that export writes do"):
        load_engine(write(tmp_path / "other.onnx", {key: value for key, value in FACTS.items() if key != "masks"}))
    with pytest.raises(ValueError, match="bare.onnx: must say its classes, experiment, sha256, takes, gives, masks"):
        load_engine(write(tmp_path / "bare.onnx", {}))


def test_a_broken_file_of_openvino(tmp_path):
    path = write(tmp_path / "fold0.xml")
    path.write_text(path.read_text()[:200])
    with pytest.raises(ValueError, match=r"fold0.xml: not a file that OpenVINO can read \(.+\)"):
        load_engine(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(FileNotFoundError, match="fold0.bin: no such file"):
        load_engine(path)


def test_a_library_that_is_missing_says_what_to_install(tmp_path, monkeypatch):
    path, found = write(tmp_path / "fold0.onnx"), builtins.__import__
    monkeypatch.setattr("kit.inference.engines.import_module", lambda name: found(f"no_such_{name}"))
    with pytest.raises(ModuleNotFoundError, match=r"needs onnxruntime: pip install -e .\[inference\]"):
        load_engine(path)
