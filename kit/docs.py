"""`python -m kit.docs` writes what is made from the sources, which a test holds to be fresh: API, map of files, types.

Sources are read, not imported: signatures stand on the page as they are written, and nothing heavy is loaded.
"""

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kit
from kit.atomic import replacing

ROOT = Path(__file__).parents[1]
HEAD = """# The API

Made by `python -m kit.docs` from the sources' signatures and docstrings. All names are given by `from kit import …`.
A part's fields stand with their defaults; `experiment.but(net__pooling__p=4.0)` changes one.
"""
MAP = """# What is where

Made by `python -m kit.docs` from the first line of each file. Imports run one way: `notebooks → studies, kaggle →
inference → results → training → models → data → competition`, with `parts` under all.
"""
ROOMS = {
    "": "what the rooms share, and the command line",
    "competition": "a folder of any layout as tables; folds; metrics",
    "data": "features, the packed store, batches, augmentation, mixup plans",
    "models": "nets: backbones, poolings, heads, starting weights",
    "training": "the loop, losses, optimisers, cross-validation, pseudo labels",
    "results": "intervals, comparisons, submissions, the ledger, post-processing",
    "inference": "finished runs over any folder, under a clock; export",
    "kaggle": "kernels and submissions, sent once and read back",
    "studies": "what serves one notebook",
    "demos": "the synthetic competitions",
}
STUB = '''"""What `from kit import …` gives, for type checkers and editors: made by `python -m kit.docs`."""

'''


def main() -> None:
    """Write the files."""
    for path, text in pages().items():
        with replacing(ROOT / path) as beside:
            beside.write_text(text, encoding="utf-8")
        print(path)


def pages() -> dict[str, str]:
    """The text of each made file by its path in the repository."""
    return {"docs/api.md": reference(), "docs/what_is_where.md": files(), "kit/__init__.pyi": stub()}


def files() -> str:
    """Each room's files with what they do. Raises ValueError where a room or a file does not say."""
    folders = {path.parent.name for path in (ROOT / "kit").glob("*/__init__.py")}
    if folders != set(ROOMS) - {""}:
        raise ValueError(f"ROOMS must name each folder of kit/, got {', '.join(sorted(folders ^ set(ROOMS)))}")
    sections = [MAP]
    for room, what in ROOMS.items():
        lines = [f"## `kit/{room}`: {what}\n", "| file | what it does |", "|---|---|"]
        folder = ROOT / "kit" / room
        for path in sorted(folder.rglob("*.py") if room else folder.glob("*.py")):
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            if not doc and path.name != "__init__.py":
                raise ValueError(f"{path}: must say in its first line what it does")
            lines += (
                [f"| `{path.relative_to(folder).as_posix()}` | {doc.splitlines()[0].replace('|', chr(92) + '|')} |"]
                if doc
                else []
            )
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def stub() -> str:
    """An import of each public name, which is how a type checker learns what the lazy package gives."""
    names = {**kit.VERBS, **kit.PARTS}
    by_module = defaultdict(list)
    for name, module in names.items():
        by_module[module].append(name)
    lines = [
        f"from {module} import {name} as {name}" for module in sorted(by_module) for name in sorted(by_module[module])
    ]
    whole = [f"from {module.rpartition('.')[0]} import {name} as {name}" for name, module in kit.MODULES_SHOWN.items()]
    tables = ["VERBS: dict[str, str]", "MODULES_SHOWN: dict[str, str]", "PARTS: dict[str, str]"]
    return STUB + "\n".join([*lines, *sorted(whole), "", *tables]) + "\n"


def reference() -> str:
    """Verbs and values, then parts, a section a module."""
    sections = [HEAD]
    for title, names in {"Verbs and values": kit.VERBS, "Parts": kit.PARTS}.items():
        sections.append(f"## {title}\n")
        by_module = defaultdict(list)
        for name, module in names.items():
            by_module[module].append(name)
        for module, inside in by_module.items():
            sections.append(f"### `{module}`\n")
            sections += [entry(module, name) for name in inside]
    return "\n".join(sections)


def entry(module: str, name: str) -> str:
    """A name's signature as code, and its docstring; of a class its fields or methods, too."""
    node, lines = definition(module, name)
    if isinstance(node, ast.ClassDef):
        return _class_entry(module, node, lines)
    if isinstance(node, ast.FunctionDef):
        return _shown(name, _signature(node, lines), _doc(node))
    comment = lines[node.lineno - 2].removeprefix("# ") if lines[node.lineno - 2].startswith("# ") else ""
    return _shown(name, lines[node.lineno - 1].partition(" = ")[0], comment)


def _class_entry(module: str, node: ast.ClassDef, lines: list[str]) -> str:
    fields = [line.strip() for line in _fields(module, node)]
    if fields:
        code = "\n".join([f"{node.name}(", *(f"    {field}" for field in fields), ")"])
        return _shown(node.name, code, _doc(node)) + "".join(_method(item, lines) for item in node.body)
    init: Any = next((item for item in node.body if getattr(item, "name", "") == "__init__"), None)
    code = _signature(init, lines).replace("def __init__(self, ", f"{node.name}(") if init else node.name
    return _shown(node.name, code, _doc(node)) + "".join(_method(item, lines) for item in node.body)


def _method(node: ast.stmt, lines: list[str]) -> str:
    """A public method that says what it is for, by the first line of its docstring; else nothing."""
    if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or not _doc(node):
        return ""
    arguments = ast.unparse(node.args).partition(", ")[2]
    is_property = any(getattr(item, "id", "") in ("property", "cached_property") for item in node.decorator_list)
    called = f".{node.name}" if is_property else f".{node.name}({arguments})"
    return f"\n- `{called}`: {_doc(node).splitlines()[0]}\n"


def _fields(module: str, node: ast.ClassDef) -> Iterator[str]:
    """The source lines of a dataclass's fields, with their comments, those of its bases first."""
    for base in node.bases:
        if isinstance(base, ast.Name) and any(getattr(item, "name", None) == base.id for item in _tree(module)[0].body):
            yield from _fields(module, definition(module, base.id)[0])
    lines = _tree(module)[1]
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            yield from lines[item.lineno - 1 : item.end_lineno]


def _signature(node: ast.FunctionDef, lines: list[str]) -> str:
    """As it is written, up to the colon."""
    written = "\n".join(lines[node.lineno - 1 : node.body[0].lineno - 1])
    return inspect.cleandoc(written).removesuffix(":")


def _doc(node: ast.FunctionDef | ast.ClassDef) -> str:
    return inspect.cleandoc(ast.get_docstring(node) or "")


def _shown(name: str, code: str, doc: str) -> str:
    return f"#### {name}\n\n```python\n{code}\n```\n\n{doc}\n"


@cache
def _tree(module: str) -> tuple[ast.Module, list[str]]:
    path = ROOT / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = path.read_text(encoding="utf-8")
    return ast.parse(text), text.splitlines()


def definition(module: str, name: str) -> tuple[Any, list[str]]:
    """Where a module defines the name. Raises LookupError where it only imports it: name the module that does."""
    tree, lines = _tree(module)
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if name in (getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)):
            return node, lines
    raise LookupError(f"{module} defines no {name}")


if __name__ == "__main__":
    main()
