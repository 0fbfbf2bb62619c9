"""Parts as strict JSON: `{"part": "GeM", "p": 3.0}`, one's own `{"part": "mine:LastShare", "share": 0.25}`."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import kit
from kit.parts import Part, arguments_of, as_part, is_part, part_name, unknown

NOTEBOOK = "notebook"  # the module that parts from the cells of a notebook are written to, kit.sources
Find = Callable[[str, str], Any]  # (module, name) -> a part of the user's


def to_json(value: Any) -> Any:
    """A part, tuple or plain value as what JSON holds. Raises ValueError for what JSON can't hold."""
    value = as_part(value)
    if is_part(value):
        inner = {name: to_json(item) for name, item in arguments_of(value).items()}
        return {"part": address(value), **inner}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"a part's argument must be a number, a text, a part or a tuple of them, got {value!r}")


def address(value: Any) -> str:
    """`GeM` for a part of the kit, `module:name` for all others."""
    target = value.target if isinstance(value, Part) else type(value)
    name = target.__qualname__
    if "<" in name:
        raise ValueError(f"a part must be defined at the top of a cell or a file, got {name}")
    if target.__module__.split(".")[0] == "kit" and name in kit.PARTS and getattr(kit, name) is target:
        return name
    module = NOTEBOOK if target.__module__ == "__main__" else target.__module__
    return f"{module}:{name}"


def from_json(value: Any, find: Find | None = None, where: str = "") -> Any:
    """The inverse of to_json; lists become tuples.

    find(module, name) gives what an address names that is not the kit's; None imports it.
    Raises ValueError naming the place in the JSON, what is unknown, and the choices.
    """
    if isinstance(value, list):
        return tuple(from_json(item, find, f"{where}[{place}]") for place, item in enumerate(value))
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("part"), str):
        raise ValueError(f'{where or "a part"} must be an object with a text "part", got {list(value)}')
    target = _target(value["part"], find or _imported, where)
    arguments = {
        key: from_json(item, find, f"{where}.{key}" if where else key) for key, item in value.items() if key != "part"
    }
    try:
        if dataclasses.is_dataclass(target):
            return build(target, arguments)
        return Part(target, **arguments)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from None


def build(target: type, arguments: dict[str, Any]) -> Any:
    """A dataclass part of these fields. Raises ValueError listing the fields where one is unknown."""
    known = [item.name for item in dataclasses.fields(target) if item.init]
    for key in arguments:
        if key not in known:
            raise ValueError(unknown(f"{target.__name__}: no field", key, known))
    return target(**arguments)


def _target(name: str, find: Find, where: str) -> Any:
    module, _, attribute = name.partition(":")
    if attribute:
        return find(module, attribute)
    if name not in kit.PARTS:
        raise ValueError(unknown(f"{where + ': ' if where else ''}no part", name, sorted(kit.PARTS)))
    return getattr(kit, name)


def _imported(module: str, name: str) -> Any:
    try:
        value: Any = importlib.import_module(module)
        for piece in name.split("."):
            value = getattr(value, piece)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"part {module}:{name} can't be imported: {error}") from None
    return value


def shown(value: Any) -> str:
    """A part in one short line for tables: `GeM(p=3.0)` without what is at its default."""
    if not is_part(value):
        return "none" if value is None else str(value)
    if isinstance(value, Part):
        arguments = value.arguments
    else:
        defaults = {item.name: item.default for item in dataclasses.fields(value)}
        arguments = {name: item for name, item in arguments_of(value).items() if item != defaults.get(name)}
    inside = ", ".join(f"{name}={shown(item) if is_part(item) else repr(item)}" for name, item in arguments.items())
    return f"{part_name(value)}({inside})" if inside else part_name(value)
