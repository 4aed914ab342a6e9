"""pyproject.toml requires what is imported, not what others happen to bring."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

import tuner

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {
    "tuner",
    "search_spaces",
    *(path.stem for folder in ("tests", "benchmarks") for path in (ROOT / folder).iterdir()),
}
SAME = {"tensorflow-cpu": "tensorflow"}  # a package of its own for processors


def _imported(*folders):
    """Returns the packages of others that the modules in some folders import, by the names of their imports."""
    nodes = [
        node
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    ]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - OWN


def _required(*lists):
    names = (re.split(r"[^\w.-]", line)[0] for lines in lists for line in lines)
    return {name.lower().replace("_", "-") for name in names}


@pytest.mark.parametrize(
    ("folders", "lists"),
    [
        (("tuner", "search_spaces"), [PROJECT["dependencies"]]),
        (("tests",), [PROJECT["dependencies"], PROJECT["optional-dependencies"]["test"]]),
    ],
    ids=["program", "tests"],
)
def test_what_is_imported_is_required(folders, lists):
    brought_by = importlib.metadata.packages_distributions()
    found = {name: brought_by.get(name, [name]) for name in _imported(*folders)}
    of = {
        name: {SAME.get(each.lower(), each.lower().replace("_", "-")) for each in all_} for name, all_ in found.items()
    }
    assert len(of) > 5
    assert {name for name, distributions in of.items() if not distributions & _required(*lists)} == set()


def test_readme_names_every_extra():
    named = re.findall(r"'\.\[([\w,]+)\]'", (ROOT / "README.md").read_text())
    assert {extra for extras in named for extra in extras.split(",")} == set(PROJECT["optional-dependencies"])


def test_version_stands_in_one_place():
    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", tuner.__version__)
