"""What pyproject.toml says of the kit: its dependencies are those of requirements.txt, its command starts."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def by_name(lines):
    """The range of each requirement, by its name."""
    return {re.match(r"[\w-]+", line)[0]: line for line in lines}


def test_the_dependencies_are_those_of_the_one_list():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    extras = PROJECT["optional-dependencies"]
    told = by_name([*PROJECT["dependencies"], *extras["kaggle"], *extras["inference"], *extras["dev"]])
    for name, line in by_name(lines).items():
        assert told.get(name) == line, "pyproject.toml and requirements.txt must ask for the same"


def test_the_command_and_the_licence_are_there():
    module, name = PROJECT["scripts"]["kit"].split(":")
    assert callable(getattr(import_module(module), name))
    assert PROJECT["license"] == "MIT" and (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()
