"""A finished run's nets as files for ONNX Runtime or OpenVINO, checked against PyTorch before they are kept."""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kit.atomic import replacing
from kit.competition.competition import Competition, open_competition
from kit.data.store import Store, open_store, pack
from kit.inference.engines import ENGINES, KEY, engine_path, library, load_engine
from kit.inference.nets import FoldNet, fold_nets
from kit.inference.onnx_check import BOUND, BOUND_IN_HALF, Inputs, difference, real_inputs, real_waves
from kit.inference.onnx_graph import onnx_graph, store_in_half
from kit.inference.onnx_nets import FromWave, Logits, MeanProbability
from kit.parts import one_of
from kit.training.checkpoint import load_model
from kit.training.identity import trained_by
from kit.training.runs import Run

FOLDER = "exported"
TRIAL_ITEMS, TRIAL_FRAMES = 2, 67  # a batch or length of 1 would be taken for a fixed one


@dataclass(frozen=True)
class Options:
    """How nets are exported: for which engine, from log-mels or ("inside") waves, weights in 16 bits or 32."""

    to: str = "onnx"
    mel: str = "outside"
    half: bool = False

    def __post_init__(self):
        one_of(self, "to", ENGINES)
        one_of(self, "mel", ("outside", "inside"))

    @property
    def bound(self) -> float:
        return BOUND_IN_HALF if self.half else BOUND


@dataclass(frozen=True)
class _Nets:
    """What goes into one file: a fold's net, or those of several for their mean."""

    nets: Sequence[FoldNet]
    modules: Sequence[nn.Module]
    classes: tuple[str, ...]
    mean: bool
    task: str

    @property
    def experiment(self) -> Any:
        return self.nets[0].experiment

    @property
    def n_base(self) -> int:
        return self.experiment.session.n_base if self.experiment.session else 0

    @property
    def masks(self) -> bool:
        """Do the nets take a mask? Those that can't run rows of one length."""
        return not any(module.one_length for module in self.modules)

    def module(self, options: Options) -> nn.Module:
        module = MeanProbability(self.modules, self.task, self.n_base) if self.mean else Logits(self.modules[0])
        return FromWave(self.experiment.features.mel, module) if options.mel == "inside" else module

    def facts(self, options: Options) -> dict[str, Any]:
        return {
            "classes": list(self.classes),
            "experiment": self.experiment.to_dict(),
            "task": self.task,
            "folds": [net.fold for net in self.nets],
            "sha256": {f"fold{net.fold}": net.sha256 for net in self.nets},  # of each best.pt
            "takes": "wave" if options.mel == "inside" else "mel",
            "gives": "probability" if self.mean else "logits",
            "masks": self.masks,
            "half": options.half,
        }


def export(
    run: Run | str | Path,
    to: str = "onnx",
    *,
    out: str | Path | None = None,
    folds: Sequence[int] | None = None,
    mean: bool = False,
    mel: str = "outside",
    half: bool = False,
    data: str | Path | Competition | None = None,
    cache: str | Path = "cache",
    trust: bool = False,
) -> list[Path]:
    """Write fold0.onnx, … (or .xml and .bin) into `out`, the run's folder `exported` where it is None.

    mean: one file, mean.onnx, of the folds' mean probabilities, in place of one of logits a fold. mel "inside": from
    waves. half: weights in 16 bits, for half the size and the same speed. Batch and length are free.
    Each is compared with PyTorch on rows of the store in `cache` that the run was trained on, or of `data`; the largest
    difference is printed. Raises ValueError, and writes nothing, where it is above 1e-4 (1e-3 for half), of
    probabilities or relative to the largest logit; where a net can't be exported; or where there are no rows.
    """
    options = Options(to, mel, half)
    for name in ("onnx", "onnxscript", "onnxruntime" if to == "onnx" else "openvino"):
        library(name)
    nets = fold_nets(run, folds, trust=trust)
    folder = Path(out) if out is not None else nets[0].run / FOLDER
    inputs = _inputs(nets[0], options, data, cache)
    groups = [nets] if mean else [[net] for net in nets]
    return [_export(_loaded(group, mean, trust), options, inputs, folder) for group in groups]


def _inputs(net: FoldNet, options: Options, data: Any, cache: str | Path) -> list[Inputs]:
    features = net.experiment.features
    if options.mel == "inside" and (not hasattr(features, "mel") or getattr(features, "front", None) is not None):
        raise ValueError(f'mel must be "outside" for features that are no log-mels, got {options.mel!r}')
    if data is not None:
        competition = data if isinstance(data, Competition) else open_competition(data)
        kind = "wave" if options.mel == "inside" else features.packs
        store = pack(competition, cache, getattr(features, "mel", None), kind, progress=False)
    else:
        store = _store_of(net, options, Path(cache))
    if options.mel == "inside":
        return real_waves(store, net.experiment)
    return real_inputs(store, net.experiment, _free_length(net.experiment))


