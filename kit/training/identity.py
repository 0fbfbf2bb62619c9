"""What a fold was trained with, written once by that fold, and how an experiment is rebuilt from its run folder.

An allow-list of versions and hardware, never the environment, which holds secrets.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch

import kit
from kit.atomic import replacing
from kit.competition.metrics import METRICS
from kit.experiment import Experiment
from kit.parts import Part, arguments_of
from kit.sources import finder, listed, walk_experiment

LIBRARIES = ("torchaudio", "timm", "accelerate", "numpy", "pandas", "scikit-learn")


def write_identity(
    folder: Path,
    sources: dict[str, str],
    data: str,
    weights: tuple[dict[str, str], ...],
    files: dict[str, str] | None = None,
) -> None:
    """env.json of a fold: versions, hardware, the sha256 of the kit, of each source, of the data and of parts' files.

    A fold that other code goes on with is trained by both: what went on is added, and what was there stays.
    """
    path = folder / "env.json"
    now = {**environment(), "data": data, "sources": sources, "weights": list(weights), "files": files or {}}
    trained_by = json.loads(path.read_text(encoding="utf-8"))["trained_by"] if path.exists() else []
    same = bool(trained_by) and {**trained_by[-1], "weights": None} == {**now, "weights": None}
    if same and (not weights or trained_by[-1]["weights"] == list(weights)):  # none where it goes on from last.pt
        return
    with replacing(path) as beside:
        beside.write_text(json.dumps({"trained_by": [*trained_by, now]}, indent=1) + "\n", encoding="utf-8")


def trained_by(folder: Path) -> list[dict[str, Any]]:
    """What a fold was trained with, the latest last; empty where it has not begun."""
    path = folder / "env.json"
    return json.loads(path.read_text(encoding="utf-8"))["trained_by"] if path.exists() else []


def read_files(experiment: Experiment) -> dict[str, str]:
    """The sha256 of each file that a part reads, by its path: of the fields that its class names in `reads`.

    That of a folder is of the names and sizes of its files, for noise to mix in may be many gigabytes. What is not
    there has none: a training that needs it says so itself.
    """
    paths = set()
    for part in walk_experiment(experiment):
        reads = getattr(part.target if isinstance(part, Part) else part, "reads", ())
        paths |= {arguments_of(part).get(name) or "" for name in reads} - {""}
    return {path: _content_sha256(Path(path)) for path in sorted(paths) if Path(path).exists()}


def _content_sha256(path: Path) -> str:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        sizes = [(file.relative_to(path).as_posix(), file.stat().st_size) for file in files]
        return hashlib.sha256(json.dumps(sizes).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def environment() -> dict[str, Any]:
    """Versions, hardware, and the hash of the kit's own code."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),  # another number rounds otherwise
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "gpus": torch.cuda.device_count(),
        "kit_sha256": kit_sha256(),
        "torch": torch.__version__,
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


@cache
def kit_sha256() -> str:
    """The sha256 of the kit's Python files, by name and content."""
    root, digest = Path(kit.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def rebuilt(values: dict[str, Any], sources: Path, *, trust: bool = False) -> Experiment:
    """The experiment of an experiment.json's content, with parts of one's own from a folder of sources.

    Raises ValueError where there are sources and trust is False: they are code, and loading them runs it.
    """
    files = listed(sources)
    if files and not trust:
        raise ValueError(f"{sources}: holds code of its own ({', '.join(files)}); read it, then trust=True loads it")
    return Experiment.from_dict(values, (finder(sources) if files else None) if trust else _of_the_kit)


def _of_the_kit(module: str, name: str) -> Any:
    """The functions of the kit's own metrics; any other code is refused, which a file need only name to have it run."""
    for metric in METRICS.values():
        for function in (metric.function, metric.per_row):
            if function is not None and (function.__module__, function.__qualname__) == (module, name):
                return function
    raise ValueError(f"part {module}:{name} is code that is not the kit's; read it, then trust=True loads it")


def load_experiment(run: Path, *, trust: bool = False) -> Experiment:
    """The experiment of a run's folder."""
    return rebuilt(json.loads((run / "experiment.json").read_text(encoding="utf-8")), run / "sources", trust=trust)


def without_weights(experiment: Experiment) -> Experiment:
    """The same, from random weights: for a net whose own weights are at hand."""
    backbone = getattr(experiment.net, "backbone", None)
    return experiment.but(net__backbone__weights="") if getattr(backbone, "weights", "") else experiment
