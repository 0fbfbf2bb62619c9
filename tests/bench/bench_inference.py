"""One-minute soundscapes at 32 kHz to logits of their windows of 5 s: PyTorch, compiled too, ONNX Runtime, OpenVINO.

From the file on disk: decoding, log-mels of 128 bins, and a net. To reach: the fastest at least 2 times PyTorch as it
is for the timm net on two cores, and 600 soundscapes by five nets within 90 minutes of four.
"""

import os
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from kit.data.audio import WaveReader
from kit.data.features import LogMel
from kit.data.rows import _log_mels as mel_parts
from kit.inference.engines import KEY, library, load_engine
from kit.inference.onnx_graph import onnx_graph
from kit.inference.onnx_nets import Logits
from kit.models.conformer import Conformer
from kit.models.net import Net
from kit.models.pooling import GeM
from kit.models.timm_backbone import Timm
from tests.bench.turns import Bound

SPEC = LogMel(sample_rate_hz=32000, n_mels=128, window_seconds=0.064, hop_seconds=0.01, fmax_hz=16000.0)
WINDOWS, HOP_FRAMES = 12, 500  # of 5 s in a minute
N_CLASSES = 200
NETS = {"Conformer": Net(Conformer()), "tf_efficientnet_lite0": Net(Timm("tf_efficientnet_lite0"), GeM())}
SOUNDSCAPES, FOLDS, CORES = 600, 5, 4
ENGINES = ("compiled", "onnx", "openvino")
TURNS = 4


@pytest.fixture(scope="module")
def soundscape(tmp_path_factory) -> Path:
    """A minute of noise, in Vorbis, which takes as long to decode as any other."""
    path = tmp_path_factory.mktemp("soundscape") / "minute.ogg"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 60 * SPEC.sample_rate_hz), SPEC.sample_rate_hz)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Writes a net for an engine, once: (net, masks) by name, and its file."""
    folder, nets, written = tmp_path_factory.mktemp("exported"), {}, {}

    def make(name: str, engine: str):
        if name not in nets:
            nets[name] = NETS[name].make(SPEC.n_mels, N_CLASSES, HOP_FRAMES).eval()
        if engine == "compiled" or (name, engine) in written:
            return nets[name], written.get((name, engine))
        net, masks = nets[name], not nets[name].one_length
        trial = {"mel": torch.randn(2, 67, SPEC.n_mels)}
        if masks:
            trial["mask"] = torch.ones(2, 67, dtype=torch.bool)
        facts = {"classes": list(map(str, range(N_CLASSES))), "experiment": {}, "sha256": {}, "takes": "mel"}
        facts |= {"gives": "logits", "masks": masks}
        proto = onnx_graph(Logits(net), trial, "logits", facts)
        path = written[name, "onnx"] = folder / f"{name}.onnx"
        path.write_bytes(proto.SerializeToString())
        openvino = library("openvino")
        model = openvino.Core().read_model(path)
        model.set_rt_info(proto.metadata_props[0].value, [KEY])
        written[name, "openvino"] = folder / f"{name}.xml"
        openvino.save_model(model, written[name, "openvino"], compress_to_fp16=False)
        return net, written[name, engine]

    return make


def front(mel: torch.nn.Module, path: Path) -> torch.Tensor:
    """The log-mels (12, 494, 128) of a minute's windows."""
    mels = torch.from_numpy(np.concatenate(list(mel_parts(WaveReader(path, SPEC.sample_rate_hz), mel)))).float()
    span = SPEC.n_frames(5 * SPEC.sample_rate_hz)
    return torch.stack([mels[first * HOP_FRAMES :][:span] for first in range(WINDOWS)])


def torch_net(net, mel: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return net(mel)[0].numpy()


def compiled_net(net, benchmark):
    """The net by torch.compile; where that can't be, a note says so, and what is measured is eager mode."""
    torch.compiler.reset()  # what was compiled for another number of threads
    compiled = torch.compile(net)
    try:
        torch_net(compiled, torch.zeros(WINDOWS, SPEC.n_frames(5 * SPEC.sample_rate_hz), SPEC.n_mels))
    except Exception as error:  # without a C++ compiler, or of a net that it can't take: it has many classes for them
        benchmark.extra_info["eager, for torch.compile fails here"] = str(error).strip().splitlines()[0][:120]
        return net
    return compiled


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch.compile imports
@pytest.mark.benchmark(group="a minute's windows of 5 s from its file to logits")
@pytest.mark.parametrize("threads", [1, 0], ids=["one thread", "all"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NETS)
def test_soundscapes(turns, benchmark, soundscape, exported, name, engine, threads):
    net, path = exported(name, engine)
    torch.set_num_threads(threads or os.cpu_count())
    if engine == "compiled":
        serve = partial(torch_net, compiled_net(net, benchmark))
    else:
        run = load_engine(path, threads)
        serve = lambda mel: run(mel.numpy())  # noqa: E731
    mel, spent = SPEC.make(), []

    def kit():
        windows = front(mel, soundscape)
        started = time.perf_counter()
        serve(windows)
        spent.append(time.perf_counter() - started)

    reach = None if name == "Conformer" else 2.0
    bound = Bound("decoding and log-mels, which every engine has", lambda: front(mel, soundscape))
    turns(kit, bound, eager=lambda: torch_net(net, front(mel, soundscape)), turns=TURNS, reach=reach)
    of_net, whole = statistics.median(spent[1:]), benchmark.stats.stats.median
    seconds = SOUNDSCAPES * (whole - of_net + FOLDS * of_net) / (CORES if threads == 1 else 1)
    benchmark.extra_info["rows a second"] = round(WINDOWS / whole, 1)
    benchmark.extra_info["eager's rows a second"] = round(WINDOWS / benchmark.extra_info["peer"]["median"], 1)
    if threads == 1:
        benchmark.extra_info[f"minutes of {CORES} cores for {SOUNDSCAPES} by {FOLDS} nets"] = round(seconds / 60, 1)
