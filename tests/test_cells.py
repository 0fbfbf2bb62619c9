"""A definition of a notebook's cell as a module that stands by itself."""

import linecache
import sys
import types

import pytest

from kit.cells import definition, module_source


@pytest.fixture
def cell(monkeypatch):
    """run(text): the text as a cell of a session; what it defines, in a module that stands for `__main__`."""
    session = types.ModuleType("session")
    session.In = [""]
    monkeypatch.setitem(sys.modules, "session", session)

    def run(text):
        name = f"<cell {len(session.In)}>"
        session.In.append(text)
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(session))  # noqa: S102
        return session

    yield run
    for name in [name for name in linecache.cache if name.startswith("<cell ")]:
        del linecache.cache[name]


def loaded(text):
    module = types.ModuleType("loaded")
    exec(text, vars(module))  # noqa: S102
    return module


def test_a_class_comes_with_its_imports_constants_and_what_it_calls(cell):
    cell("import math\nfrom collections import OrderedDict as Ordered\nSCALE = 2.5\nNAMES = ('a', ('b', 1))\nbig = [1]")
    cell("def helper(x):\n    return math.floor(x) * SCALE\n\n\nnoise = 3")
    session = cell("class Mine:\n    names = NAMES\n    def go(self, x):\n        return helper(x), Ordered()")
    text = module_source([session.Mine])
    assert text == (
        "from collections import OrderedDict as Ordered\nimport math\n\nNAMES = ('a', ('b', 1))\nSCALE = 2.5\n\n\n"
        "def helper(x):\n    return math.floor(x) * SCALE\n\n\n"
        "class Mine:\n    names = NAMES\n    def go(self, x):\n        return helper(x), Ordered()\n"
    )
    assert loaded(text).Mine().go(3.9)[0] == 7.5


def test_the_same_definitions_give_the_same_text_whatever_else_the_notebook_holds(cell):
    one = cell("def f(x):\n    return x")
    before = module_source([one.f])
    cell("table = object()\nSCALE = 3")
    assert module_source([one.f]) == before


def test_the_newest_definition_counts_decorators_and_bases_too(cell):
    cell("class Base:\n    pass")
    cell("import functools\n@functools.cache\ndef f():\n    return 1")
    session = cell("class Mine(Base):\n    size = 1")
    session = cell("class Mine(Base):\n    size = 2")
    assert loaded(module_source([session.Mine])).Mine.size == 2
    assert "class Base" in module_source([session.Mine])


def test_functions_that_call_each_other_end(cell):
    session = cell("def even(n):\n    return n == 0 or odd(n - 1)\n\ndef odd(n):\n    return n != 0 and even(n - 1)")
    assert loaded(module_source([session.even])).even(10) is True


def test_a_local_name_is_not_taken_for_a_global_one(cell):
    cell("frames = object()")
    session = cell("def f(x):\n    frames = x\n    return frames")
    assert "object" not in module_source([session.f])


def test_names_that_shadow_pythons_own_and_what_is_not_finite_travel(cell):
    cell("from math import pow\nNEVER = float('-inf')\nEDGES = (1.0, float('inf'))")
    session = cell(
        "def round(x):\n    return x + 1\n\ndef f(x):\n    return round(pow(x, 2)), max(x, NEVER), EDGES, abs(x)"
    )
    text = module_source([session.f])
    assert "from math import pow" in text and "abs" not in text.split("def f")[0]
    assert loaded(text).f(3) == (10.0, 3, (1.0, float("inf")), 3)


def test_what_cannot_travel_is_named(cell):
    cell("table = [1, 2]")
    session = cell("def f(x):\n    return table[x]")
    with pytest.raises(ValueError, match="part f: uses 'table' of the notebook, a list, which can't travel with it"):
        module_source([session.f])


def test_a_source_that_is_nowhere_is_named():
    made = types.new_class("Made", (), {}, lambda namespace: namespace.update(__module__="session_of_none"))
    sys.modules["session_of_none"] = types.ModuleType("session_of_none")
    try:
        with pytest.raises(ValueError, match="part Made: its source can't be had; write it into a file"):
            definition(made)
    finally:
        del sys.modules["session_of_none"]
