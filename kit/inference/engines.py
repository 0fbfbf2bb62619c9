"""Exported nets at work, by ONNX Runtime or OpenVINO on a CPU."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

ENGINES = {"onnx": ".onnx", "openvino": ".xml"}  # and the files that each reads
KEY = "kit"  # of the metadata, in both kinds of file
NEEDED = ("classes", "experiment", "sha256", "takes", "gives", "masks")

Run = Callable[[dict[str, np.ndarray]], np.ndarray]  # inputs by name -> the output


@dataclass(frozen=True)
class Engine:
    """engine(mel (B, T, F) float32, mask (B, T) or None) -> logits (B, C) float32; `facts` are what the file says.

    Where facts["takes"] is "wave", of waves (B, N) and a mask of their samples; where facts["gives"] is "probability",
    probabilities. A mask is True, then False. Of a net that can't mask, rows of one length run together.
    """

    path: Path
    facts: dict[str, Any]
    run: Run

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.facts["classes"])

    def __call__(self, x: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        name = self.facts["takes"]
        x = np.ascontiguousarray(x, dtype=np.float32)
        if mask is not None and mask.shape != x.shape[:2]:
            raise ValueError(f"mask must be {x.shape[:2]}, as {name} is, got {mask.shape}")
        if self.facts["masks"]:
            return self.run({name: x, "mask": np.ones(x.shape[:2], bool) if mask is None else mask})
        if mask is None or mask.all():
            return self.run({name: x})
        return self._by_length(x, mask)

    def _by_length(self, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        lengths, out = mask.sum(1), np.empty((len(x), len(self.classes)), np.float32)
        if not np.array_equal(mask, np.arange(mask.shape[1]) < lengths[:, None]):
            raise ValueError("mask must be True, then False, along time for a net that can't mask, got padding first")
        for length in np.unique(lengths):
            rows = lengths == length
            out[rows] = self.run({self.facts["takes"]: np.ascontiguousarray(x[rows, :length])})
        return out


def load_engine(path: str | Path, threads: int = 0) -> Engine:
    """The engine of an exported file, .onnx or .xml; threads 0 are as many as the process may use cores.

    Raises FileNotFoundError, or ValueError naming the file that can't be read or is not one of the kit's, and
    ModuleNotFoundError that says what to install.
    """
    path = Path(path)
    if path.suffix not in ENGINES.values():
        raise ValueError(f"{path}: must end in {' or '.join(ENGINES.values())}, the files that export writes")
    parts = (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,)
    for part in parts:
        if not part.is_file():
            raise FileNotFoundError(f"{part}: no such file; python -m kit export writes it")
    if threads < 0:
        raise ValueError(f"threads must be at least 0, got {threads}")
    load = _openvino if path.suffix == ".xml" else _onnx
    run, facts = load(path, threads or _cores())
    return Engine(path, _checked(path, facts), run)


def engine_path(folder: str | Path, fold: int | None, to: str) -> Path:
    """Where export writes a fold, or where fold is None the mean of folds, in its folder."""
    if to not in ENGINES:
        raise ValueError(f"to must be one of {', '.join(ENGINES)}, got {to!r}")
    return Path(folder) / f"{'mean' if fold is None else f'fold{fold}'}{ENGINES[to]}"


def library(name: str):
    """onnx, onnxruntime, openvino or onnxscript. Raises ModuleNotFoundError that says what to install."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"needs {name}: pip install -e .[inference]", name=name) from error


def _onnx(path: Path, threads: int) -> tuple[Run, str]:
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors alone: warnings are of its own optimisations
    try:
        session = runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has a class for each of its codes
        raise ValueError(f"{path}: not a file that ONNX Runtime can read ({_first_line(error)})") from error
    facts = session.get_modelmeta().custom_metadata_map.get(KEY, "")
    return lambda inputs: session.run(None, inputs)[0], facts


def _openvino(path: Path, threads: int) -> tuple[Run, str]:
    openvino = library("openvino")
    settings = {  # on a CPU that has bfloat16, that would be taken without asking
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
    }  # fmt: skip
    try:
        model = openvino.Core().read_model(path)
        compiled = openvino.Core().compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise ValueError(f"{path}: not a file that OpenVINO can read ({_first_line(error)})") from error
    facts = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else ""
    return lambda inputs: compiled(inputs)[0].copy(), facts  # what it gives is overwritten by the next call


def _checked(path: Path, text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text) if text else {}
    except ValueError:
        facts = {}
    if missing := [key for key in NEEDED if key not in facts]:
        raise ValueError(f"{path}: must say its {', '.join(missing)}, as the files that export writes do")
    return facts


def _first_line(error: BaseException) -> str:
    return next((line.strip()[:200] for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
