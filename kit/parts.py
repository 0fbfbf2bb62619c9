"""What a part of an experiment is: a checked, frozen value that goes to JSON and back.

The kit's parts are dataclasses made with `@part`. A part of one's own is such a dataclass too, or `Part(target,
**arguments)` around a function or a class. `make(value, *context)` gives what does the work: a module, a function.
"""

import dataclasses
import difflib
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, dataclass_transform

MOST_SEED = 2**32 - 1  # NumPy's and scikit-learn's


@dataclass_transform(frozen_default=True)
def part(cls: type) -> type:
    """A frozen dataclass whose fields are checked by their types, and then by the class's own `check`.

    `check(self)` raises ValueError naming field, rule and value; `check_with(self, experiment)`, where there is one, is
    called once for the experiment that the part stands in.
    """
    hints: dict[str, Any] = {}

    def __post_init__(self):
        if not hints:
            hints.update(typing.get_type_hints(cls))
        for item in dataclasses.fields(self):
            _check_type(item.name, getattr(self, item.name), hints[item.name])
        if hasattr(self, "check"):
            self.check()

    cls.__post_init__ = __post_init__
    made = dataclasses.dataclass(frozen=True)(cls)
    init = made.__init__

    @functools.wraps(init)
    def __init__(self, *values: Any, **fields: Any):
        known = [item.name for item in dataclasses.fields(made)]
        for name in fields:
            if name not in known:
                raise ValueError(unknown(f"{cls.__name__}: no field", name, known))
        init(self, *values, **fields)

    made.__init__ = __init__
    return made


