"""The ablation of a tiny study: trained, killed, continued, and refused where there is nothing to compare."""

import csv
import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuner import ablate, search
from tuner.ablation import Comparison, read_trainings, write_trainings
from tuner.config import SearchConfig
from tuner.gates import WITHOUT
from tuner.records import WORKER_DIED
from tuner.storage import storage_url
from tuner.study import Study

ROOT = Path(__file__).parents[1]
DEADLINE_SECONDS = 240

SPACE = '''"""One block with a choice of gates, for a test."""

MAX_EPOCHS = 1
BATCH_SIZE = 256


def declare(hp):
    hp.Fixed("stages", 1)
    hp.Fixed("blocks_1", 1)
    hp.Fixed("width", 4)
    hp.Choice("se_ratio", [%s])
    hp.Float("learning_rate", 0.05, 0.5, default=0.1)
'''


def _search(results, name, ratios):
    space = results / f"{name}.py"
    space.write_text(SPACE % ratios)
    fixed = ["--space", str(space), "--algorithm", "random", "--workers", "0", "--quiet"]
    assert search.main([*fixed, "--study", name, "--results-dir", str(results), "--trials", "2"]) == 0


@pytest.fixture(scope="module")
def results(digits, tmp_path_factory):
    """A folder with two studies: one with gates, and one without."""
    folder = tmp_path_factory.mktemp("results")
    _search(folder, "gated", "2, 4")
    _search(folder, "bare", "0")
    return folder


@pytest.fixture
def call(results, capsys):
    """Runs the command and returns its exit status and what it printed."""

    def call(*arguments):
        capsys.readouterr()
        status = ablate.main([*arguments, "--results-dir", str(results), "--workers", "0"])
        return status, *capsys.readouterr()

    return call


def _tables(results):
    with (results / "gated" / "ablation.csv").open(newline="") as file:
        return {(row["table"], row["variant"]): row for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("difference", "low", "high", "told"),
    [
        (0.0, 0.0, 0.0, "+0.0000 validation accuracy (95 %: +0.0000 to +0.0000), 3 seeds"),
        (-0.01, -0.02, 0.005, "+0.0100 validation accuracy (95 %: -0.0050 to +0.0200), 3 seeds"),
        (0.01, None, None, "-0.0100 validation accuracy, 3 seeds"),
    ],
)
@pytest.mark.parametrize("failed", [0, 2])
def test_verdict_is_what_is_lost_without_gates(difference, low, high, told, failed, capsys):
    row = Comparison("se", WITHOUT, 1, 1, 3, 0.9, difference, low, high, failed)
    ablate._print_verdict([row])
    lost = f"; {failed} trainings without it gave no score" if failed else ""
    assert capsys.readouterr().out == f"SE        brings {told}{lost}\n"


def test_study_without_a_score_does_not_wait_for_tensorflow(tmp_path):
    (tmp_path / "mine").mkdir()
    config = SearchConfig(space="tiny", max_epochs=3, batch_size=64)
    Study.create(storage_url(tmp_path, "mine", None), "mine", config=config, space=[], versions={}).close()
    code = f"import sys\nfrom tuner import ablate\nstatus = ablate.main(['mine', '--results-dir', {str(tmp_path)!r}])\n"
    code += "print(status, 'tensorflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, stderr=subprocess.DEVNULL) == "1 False\n"


def test_two_studies_are_refused(capsys):
    assert ablate.main(["one", "--study", "two"]) == 2
    assert capsys.readouterr().err == "Error: STUDY is one and --study is two; leave one of the two out.\n"


