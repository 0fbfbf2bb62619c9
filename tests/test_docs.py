"""The pages are true: links resolve, commands parse, snippets compile and name what there is, README's are run."""

import ast
import importlib
import re
import shlex
import sys
from pathlib import Path

import joblib
import pytest

from kit import presets
from kit.__main__ import parser

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MADE = ("api.md", "what_is_where.md")  # of docstrings, which are prose about the kit and hold no commands to type
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
PAGE_IDS = {"argvalues": PAGES, "ids": lambda path: path.name}


def prose(path):
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def fenced(path, *languages):
    return [code for language, code in FENCE.findall(path.read_text(encoding="utf-8")) if language in languages]


def anchor(heading):
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", **PAGE_IDS)
def test_every_link_resolves(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, place = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists() and linked.resolve().is_relative_to(ROOT), f"{path.name}: {target}"
        if place:
            headings = re.findall(r"^#+ (.*)$", prose(linked), re.MULTILINE)
            assert place in map(anchor, headings), f"{path.name}: {target}"


def commands(path):
    """Each command of a page, without its comment: lines of code blocks, and code within the text."""
    blocks = [code.replace("\\\n", " ") for code in fenced(path, "", "bash", "sh")]
    lines = [line for code in blocks for line in code.splitlines()]
    lines += [" ".join(code.split()) for code in INLINE.findall(prose(path))]
    typed = re.compile(r"(\.venv/bin/)?python -[mc] |make |kit ")
    return [shlex.split(line, comments=True) for line in lines if typed.match(line)]


def targets():
    return re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", [path for path in PAGES if path.name not in MADE], ids=lambda path: path.name)
def test_every_command_is_one_that_there_is(path, capsys):
    for words in commands(path):
        told = f"{path.name}: {' '.join(words)}"
        if words[0] == "make":
            named = [word for word in words[1:] if "=" not in word]
            assert set(named) <= set(targets()), told
            continue
        if words[1] == "-c":
            check_code(words[2], told)
            continue
        module, given = ("kit", words[1:]) if words[0] == "kit" else (words[2], words[3:])
        if module == "kit" and given:
            try:
                parser().parse_args(given)
            except SystemExit as ended:
                assert not ended.code, f"{told}: {capsys.readouterr().err}"
        elif module.startswith("kit."):
            assert importlib.util.find_spec(module), told


@pytest.mark.parametrize("path", **PAGE_IDS)
def test_every_snippet_compiles_and_names_what_there_is(path):
    if path.name in MADE:  # whose blocks are signatures
        return
    for code in fenced(path, "python"):
        check_code(code, path.name)
    for dotted in re.findall(r"`(kit\.[\w.]+)", prose(path)):
        assert exists(dotted), f"{path.name}: {dotted}"


def check_code(code, told):
    for node in ast.walk(ast.parse(code, told)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "kit":
            module = importlib.import_module(node.module)
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert not missing, f"{told}: from {node.module} import {', '.join(missing)}"


def exists(dotted):
    """Is it a module, or a name that a module gives?"""
    home, _, name = dotted.rstrip(".").rpartition(".")
    if home != "kit" and importlib.util.find_spec(home) is None:
        return False
    return hasattr(importlib.import_module(home), name) or importlib.util.find_spec(dotted) is not None


def test_the_checks_find_what_is_wrong(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n\n[gone](gone.md) `python -m kit trian x.json` and\n`make tea`\n```python\nfrom kit import Gem\n```\n"
    )
    for check in (test_every_link_resolves, test_every_snippet_compiles_and_names_what_there_is):
        with pytest.raises(AssertionError, match=r"page.md"):
            check(page)
    assert commands(page) == [["python", "-m", "kit", "trian", "x.json"], ["make", "tea"]]
    with pytest.raises(AssertionError, match="page.md: python -m kit trian x.json"):
        test_every_command_is_one_that_there_is(page, capsys)
    assert not exists("kit.gone") and exists("kit.save_post") and exists("kit.results.lb") and not exists("kit.gone.lb")


@pytest.fixture
def at_home(voices_folder, tmp_path, monkeypatch):
    """A folder with the pages' data, where each preset is the tests' own and folds are trained one after another."""
    for name in ("data/voices", "path/to/folder"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).symlink_to(voices_folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tiny = presets.preset("tiny")
    monkeypatch.setattr(presets, "_sounds", lambda: dict.fromkeys(presets.NAMES, tiny))
    with joblib.parallel_config("sequential"):
        yield tmp_path
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("name", ["README.md", pytest.param("docs/own_parts.md", marks=pytest.mark.nightly)])
def test_the_snippets_run_from_top_to_bottom(name, at_home, capsys):
    """A block that begins with a file's name is that file; the others are run in order, as in one notebook."""
    scope = {}
    for code in fenced(ROOT / name, "python"):
        if file := re.match(r"# (\w+\.py)", code):
            (at_home / file[1]).write_text(code, encoding="utf-8")
        else:
            exec(compile(code, name, "exec"), scope)
    assert scope["runs"] and scope["base"].name in capsys.readouterr().out
