"""What README.md says of commands, flags, links and code is so."""

import argparse
import ast
import importlib
import itertools
import re
from pathlib import Path

import pytest

from tuner.__main__ import COMMANDS
from tuner.config import ALGORITHMS
from tuner.declaration import declare
from tuner.space import load_space

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
HEADINGS = re.findall(r"^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", TEXT), re.MULTILINE)
BLOCKS = re.findall(r"(?ms)^```python\n(.*?)^```", TEXT)


def _flags(parser):
    """Returns the flags of a parser and of its subcommands."""
    flags = set()
    for action in parser._actions:
        flags |= {flag for flag in action.option_strings if flag.startswith("--")}
        if isinstance(action, argparse._SubParsersAction):
            flags |= set(itertools.chain(*map(_flags, action.choices.values())))
    return flags - {"--help"}


def _parser_of(command):
    module = importlib.import_module(f"{command}.__main__" if command in ("tuner.data", "tuner.models") else command)
    return module._parser()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_flag_is_named(command):
    assert f"`python -m {command}" in TEXT
    assert {flag for flag in _flags(_parser_of(command)) if not re.search(rf"{flag}(?![\w-])", TEXT)} == set()


def test_every_flag_that_is_named_is_one():
    known = {"--help"}.union(*(_flags(_parser_of(command)) for command in COMMANDS))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", TEXT)) - known == set()


def test_every_algorithm_has_its_row():
    table = TEXT.partition("\n## Algorithms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(rows[1:]))) == sorted(ALGORITHMS)


def test_links_lead_somewhere():
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in HEADINGS}
    targets = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    assert {target for target in targets if target.startswith("#") and target[1:] not in anchors} == set()
    files = {target.partition("#")[0] for target in targets if not target.startswith(("#", "https://"))}
    assert {file for file in files if not (ROOT / file).exists()} == set()
    assert files


def test_code_is_python():
    assert len([ast.parse(block) for block in BLOCKS]) >= 4


def test_own_search_space_is_one(tmp_path):
    (block,) = (block for block in BLOCKS if "def declare(hp):" in block)
    (tmp_path / "my_space.py").write_text(block)
    assert len(declare(load_space(str(tmp_path / "my_space.py"))).space) == 8
