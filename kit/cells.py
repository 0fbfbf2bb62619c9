"""The source of a part that was defined in a notebook's cell or a script, as a module that stands by itself.

What a definition uses of the notebook goes along: other definitions, imports, and plain constants.
"""

import ast
import builtins
import importlib
import inspect
import linecache
import math
import symtable
import sys
import types
from collections.abc import Iterator
from typing import Any

IPYTHON = ("open", "exit", "quit", "get_ipython", "display")  # names that a session has of its own
CONSTANTS = (bool, int, float, str, types.NoneType)


def module_source(targets: list[Any]) -> str:
    """The text of a module that defines all targets, which `__main__` defines; the same for the same definitions.

    Raises ValueError naming the part, where it uses a value of the notebook that can't be written down.
    """
    imports: set[str] = set()
    constants: dict[str, str] = {}
    definitions: dict[str, str] = {}
    for target in sorted(targets, key=lambda one: one.__qualname__):
        _add(target, target.__qualname__, imports, constants, definitions)
    lines = [*sorted(imports), "", *(f"{name} = {text}" for name, text in sorted(constants.items()))]
    return "\n".join(lines).strip() + "\n\n\n" + "\n\n\n".join(definitions.values()) + "\n"


def _add(target: Any, part: str, imports: set, constants: dict, definitions: dict) -> None:
    name = target.__qualname__
    if name in definitions:
        return
    text = definition(target)
    definitions[name] = ""  # so that two which use each other end
    namespace = vars(sys.modules[target.__module__])
    for used in sorted(_globals_of(text)):
        if used not in namespace or used == name or used in IPYTHON or used.startswith("__"):
            continue
        value = namespace[used]
        if value is getattr(builtins, used, namespace):
            continue
        if getattr(value, "__module__", None) == target.__module__ and hasattr(value, "__qualname__"):
            _add(value, part, imports, constants, definitions)
        elif line := _import_of(used, value):
            imports.add(line)
        elif _is_constant(value):
            constants[used] = _written(value)
        else:
            raise ValueError(
                f"part {part}: uses {used!r} of the notebook, a {type(value).__name__}, which can't travel with it: "
                "give it as an argument, or make it inside the part"
            )
    definitions.pop(name)  # after what it uses
    definitions[name] = text


def definition(target: Any) -> str:
    """The source text of a function or class, decorators included. Raises ValueError where it is not to be had."""
    for cell in _texts(target):
        try:
            tree = ast.parse(cell)
        except SyntaxError:
            continue
        for node in reversed(tree.body):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == target.__qualname__:
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                return "\n".join(cell.splitlines()[first - 1 : node.end_lineno])
    raise ValueError(f"part {target.__qualname__}: its source can't be had; write it into a file (%%writefile mine.py)")


def _texts(target: Any) -> Iterator[str]:
    """Where the definition may stand: the file or cell of its code, then the session's cells, the newest first."""
    functions = [target] if inspect.isfunction(target) else list(vars(target).values())
    for function in functions:
        code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
        if code is not None and (lines := linecache.getlines(code.co_filename)):
            yield "".join(lines)
    main = sys.modules[target.__module__]
    yield from reversed(getattr(main, "In", []))
    if file := getattr(main, "__file__", None):
        yield "".join(linecache.getlines(file))


def _globals_of(text: str) -> set[str]:
    """Names that the text reads and does not define."""
    names: set[str] = set()

    def visit(scope: symtable.SymbolTable) -> None:
        top = scope.get_type() == "module"
        names.update(one.get_name() for one in scope.get_symbols() if one.is_referenced() and (top or one.is_global()))
        for inner in scope.get_children():
            visit(inner)

    visit(symtable.symtable(text, "<part>", "exec"))
    return names


def _import_of(name: str, value: Any) -> str:
    """The line that imports the value by this name, empty where none does."""
    if isinstance(value, types.ModuleType):
        return f"import {name}" if value.__name__ == name else f"import {value.__name__} as {name}"
    module, origin = getattr(value, "__module__", None), getattr(value, "__qualname__", name)
    if not isinstance(module, str) or module == "__main__" or "." in origin:
        return ""
    try:
        if getattr(importlib.import_module(module), origin, None) is not value:
            return ""
    except ImportError:
        return ""
    return f"from {module} import {origin}" + ("" if origin == name else f" as {name}")


def _written(value: Any) -> str:
    """The constant as Python reads it."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_written, value))}{',' if len(value) == 1 else ''})"
    return f'float("{value}")' if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return type(value) in CONSTANTS