def _store_of(net: FoldNet, options: Options, cache: Path) -> Store:
    key = (trained_by(net.path.parent) or [{}])[-1].get("data", "")
    if not key or not (cache / key / "store.json").exists():
        raise ValueError(f"{net.run}: its store {key} is not in {cache}; give data, a folder with rows to check on")
    store = open_store(cache / key)
    if options.mel == "inside" and store.kind != "wave":
        raise ValueError(f'mel "inside" is checked on waves, and {store.folder} holds log-mels; give data')
    return store


def _free_length(experiment: Any) -> bool:
    return not getattr(experiment.features, "channels", 0)  # images have one size


def _loaded(nets: Sequence[FoldNet], mean: bool, trust: bool) -> _Nets:
    modules, saved = zip(*(load_model(net.path, trust=trust) for net in nets), strict=True)
    if len({tuple(one["classes"]) for one in saved}) > 1:
        raise ValueError(f"{nets[0].run}: its folds must have the same classes for a mean of them")
    return _Nets(nets, modules, tuple(saved[0]["classes"]), mean, nets[0].task)


def _export(group: _Nets, options: Options, inputs: list[Inputs], folder: Path) -> Path:
    path = engine_path(folder, None if group.mean else group.nets[0].fold, options.to)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        proto = onnx_graph(
            group.module(options), _trial(group, options, inputs), "probability" if group.mean else "logits",
            group.facts(options), free_length=_free_length(group.experiment),
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"{group.nets[0]}: {error}") from error
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", suffix=".part", dir=folder) as beside:
        written = _write(proto, Path(beside) / path.name, options, group.facts(options))
        differences = difference(
            load_engine(written), _reference(group, options), inputs, group.classes, "" if group.mean else group.task,
            group.n_base,
        )  # fmt: skip
        print(f"{_shown(path)}: {differences}")
        if not differences.within(options.bound):
            raise ValueError(f"{path}: must be within {options.bound:g} of PyTorch, not written; {differences}")
        _keep(written, path)
    return path


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _trial(group: _Nets, options: Options, inputs: list[Inputs]) -> dict[str, torch.Tensor]:
    """Two items as the graph will be given them, of noise: what they hold is not in it."""
    sides = list(inputs[0][0].shape[1:])
    if _free_length(group.experiment):
        sides[0] = group.experiment.features.mel.n_samples(TRIAL_FRAMES) if options.mel == "inside" else TRIAL_FRAMES
    generator = torch.Generator().manual_seed(0)
    trial = {group.facts(options)["takes"]: torch.randn(TRIAL_ITEMS, *sides, generator=generator)}
    if group.masks:
        trial["mask"] = torch.ones(TRIAL_ITEMS, sides[0], dtype=torch.bool)
        trial["mask"][1, max(1, sides[0] * 3 // 4) :] = False
    return trial


def _reference(group: _Nets, options: Options):
    """What PyTorch gives: the net itself, after the kit's own log-mels where they are inside."""
    after = group.module(Options(options.to, "outside", options.half)).eval()
    if options.mel == "outside":
        return after
    reference = FromWave(group.experiment.features.mel, after)
    reference.to_mel = group.experiment.features.mel.make()
    return reference.eval()


def _write(proto: Any, path: Path, options: Options, facts: dict[str, Any]) -> Path:
    """The file, for OpenVINO with its weights beside it."""
    onnx = library("onnx")
    if options.half:
        store_in_half(proto)
    if options.to == "onnx":
        onnx.save(proto, path)
        return path
    openvino = library("openvino")
    whole = path.with_suffix(".onnx")
    onnx.save(proto, whole)
    model = openvino.Core().read_model(whole)
    model.set_rt_info(json.dumps(facts, ensure_ascii=False), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)  # it would take biases and norms too
    return path


def _keep(written: Path, path: Path) -> None:
    """Put what was written in its place; an older .xml goes before the .bin of the new one comes."""
    if path.suffix == ".xml":
        path.unlink(missing_ok=True)
        _move(written.with_suffix(".bin"), path.with_suffix(".bin"))
    _move(written, path)


def _move(source: Path, target: Path) -> None:
    with replacing(target) as beside:
        os.replace(source, beside)
