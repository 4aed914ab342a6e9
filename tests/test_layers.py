"""Imports go down only (the table of CONTRIBUTING.md), and no help page waits for a library."""

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module may import those of its own number and below.
LAYERS = {
    0: [
        *("tuner", "errors", "config", "records", "command", "figures", "hardware", "quantities"),
        *("files", "folders", "forking", "imports", "interrupts", "markdown", "seeds", "versions"),
    ],
    1: [
        "models",
        "data",
        "space",
        "distributions",
        "storage",
        "locks",
        "study",
        "finding",
        "trials",
        "checkpoint",
        "recipe",
        "metrics",
        "card",
        "declaration",
        "messages",
        "batches",
        "enqueue",
        "warm_start",
        "pareto",
        "ranges",
        "gates",
        "augmentation",
    ],
    2: [
        "program",
        "moment",
        "splitting",
        "executions",
        "failures",
        "mirror",
        "runtime",
        "training",
        "architecture",
        "networks",
        "continuations",
        "callbacks",
        "hypermodel",
        "worker",
        "oracles",
        "preload",
        "trainer",
        "latency",
        "sizes",
    ],
    3: [
        *("executor", "flights", "ledger", "dialogue", "order", "scoring", "budget"),
        *(
            "crew",
            "cluster",
            "revival",
            "member",
            "inbox",
            "launch",
            "staff",
            "plan",
            "flags",
            "request",
            "preparation",
            "constraints",
            "rounds",
            "rehearsal",
        ),
        "observer",
    ],
    4: [
        "classifier",
        "exporter",
        "reopen",
        "selector",
        "retest",
        "provenance",
        "leaderboard",
        "display",
        "outcome",
        "variants",
        "ablation",
        "ablation_plan",
        *("situation", "advice", "importance", "axes", "thinning", "look", "charts", "page"),
    ],
    5: ["search", "select", "ablate", "report", "predict", "data.__main__", "models.__main__", "__main__"],
}
LAYER = {module: number for number, modules in LAYERS.items() for module in modules}

# What decides a result knows Keras, what decides a search knows Optuna, and neither knows the other's library.
KERAS_COLUMN = [
    "models",
    "data",
    "recipe",
    "metrics",
    "checkpoint",
    "program",
    "moment",
    "augmentation",
    "splitting",
    "executions",
    "failures",
    "mirror",
    "runtime",
    "training",
    "architecture",
    "batches",
    "networks",
    "continuations",
    "callbacks",
    "messages",
    "declaration",
    "hypermodel",
    "latency",
    "worker",
    "classifier",
    "exporter",
    "variants",
    "ablation",
    "ablation_plan",
    "predict",
]
OPTUNA_COLUMN = [
    "oracles",
    "finding",
    "study",
    "trials",
    "distributions",
    "storage",
    "locks",
    "space",
    "records",
    "config",
    "order",
    "scoring",
    "budget",
    "enqueue",
    "warm_start",
    *("ranges", "situation", "advice", "importance", "charts", "page", "report"),
]
COMMANDS = [
    *("tuner.search", "tuner.leaderboard", "tuner.report", "tuner.select", "tuner.ablate", "tuner.predict"),
    *("tuner.data", "tuner.models"),
]


@functools.cache
def _files():
    """Every module of `tuner` by its name within the package."""
    names = {path: path.relative_to(ROOT / "tuner").with_suffix("").parts for path in (ROOT / "tuner").rglob("*.py")}
    return {".".join(part for part in parts if part != "__init__") or "tuner": path for path, parts in names.items()}