class Part:
    """A function or a class of one's own with its arguments: `Part(mine.LastShare, share=0.25)`.

    Raises TypeError or ValueError at once where the target is neither, or does not take an argument of that name.
    """

    target: Callable
    arguments: dict[str, Any]

    def __init__(self, target: Callable, /, **arguments: Any):
        if not callable(target) or not hasattr(target, "__qualname__"):
            raise ValueError(f"a part must be a function or a class, got {target!r}")
        known = inspect.signature(target).parameters
        open_ended = any(item.kind is item.VAR_KEYWORD for item in known.values())
        for name in arguments:
            if name not in known and not open_ended:
                raise ValueError(f"{target.__qualname__}: no argument {name!r}; the arguments are {', '.join(known)}")
        self.__dict__.update(target=target, arguments=arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise dataclasses.FrozenInstanceError(f"a part can't be changed; use but({name}=…)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Part) and (self.target, self.arguments) == (other.target, other.arguments)

    def __hash__(self) -> int:
        return hash((self.target, tuple(sorted(self.arguments))))

    def __repr__(self) -> str:
        return f"Part({', '.join([self.target.__qualname__, *(f'{k}={v!r}' for k, v in self.arguments.items())])})"

    def make(self, *context: Any) -> Any:
        """An instance of the class, made of context and arguments; of a function, the function with its arguments."""
        if not inspect.isclass(self.target):
            return functools.partial(self.target, **self.arguments) if self.arguments else self.target
        try:
            inspect.signature(self.target).bind(*context, **self.arguments)
        except TypeError as error:
            names = ", ".join(inspect.signature(self.target).parameters)
            raise ValueError(
                f"{self.target.__qualname__}({names}) is called with {len(context)} values, then its arguments: {error}"
            ) from None
        return self.target(*context, **self.arguments)


def as_part(value: Any) -> Any:
    """A bare function or class as a Part, a functools.partial of one likewise; all else as it is."""
    if isinstance(value, functools.partial) and not value.args:
        return Part(value.func, **value.keywords)
    return Part(value) if inspect.isroutine(value) or inspect.isclass(value) else value


def is_part(value: Any) -> bool:
    """Is it a Part, or an instance of a dataclass?"""
    return isinstance(value, Part) or (dataclasses.is_dataclass(value) and not inspect.isclass(value))


def make(value: Any, *context: Any) -> Any:
    """What does a part's work: what its `make` gives for the context, or the part itself where it has none."""
    return value.make(*context) if hasattr(value, "make") else value


def part_name(value: Any) -> str:
    """How messages and tables call a part: its class, or the function's or class's name."""
    return value.target.__qualname__ if isinstance(value, Part) else type(value).__name__


def arguments_of(value: Any) -> dict[str, Any]:
    """A part's fields by name."""
    if isinstance(value, Part):
        return dict(value.arguments)
    return {item.name: getattr(value, item.name) for item in dataclasses.fields(value) if item.init}


def walk(value: Any) -> Iterator[Any]:
    """The part and all parts inside it; a function or a class that stands in a field counts as a part."""
    value = as_part(value)
    if isinstance(value, tuple | list):
        for item in value:
            yield from walk(item)
    elif is_part(value):
        yield value
        for inner in arguments_of(value).values():
            yield from walk(inner)


def but(value: Any, changes: Mapping[str, Any]) -> Any:
    """The part with fields changed; `net__pooling` is the field pooling of the field net.

    Raises ValueError listing the names where one is no field.
    """
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    known = arguments_of(value)
    for key, new in changes.items():
        name, _, rest = key.partition("__")
        allowed = inspect.signature(value.target).parameters if isinstance(value, Part) else known
        if name not in allowed:
            what = f"{part_name(value)}: no field"
            paths = [
                f"{field}__{inside}" for field, part in known.items() if is_part(part) for inside in arguments_of(part)
            ]
            meant = [path for path in paths if key in (path.split("__")[1], path.replace("__", "_"))]
            raise ValueError(f"{what} {key!r} (did you mean {meant[0]}?)" if meant else unknown(what, name, allowed))
        if rest:
            inner.setdefault(name, {})[rest] = new
        else:
            own[name] = new
    for name, deeper in inner.items():
        field = own.get(name, known.get(name))
        if not is_part(field):
            raise ValueError(f"{part_name(value)}: {name} is no part and has no fields, got {next(iter(deeper))!r}")
        own[name] = but(field, deeper)
    if isinstance(value, Part):
        return Part(value.target, **{**value.arguments, **own})
    return dataclasses.replace(value, **own)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that is not known: the nearest, then all that there are."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{what} {name!r}{hint}; there are {', '.join(known)}"


def at_least(value: Any, least: float, *names: str) -> None:
    for name in names:
        if not getattr(value, name) >= least:
            raise ValueError(f"{name} must be at least {least}, got {getattr(value, name)}")


def above(value: Any, bound: float, *names: str) -> None:
    for name in names:
        if not getattr(value, name) > bound:
            raise ValueError(f"{name} must be above {bound}, got {getattr(value, name)}")


def fraction(value: Any, *names: str) -> None:
    """In [0, 1)."""
    for name in names:
        if not 0 <= getattr(value, name) < 1:
            raise ValueError(f"{name} must be in [0, 1), got {getattr(value, name)}")


def share(value: Any, *names: str) -> None:
    """In [0, 1]."""
    for name in names:
        if not 0 <= getattr(value, name) <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {getattr(value, name)}")


def one_of(value: Any, name: str, choices: Iterable[Any]) -> None:
    if getattr(value, name) not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {getattr(value, name)!r}")


def ordered(value: Any, *names: str) -> None:
    """(low, high) of finite numbers with low <= high."""
    for name in names:
        pair = getattr(value, name)
        if len(pair) != 2 or not all(map(_is_number, pair)) or not -math.inf < pair[0] <= pair[1] < math.inf:
            raise ValueError(f"{name} must be (low, high) with low <= high, got {pair!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_type(name: str, value: Any, hint: Any) -> None:
    """For numbers, texts and tuples; a field of parts is checked where it is used."""
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain = [typing.get_origin(one) or one for one in allowed]
    if not all(one in (int, float, bool, str, tuple, types.NoneType) for one in plain):
        return
    fits = any(
        _is_number(value) if one is float else isinstance(value, one) and (one is bool or not isinstance(value, bool))
        for one in plain
    )
    if not fits:
        raise ValueError(f"{name} must be of type {' or '.join(one.__name__ for one in plain)}, got {value!r}")
    if isinstance(value, int) and not abs(value) < 2**63:
        raise ValueError(f"{name} must fit in 64 bits, got a number of {value.bit_length()} bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