@pytest.mark.slow
def test_tables_of_a_study_and_more_seeds_later(call, results):
    trainings = results / "gated" / "ablation-trainings.csv"
    status, out, err = call("gated", "--tables", "se", "ratio", "--seeds", "2")
    assert status == 0
    assert "Compares  3 networks with 2 seeds each" in out
    assert "Trainings 6 of 1 epoch; 0 are there already" in out
    assert err.count("training ") == 6
    assert "SE        brings " in out
    assert (results / "gated" / "ablation.md").read_text() in out
    rows = _tables(results)
    assert list(rows) == [("se", "with"), ("se", "without"), ("ratio", "2"), ("ratio", "4")]
    assert int(rows["se", "without"]["params"]) < int(rows["ratio", "4"]["params"]) < int(rows["ratio", "2"]["params"])
    first = read_trainings(trainings)
    assert len({training.seed for training in first}) == 2

    status, out, err = call("--study", "gated", "--tables", "se", "--seeds", "3", "--quiet")
    assert status == 0
    assert "Trainings 2 of 1 epoch; 4 are there already" in out
    assert err == ""
    assert read_trainings(trainings)[:6] == first
    assert {row["seeds"] for row in _tables(results).values()} == {"3"}

    lost = [dataclasses.replace(t, status=WORKER_DIED, val_accuracy=math.nan, val_loss=math.nan) for t in first[:1]]
    write_trainings(lost + first[1:], trainings)  # that is no verdict on the network
    status, out, _ = call("gated", "--tables", "se", "ratio", "--seeds", "2")
    assert status == 0
    assert "Trainings 1 of 1 epoch; 5 are there already" in out
    found = {(t.network, t.seed): (t.status, t.val_accuracy) for t in read_trainings(trainings)}
    assert found == {(t.network, t.seed): (t.status, t.val_accuracy) for t in first}

    assert call("gated", "--tables", "se", "--seeds", "2")[0] == 0
    assert _tables(results) == rows  # the other table stays

    trainings.unlink()  # the same seeds give the same scores
    assert call("gated", "--tables", "se", "--seeds", "2")[0] == 0
    again = {(t.network, t.seed): (t.val_accuracy, t.val_loss) for t in read_trainings(trainings)}
    assert again.items() <= {(t.network, t.seed): (t.val_accuracy, t.val_loss) for t in first}.items()


@pytest.mark.slow
def test_killed_ablation_goes_on(call, results):
    trainings = results / "gated" / "ablation-trainings.csv"
    trainings.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tuner.ablate", "gated", "--tables", "position", "--seeds", "2", "--workers", "0"]
    with subprocess.Popen([*command, "--results-dir", str(results)], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + DEADLINE_SECONDS
        while len(read_trainings(trainings)) < 2:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    killed = read_trainings(trainings)
    assert 2 <= len(killed) < 10
    status, out, _ = call("gated", "--tables", "position", "--seeds", "2")
    assert status == 0
    assert f"Trainings {10 - len(killed)} of 1 epoch; {len(killed)} are there already" in out
    assert len(read_trainings(trainings)) == 10
    assert [name for _, name in _tables(results)] == ["standard", "pre", "post", "identity", "inner"]


@pytest.mark.slow
def test_workers_give_the_same_scores(call, results):
    trainings = results / "gated" / "ablation-trainings.csv"
    scores = []
    for workers in ("0", "2"):
        trainings.unlink(missing_ok=True)
        arguments = ["gated", "--quick", "--seeds", "2", "--results-dir", str(results), "--workers", workers]
        assert ablate.main(arguments) == 0
        scores.append({(t.network, t.seed): t.val_loss for t in read_trainings(trainings)})
    assert scores[0] == scores[1]


def test_space_whose_file_has_moved_is_read_where_it_is_now(call, results):
    file = results / "gated.py"
    moved = file.rename(results / "moved.py")
    try:
        assert (
            call("gated", "--quick")[2]
            == f"Error: The search space {file} is no file; give the path of a Python file with declare(hp).\n"
        )
        status, out, _ = call("gated", "--quick", "--seeds", "1", "--space", str(moved))
        assert (status, out.count("Compares  2 networks with 1 seeds each")) == (0, 1)
        err = call("gated", "--quick", "--space", str(results / "bare.py"))[2]
        assert f"space {results}/bare.py has changed since the study gated was made: se_ratio is declared other" in err
    finally:
        moved.rename(file)


def test_study_without_gates_is_refused(call):
    status, _, err = call("bare")
    assert status == 1
    assert err.startswith("Error: No run of the study has squeeze-and-excitation")
    assert len(err.splitlines()) == 1


def test_unknown_study_is_refused_with_the_nearest(call):
    status, _, err = call("gatd")
    assert status == 2
    assert "There is no study 'gatd'" in err
    assert "Did you mean 'gated'?" in err


def test_broken_file_is_refused_before_anything_is_trained(call, results):
    path = results / "gated" / "ablation-trainings.csv"
    path.write_text("something else\n1\n")
    try:
        status, out, err = call("gated")
    finally:
        path.unlink()
    assert (status, out) == (1, "")
    assert "is not what an ablation wrote" in err


def test_folder_that_is_not_writable_shows_before_anything_is_trained(call, results, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != results / "gated")  # root may write everywhere
    status, out, err = call("gated")
    assert (status, out) == (1, "")
    assert f"in {results}/gated could not be written: {results}/gated cannot be written to; mend that." in err


def test_quick_and_tables_contradict_each_other(capsys):
    assert ablate.main(["--quick", "--tables", "ratio"]) == 2
    assert "--quick has the table se only" in capsys.readouterr().err