def _imports_of(path):
    """Returns the full names that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _home(module):
    """Returns the entry of the table that a module belongs to: itself or its package."""
    return module if module in LAYER else module.partition(".")[0]


def _own(name):
    """Returns the module of `tuner` that an imported name is or is in; None for another package."""
    if name.partition(".")[0] != "tuner":
        return None
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in _files():
        parts.pop()
    return ".".join(parts) or "tuner"


def _edges():
    return [
        (module, imported)
        for module, path in sorted(_files().items())
        for imported in sorted({_own(name) for name in _imports_of(path)} - {None})
    ]


def test_every_module_has_a_layer():
    assert {_home(module) for module in _files()} == set(LAYER)


@pytest.mark.parametrize(("module", "imported"), _edges())
def test_import_points_down(module, imported):
    assert LAYER[_home(imported)] <= LAYER[_home(module)]


@pytest.mark.parametrize("name", [_home, str], ids=["packages", "files"])
def test_imports_make_no_circle(name):
    below = {}
    for module, imported in _edges():
        if name(module) != name(imported):
            below.setdefault(name(module), set()).add(name(imported))
    while below:
        leaves = {module for module, imported in below.items() if not imported & set(below)}
        assert leaves, f"a circle runs through {sorted(below)}"
        below = {module: imported for module, imported in below.items() if module not in leaves}


def _libraries(homes):
    return {
        (module, name.partition(".")[0])
        for module, path in _files().items()
        if _home(module) in homes
        for name in _imports_of(path)
    }


@pytest.mark.parametrize(
    ("column", "forbidden"),
    [(KERAS_COLUMN, {"optuna"}), (OPTUNA_COLUMN, {"keras", "tensorflow", "tensorflow_datasets"})],
)
def test_column_knows_one_library(column, forbidden):
    assert [pair for pair in _libraries(column) if pair[1] in forbidden] == []


def test_only_two_modules_know_dask():
    knowing = {module for module, name in _libraries(LAYER) if name in ("dask", "distributed")}
    assert knowing == {"cluster", "launch"}


def test_tensorflow_datasets_is_imported_in_one_place():
    assert {path.stem for path in _files().values() if "tensorflow_datasets" in _imports_of(path)} == {"tfds"}


def test_table_of_the_contributors_is_this_one():
    rows = re.findall(r"^\| (\d) \| (.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    table = {int(number): {name.rstrip("/") for name in re.findall(r"`([\w/]+)`", modules)} for number, modules in rows}
    named = {
        number: {module.replace(".", "/") for module in modules} - {"tuner", "__main__"}
        for number, modules in LAYERS.items()
    }
    assert {number: names - {"leaderboard"} for number, names in table.items()} == {
        number: names - {"leaderboard"} for number, names in named.items()
    }


@pytest.mark.parametrize("package", ["data", "models/families"])
def test_page_of_a_package_names_its_modules(package):
    folder = ROOT / "tuner" / package
    page = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    assert sorted(re.findall(r"^    (\w+) ", page, re.MULTILINE)) == sorted(modules)


def test_modules_are_short():
    assert {module for module, path in _files().items() if len(path.read_text().splitlines()) > 300} == set()


def test_nothing_imports_the_inside_of_keras_tuner():
    assert [
        name for path in _files().values() for name in _imports_of(path) if name.startswith("keras_tuner.src")
    ] == []


def test_search_spaces_import_nothing():
    assert {name for path in (ROOT / "search_spaces").glob("*.py") for name in _imports_of(path)} == set()


@pytest.mark.parametrize("command", [*COMMANDS, "tuner.data prepare"])
def test_help_has_examples_and_imports_no_library(command):
    module, *arguments = command.split()
    code = f"""
import runpy, sys
sys.argv = ["x", *{arguments}, "--help"]
try:
    runpy.run_module("{module}", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print(end.code, sorted({{"tensorflow", "keras", "keras_tuner", "optuna", "numpy"}} & set(sys.modules)))
"""
    terminal = os.environ | {"COLUMNS": "80"}
    out = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT, env=terminal)
    assert [line for line in out.splitlines() if len(line) > 80] == []
    assert "examples:\n  python -m tuner." in out
    assert out.splitlines()[-1] == "0 []"


@pytest.mark.parametrize(
    ("written", "hint"), [("search", "Did you mean 'tuner.search'?"), ("--space", "tuner.search.")]
)
def test_command_that_is_written_as_an_argument_is_wrong_usage(written, hint):
    line = [sys.executable, "-m", "tuner", written, "small"]
    ended = subprocess.run(line, text=True, cwd=ROOT, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"was given {written!r}" in ended.stderr
    assert ended.stderr.endswith(f"{hint}\n")


def test_list_of_commands_ends_quietly_where_nobody_reads_it():
    code = "import os, sys\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\n"
    code += "from tuner.__main__ import main\nsys.exit(main([]))\n"
    ended = subprocess.run([sys.executable, "-u", "-c", code], text=True, cwd=ROOT, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_package_lists_all_commands():
    out = subprocess.check_output([sys.executable, "-m", "tuner"], text=True, cwd=ROOT)
    listed = [line.split()[2] for line in out.splitlines() if line.startswith("  python -m ")]
    assert listed == COMMANDS
    assert [line for line in out.splitlines() if len(line) > 80] == []
    runnable = {name for name, path in _files().items() if 'if __name__ == "__main__":' in path.read_text()}
    packages = {"data", "models"}
    assert runnable - {"__main__", "reopen"} == {name.removeprefix("tuner.") for name in COMMANDS} - packages | {
        f"{package}.__main__" for package in packages
    }
