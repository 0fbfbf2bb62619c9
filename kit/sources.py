"""The code of the parts that are not the kit's: collected, kept in a run's `sources/`, hashed, and loaded again.

Workers, resumed runs, kernels and `load_model` all get an experiment from two things, `experiment.json` and `sources/`.
"""

import ast
import hashlib
import importlib
import importlib.util
import json
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.atomic import replacing
from kit.cells import module_source
from kit.part_json import NOTEBOOK
from kit.parts import Part, walk

MOST_BYTES = 300_000  # of an installed package that travels with a part
LIST = "sources.json"
_LOADED: dict[str, dict[str, Any]] = {}  # sha256 of all sources -> the modules of theirs that are loaded


def collect(experiment: Any) -> dict[str, bytes]:
    """Contents by POSIX path of all that the experiment's own parts need beside installed libraries.

    Raises ValueError naming a part whose source can't be had.
    """
    cells, modules = [], set()
    for value in walk_experiment(experiment):
        target = value.target if isinstance(value, Part) else type(value)
        module = target.__module__
        if module in ("__main__", NOTEBOOK) and not hasattr(_module_of(target), "__kit_source__"):
            cells.append(target)
        elif module.split(".")[0] not in {"kit", *sys.stdlib_module_names}:
            modules.add((module, target))
    files: dict[str, bytes] = {}
    if cells:
        files[f"{NOTEBOOK}.py"] = module_source(list(dict.fromkeys(cells))).encode()
        modules |= {(name, None) for name in _imports(files[f"{NOTEBOOK}.py"].decode()) if not _is_installed(name)}
    for module, target in sorted(modules, key=lambda one: one[0]):
        _add_module(module, target, files)
    return dict(sorted(files.items()))


def walk_experiment(experiment: Any) -> Iterator[Any]:
    """Each part of an experiment, the experiment itself left out."""
    for value in vars(experiment).values():
        yield from walk(value)


def hashes(files: dict[str, bytes]) -> dict[str, str]:
    """The sha256 of each file, by its path."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def write_sources(files: dict[str, bytes], folder: Path) -> None:
    """The files below the folder, in the place of what was there, and their sha256 in sources.json."""
    for stray in _strays(folder, files):
        (folder / stray).unlink(missing_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            beside.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / LIST) as beside:
        beside.write_text(json.dumps(hashes(files), indent=1) + "\n", encoding="utf-8")


def _strays(folder: Path, files: Iterable[str]) -> list[str]:
    """Files below the folder that are not of these, by their POSIX path."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return sorted(name for name in there - {*files, LIST} if not name.endswith(".part"))


