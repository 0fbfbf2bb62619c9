"""What a public project has: one list of dependencies, a licence, a citation, types, a wheel that installs."""

import ast
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import kit
from kit.docs import definition, pages

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
USE = """
import kit
from pathlib import Path
from kit import GeM, preset
from kit.__main__ import main, version

assert Path(kit.__file__).is_relative_to(Path.cwd()), kit.__file__
assert preset("tiny").but(net__pooling=GeM(p=4.0)).net.pooling.p == 4.0
print(version())
main(["demo"])
"""


def by_name(lines):
    """The range of each requirement, by its name."""
    return {re.match(r"[\w-]+", line)[0]: line for line in lines}


def test_the_dependencies_are_those_of_the_one_list():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    extras = PROJECT["optional-dependencies"]
    told = by_name([*PROJECT["dependencies"], *extras["kaggle"], *extras["inference"], *extras["dev"]])
    for name, line in by_name(lines).items():
        assert told.get(name) == line, "pyproject.toml and requirements.txt must ask for the same"


def test_the_command_is_there_and_the_changelog_knows_the_version():
    module, name = PROJECT["scripts"]["kit"].split(":")
    assert callable(getattr(import_module(module), name))
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_licence_and_citation_say_the_same():
    licence = (ROOT / "LICENSE").read_text()
    assert re.search(r"Apache License\n +Version 2\.0, January 2004", licence) and "END OF TERMS" in licence
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["license"], citation["version"]) == (PROJECT["license"], PROJECT["version"])
    assert PROJECT["license"] == "Apache-2.0" and citation["cff-version"] == "1.2.0"
    assert citation["title"] and citation["message"] and citation["authors"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without network, in a copy: a build leaves folders behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "kit", source / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "tests/models", source / "tests/models")
    command = [*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", out, source]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.iterdir()
    return path


def test_the_wheel_holds_the_kit_its_types_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    rooms = {name.split("/")[0] for name in names}
    assert rooms == {"kit", f"audio_competition_kit-{PROJECT['version']}.dist-info"}
    sources = [path for path in (ROOT / "kit").rglob("*.py*") if path.suffix in (".py", ".pyi")]
    assert {"kit/py.typed", *(path.relative_to(ROOT).as_posix() for path in sources)} <= set(names)


def test_the_wheel_installs_and_is_used_away_from_the_repository(wheel, tmp_path):
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--target", tmp_path, wheel], check=True)
    done = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == f"{PROJECT['version']}\n", done.stderr
    assert done.stderr == "kit demo: the notebooks are not there: they come with the repository, not with the package\n"
    assert (tmp_path / "bin/kit").exists()


@pytest.mark.parametrize("path", pages())
def test_what_is_made_from_the_sources_is_fresh(path):
    assert (ROOT / path).read_text(encoding="utf-8") == pages()[path], "run python -m kit.docs"


def public():
    """The functions and public methods that `from kit import …` gives."""
    for name, module in {**kit.VERBS, **kit.PARTS}.items():
        node, _ = definition(module, name)
        inside = [node] if isinstance(node, ast.FunctionDef) else getattr(node, "body", [])
        yield from ((f"{module}.{name}", item) for item in inside if isinstance(item, ast.FunctionDef))


def test_public_signatures_are_typed():
    """A checker takes what has no type for Any; the bodies are checked by it in `make test`."""
    n = 0
    for where, function in public():
        if function.name.startswith("_") and function.name not in ("__init__", "__call__"):
            continue
        spec, n = function.args, n + 1
        given = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, (spec.vararg, spec.kwarg))]
        untyped = [one.arg for one in given if one.annotation is None and one.arg not in ("self", "cls")]
        assert not untyped, f"{where}: {function.name}: no type for {', '.join(untyped)}"
        quiet = ("__init__", "check", "check_with")  # which return nothing
        assert function.returns is not None or function.name in quiet, (
            f"{where}: {function.name}: no type of its result"
        )
    assert n > 100


USED = """
from kit import GeM, Mixup, compare, crossval, open_competition, preset

base = preset("quick")
mine = base.but(name="mine", net__pooling=GeM(p=4.0), mix=Mixup("manifold"))
runs = crossval([base, mine], open_competition("folder"), seeds=(0, 1))
print(compare(runs, base.name).to_string(), runs[0].probability.shape)
"""
MISUSED = {
    "GeM(power=3.0)": "unexpected-keyword",
    'crossval(base, "folder")': "bad-argument-type",
    "preset(3)": "bad-argument-type",
    "open_competition()": "missing-argument",
}


def test_a_type_checker_sees_what_a_user_gets_wrong(tmp_path):
    path = tmp_path / "use.py"
    path.write_text("\n".join([USED, *MISUSED]) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pyrefly", "check", "--search-path", ROOT, "--output-format", "min-text"]
    command += ["--python-interpreter-path", sys.executable, path]
    done = subprocess.run([*command, "--preset", "default"], cwd=tmp_path, capture_output=True, text=True)
    found = re.findall(r"use\.py:(\d+):.*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    first = USED.count("\n") + 2
    assert found == [(str(first + place), kind) for place, kind in enumerate(MISUSED.values())], (
        done.stdout + done.stderr
    )


def test_mutation_testing_names_modules_and_tests_that_there_are():
    for module, tests in runpy.run_path(str(ROOT / "tests/mutants.py"))["CORE"].items():
        room, name = module.split("/")
        files = [f"tests/{test}" for test in tests or (f"{room}/test_{name}.py",)]
        missing = [file for file in (f"kit/{module}.py", *files) if not (ROOT / file).is_file()]
        assert not missing, missing
