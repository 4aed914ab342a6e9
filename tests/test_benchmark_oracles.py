"""The comparison of oracles shows what is recorded, and says what cannot be run here."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def oracles(monkeypatch):
    """The program, by another name: `oracles` is the folder of tests where pytest has come to that before."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delenv("TUNER_SHARED_DATA", raising=False)
    spec = importlib.util.spec_from_file_location("benchmark_oracles", BENCHMARKS / "oracles.py")
    program = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, program)
    spec.loader.exec_module(program)
    return program


def _reported(oracles, *flags):
    return oracles.reported(oracles._parser().parse_args(["--report", *flags]))


def test_report_has_problems_that_cannot_be_searched_here(oracles):
    assert {row["problem"] for row in _reported(oracles, "--problems", "imagenet")} == {"imagenet"}
    assert {"imagenet", "mixed"} < {row["problem"] for row in _reported(oracles)}


def test_report_leaves_drawn_problems_out_until_they_are_named(oracles):
    assert not any(row["problem"].startswith("drawn-") for row in _reported(oracles))
    assert len({row["problem"] for row in _reported(oracles, "--problems", "drawn-near*")}) == 20


def test_report_has_the_seeds_and_algorithms_that_are_asked_for(oracles):
    rows = _reported(oracles, "--problems", "mixed", "--seeds", "10", "--algorithms", "tuner.freeze-thaw", "dehb*")
    assert {row["algorithm"] for row in rows} == {"tuner.freeze-thaw", "dehb", "dehb.anew"}
    assert {int(row["seed"]) for row in rows} == set(range(10))


@pytest.mark.parametrize(
    ("problems", "table"),
    [
        (["mixed", "late", "architecture", "valley", "imagenet"], 0),
        (["mixed", "late", "architecture", "valley", "imagenet", "small-fashion_mnist-14-2000"], 1),
    ],
)
def test_tables_of_the_readme_are_what_report_prints(oracles, problems, table):
    tables = oracles.report(_reported(oracles, "--problems", *problems)).split("\n\n\n")
    printed = [line for line in tables[table].splitlines() if line.startswith("| ")]
    assert len(printed) == 2 + 19  # two lines of heads
    assert "\n".join(printed) in (BENCHMARKS / "README.md").read_text()


def test_report_of_an_empty_folder_says_so(oracles, tmp_path, capsys):
    flags = ["--report", "--problems", "mixed", "--results", str(tmp_path)]
    assert oracles._run(oracles._parser().parse_args(flags)) == 0
    assert capsys.readouterr().out == "Nothing was searched.\n"


def test_a_peer_that_is_not_installed_is_named_with_its_package(oracles):
    with pytest.raises(oracles.UsageError, match=r"neps\.priorband needs neps, which is not installed"):
        oracles._chosen(["neps.priorband"], ["tuner.random"], "algorithm")


def test_a_problem_that_does_not_exist_is_refused_with_the_nearest(oracles):
    names = ["mixed", "late", *oracles.DRAWN]
    with pytest.raises(oracles.UsageError, match=r"no problem mixd here; there are mixed, late\. Did you mean 'mixed'"):
        oracles._chosen(["mixd"], names, "problem")