def listed(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a folder of sources; empty where there is no such folder."""
    path = folder / LIST
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def finder(folder: str | Path) -> Callable[[str, str], Any]:
    """find(module, name) for kit.part_json.from_json, from a folder of sources: this runs their code.

    A module that the folder does not hold is imported, as one of an installed package. Raises ValueError where a file
    is not the one that was listed.
    """
    folder = Path(folder).resolve()
    files = listed(folder)
    for name, sha256 in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder) or not path.is_file():
            raise ValueError(f"{folder}: must hold {name}, which {LIST} lists")
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise ValueError(f"{path}: is not the file that {LIST} lists; its sha256 differs")
    for compiled in folder.rglob("__pycache__"):  # which Python might run in the place of a source that was read
        shutil.rmtree(compiled, ignore_errors=True)
    if strays := _strays(folder, files):
        raise ValueError(f"{folder}: must hold what {LIST} lists alone, got {', '.join(strays)}")
    key = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    tops = {Path(name).parts[0].removesuffix(".py") for name in files}

    def find(module: str, name: str) -> Any:
        try:
            value = (
                _load(folder, key, tops, module) if module.split(".")[0] in tops else importlib.import_module(module)
            )
            for piece in name.split("."):
                value = getattr(value, piece)
        except Exception as error:  # the code is the user's, and may raise anything
            raise ValueError(f"part {module}:{name} can't be loaded from {folder}: {error!r}") from error
        return value

    return find


def _load(folder: Path, key: str, tops: set[str], module: str) -> Any:
    ours = _LOADED.setdefault(key, {})
    if module not in ours:
        with _first_on_path(folder, tops, ours):
            importlib.import_module(module).__kit_source__ = str(folder)
    return ours[module]


@contextmanager
def _first_on_path(folder: Path, tops: set[str], ours: dict[str, Any]) -> Iterator[None]:
    """Modules of these names are ours, or come from the folder; afterwards those that the session had are back."""

    def of_these_names() -> dict[str, Any]:
        return {name: value for name, value in sys.modules.items() if name.split(".")[0] in tops}

    before = of_these_names()
    theirs = any(value is not ours.get(name) for name, value in before.items())
    for name in before:
        del sys.modules[name]
    sys.modules.update(ours)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = written
        sys.path.remove(str(folder))
        ours.update(of_these_names())
        if theirs:  # the session's own modules stay what its names stand for
            for name in ours:
                sys.modules.pop(name, None)
            sys.modules.update(before)
        if str(folder) not in sys.path:  # for what its functions import when they run
            sys.path.append(str(folder))


def _add_module(module: str, target: Any, files: dict[str, bytes], root: Path | None = None) -> None:
    """The module's file, or its package's, and the files beside it that it imports; root: where it lies, if known."""
    top = module.split(".")[0]
    if f"{top}.py" in files or any(name.startswith(f"{top}/") for name in files):
        return
    root = root or _root(module, target)
    package = root / top
    single = root / f"{top}.py"
    is_package = (package / "__init__.py").is_file() or not single.is_file()  # as Python finds them
    paths = sorted(package.rglob("*.py")) if package.is_dir() and is_package else [single]
    installed = _is_installed(top)
    if installed and sum(path.stat().st_size for path in paths) > MOST_BYTES:
        return  # such as torchvision: what it is called and its version are in env.json
    contents = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    files.update(contents)
    for content in list(contents.values()):
        for name in _imports(content.decode()):
            beside = (root / name / "__init__.py").exists() or (root / f"{name}.py").exists()
            if name != top and (beside and not installed or not _is_installed(name)):
                _add_module(name, None, files, root if beside else None)


def _root(module: str, target: Any) -> Path:
    """The folder that the module, or its package, lies in: of what was loaded from sources, those sources."""
    loaded = sys.modules.get(module) if target is None else _module_of(target)
    if hasattr(loaded, "__kit_source__"):
        return Path(loaded.__kit_source__)
    location = _location(module.split(".")[0])
    if location is None or not (location.is_dir() or location.suffix == ".py"):
        name = f"part {target.__qualname__}: " if target is not None else ""
        raise ValueError(f"{name}module {module} has no Python source that can travel with the run")
    return location.parent


def _module_of(target: Any) -> Any:
    """The module that defines a target: one of a run's sources, which sys.modules may not hold, or the session's."""
    for ours in _LOADED.values():
        module = ours.get(target.__module__)
        if module is not None and vars(module).get(target.__qualname__) is target:
            return module
    return sys.modules.get(target.__module__)


def _location(top: str) -> Path | None:
    """The file of a module, or the folder of a package, also of one without __init__.py; None where there is none."""
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # of a module that was made by hand
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0]) if folders else Path(spec.origin or "")


def _imports(text: str) -> set[str]:
    """The top names of all modules that a text imports."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def _is_installed(top: str) -> bool:
    """Is the module Python's own, an installed package's, the kit's, or not there at all?"""
    if top in sys.stdlib_module_names or top == "kit":
        return True
    if hasattr(sys.modules.get(top), "__kit_source__"):
        return False
    location = _location(top)
    if location is None:
        return True
    homes = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")]
    if {"site-packages", "dist-packages"} & set(location.resolve().parts):  # a user's own, or the system's
        return True
    return any(location.resolve().is_relative_to(home) for home in homes)
