"""An experiment from a JSON file that says what differs from the defaults, or from a preset.

    {"name": "mine", "preset": "demo", "net": {"pooling": {"part": "mine:MyPooling", "share": 0.25}}}

A part that is there in the defaults keeps its fields but those that are given; another part takes its place. `mine` is
a module beside the file or in the working folder.
"""

import dataclasses
import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kit
from kit.competition.competition import Competition
from kit.competition.strict_json import parse_json
from kit.experiment import Experiment
from kit.part_json import shown
from kit.presets import image_preset, preset, recording_preset, soundscape_preset


def read_experiment(path: Path, competition: Callable[[], Competition], cache: Path) -> Experiment:
    """The experiment of a file. The competition is asked where there is a preset, which depends on its layout.

    Raises ValueError naming the file, the field and the rule.
    """
    try:
        values = parse_json(path.read_bytes())
        if not isinstance(values, dict):
            raise ValueError(f"an experiment must be a JSON object, got {type(values).__name__}")
        name = values.pop("preset", None)
        if name is not None and not isinstance(name, str):
            raise ValueError(f"preset must be a preset's name, got {name!r}")
    except (OSError, ValueError) as error:
        hint = f'; a preset is a file with {{"preset": "{path}"}}' if not path.suffix and not path.exists() else ""
        raise ValueError(f"{path}: {error}{hint}") from None
    opened = None if name is None else competition()
    try:
        base = Experiment() if name is None or opened is None else _preset(name, opened, cache)
        return Experiment.from_dict(_merged(base.to_dict(), values), _found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


@contextmanager
def importable(*folders: Path) -> Iterator[None]:
    """Within the block modules in these folders can be imported, the first folder's first."""
    added = [str(folder) for folder in dict.fromkeys(folders) if str(folder) not in sys.path]
    sys.path[:0] = added
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


def parts_listing() -> str:
    """The fields of an experiment and of each part with their defaults, as text for a terminal."""
    fields = [f"{item.name}: {_default(item)}" for item in dataclasses.fields(Experiment)]
    lines = ["fields of an experiment and their defaults:", *fields, "", "parts and their fields:"]
    lines += [shown_fields(getattr(kit, name)) for name in sorted(kit.PARTS)]
    return "\n".join(textwrap.fill(line, 110, initial_indent="  ", subsequent_indent="      ") for line in lines) + "\n"


def shown_fields(part: type) -> str:
    """`Net(backbone=Conformer, pooling=Mean, head=Linear)`."""
    return f"{part.__name__}({', '.join(f'{item.name}={_default(item)}' for item in dataclasses.fields(part))})"


def _default(item: dataclasses.Field) -> str:
    if item.default is dataclasses.MISSING:
        return "…"
    if isinstance(item.default, tuple):
        return f"({', '.join(map(shown, item.default))})"
    return repr(item.default) if isinstance(item.default, str) else shown(item.default)


def _preset(name: str, competition: Competition, cache: Path) -> Experiment:
    if competition.layout == "images":
        from kit.competition.images import image_shape
        from kit.data.store import pack

        return image_preset(name, *image_shape(pack(competition, cache)))
    if competition.task == "multi":
        return soundscape_preset(name) if competition.boxes is None else recording_preset(name)
    return preset(name)


def _merged(base: Any, given: Any) -> Any:
    """JSON with what is given in the place of the base's; parts of the same class field by field."""
    if not isinstance(base, dict) or not isinstance(given, dict):
        return given
    if "part" in base and given.get("part", base["part"]) != base["part"]:
        return given
    return {**base, **{key: _merged(base.get(key), value) for key, value in given.items()}}


def _found(module: str, name: str) -> Any:
    try:
        value: Any = importlib.import_module(module)
        for piece in name.split("."):
            value = getattr(value, piece)
    except Exception as error:  # the code is the user's, and may raise anything
        raise ValueError(f"part {module}:{name} can't be imported: {error!r}") from error
    return value
