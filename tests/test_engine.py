"""Searches with worker processes, from the command line: the same results however many there are."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from test_search import TINY, _rows, _run, _start, _stop_after

from tuner import search
from tuner.study import Study

# Four trials of half a second and more each, whose values follow from their numbers alone.
RANDOM = ["--space", "tiny", "--algorithm", "random", "--trials", "4", "--max-epochs", "12"]

SPACE = '''"""One block, for a test."""

import os
import pathlib

import keras

MAX_EPOCHS = 5
BATCH_SIZE = 64


def declare(hp):
    hp.Fixed("stages", 1)
    hp.Fixed("blocks_1", 1)
    hp.Choice("width", [4, 8])
    hp.Float("learning_rate", 0.05, 0.5, default=0.1)


'''

DEADLY = """class Kill(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if self.model.count_params() > 700:
            os.kill(os.getpid(), 9)


def callbacks():
    return [Kill()]
"""

STOPPING = """class Count(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        with pathlib.Path(__file__).with_suffix(".txt").open("a") as file:
            file.write(f"{os.getpid()} {batch}\\n")


def callbacks():
    return [keras.callbacks.EarlyStopping("val_accuracy", min_delta=1.0, patience=1), Count()]
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory, digits):
    """A folder for studies, with the digits prepared."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def alone(results):
    """The rows of a search with one worker."""
    status, _, err = _run(*RANDOM, "--workers", "1", "--study", "alone", "--results-dir", results)
    assert status == 0, err
    return _rows(results, "alone")


@pytest.fixture(scope="module")
def ordered(results):
    """What a search of two workers in a fixed order kept."""
    status, out, err = _run(*TINY, "--workers", "2", "--deterministic", "--study", "ordered", "--results-dir", results)
    assert status == 0, err
    assert "Stopped   the schedule is through; the fixed order cost " in out
    return _kept(results, "ordered")


def _kept(results, name):
    """Everything that a study keeps of its trials but times and places."""
    records = Study.open(f"sqlite:///{results / name / 'study.db'}", name).records()
    timeless = ("seconds", "worker", "wait_seconds")
    return [{key: value for key, value in vars(record).items() if key not in timeless} for record in records]


def _last(out):
    return out.splitlines()[-1]


def _grandchildren(pid):
    """The worker processes of a driver: they are forked from one that it started."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(fields[1])
    return [process for process, parent in parents.items() if parents.get(parent) == pid]


@pytest.mark.slow
class TestSameResults:
    """What is found does not depend on who trains it."""

    def test_two_workers_train_as_one_does(self, alone, results):
        status, out, err = _run(*RANDOM, "--workers", "2", "--study", "two", "--results-dir", results)
        assert status == 0, err
        assert "Workers   2 (" in out
        assert _rows(results, "two") == alone
        assert {record.worker for record in _records(results, "two")} == {"0", "1"}

    def test_this_process_trains_as_a_worker_does(self, alone, results):
        status, out, err = _run(*RANDOM, "--workers", "0", "--study", "here", "--results-dir", results)
        assert status == 0, err
        assert "Workers   1 in this process (" in out
        assert _rows(results, "here") == alone

    def test_killed_worker_changes_nothing(self, alone, results):
        process = _start(*RANDOM, "--workers", "2", "--study", "bereft", "--results-dir", results)
        lines, killed = [], []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("trial ") and not killed:
                time.sleep(0.2)  # into the next trial
                killed = _grandchildren(process.pid)
                os.kill(killed[0], signal.SIGKILL)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, "".join(lines)
        assert len(killed) == 2
        assert sum("died, the trial goes on from its last checkpoint (1. time)" in line for line in lines) == 1
        assert _last(out) == "Stopped   the 4 trials are made"
        assert _rows(results, "bereft") == alone

    def test_fixed_order_is_the_same_again(self, ordered, results):
        fixed = ["--workers", "2", "--deterministic", "--study", "again", "--quiet", "--results-dir", results]
        assert _run(*TINY, *fixed)[0] == 0
        assert _kept(results, "again") == ordered

    @pytest.mark.parametrize("trials", [1, 4])
    def test_fixed_order_is_the_same_after_a_kill(self, trials, ordered, results):
        fixed = ["--workers", "2", "--deterministic", "--study", f"killed{trials}", "--results-dir", results]
        assert _stop_after(trials, signal.SIGKILL, *TINY, *fixed)[0] == -signal.SIGKILL
        assert len([r for r in _kept(results, f"killed{trials}") if r["order"] is not None]) < 6
        status, _, err = _run(*fixed)
        assert status == 0, err
        assert _kept(results, f"killed{trials}") == ordered


def _records(results, name):
    return Study.open(f"sqlite:///{results / name / 'study.db'}", name).records()


@pytest.mark.slow
class TestBudgets:
    """A search that stops early says why, shows what it has, and can be finished."""

    @pytest.mark.parametrize(
        ("flags", "reason", "trials", "more", "end"),
        [
            (["--total-epochs", "6"], "the 6 epochs are spent", 4, ["--total-epochs", "11"], "the 11 epochs are spent"),
            (
                ["--time-limit", "1s"],
                "--time-limit is reached: the next trial, 1 epoch, would not end in time",
                0,
                [],
                "the schedule is through",
            ),
        ],
    )
    def test_limit_is_told_and_the_rest_can_follow(self, flags, reason, trials, more, end, results):
        study = [*TINY, "--workers", "2", "--study", f"limited{trials}", "--results-dir", results]
        status, out, err = _run(*study, *flags)
        assert status == 0, err
        assert _last(out) == f"Stopped   {reason}"
        kept = _kept(results, f"limited{trials}")
        assert [record["status"] for record in kept] == ["completed"] * trials
        assert sum(len(record["curve"]["epoch"]) for record in kept) <= 6
        status, out, err = _run(*study, *more)
        assert status == 0, err
        assert _last(out) == f"Stopped   {end}"
        assert [row["status"] for row in _rows(results, f"limited{trials}")] == ["completed"] * 5
        assert len(_kept(results, f"limited{trials}")) == 6
        assert (results / f"limited{trials}" / "checkpoints").exists() == bool(more)  # more epochs may follow

    def test_short_time_does_not_change_what_auto_began_with(self, results):
        study = ["--space", "tiny", "--algorithm", "auto", "--max-epochs", "3", "--workers", "0"]
        study += ["--study", "short", "--results-dir", results]
        for flags, reason in (
            (["--trials", "2"], "the 2 trials are made"),
            (["--trials", "3", "--time-limit", "1s"], "--time-limit is reached: "),
        ):
            status, out, err = _run(*study, *flags)
            assert status == 0, err
            assert _last(out).startswith(f"Stopped   {reason}")
        assert [record.epochs for record in _records(results, "short")] == [3, 1]

    def test_trial_that_takes_too_long_ends_and_the_search_goes_on(self, results):
        flags = ["--space", "tiny", "--algorithm", "random", "--trials", "3", "--max-epochs", "9999"]
        flags += ["--workers", "2", "--trial-time-limit", "1s", "--study", "slow", "--results-dir", results]
        status, out, err = _run(*flags)
        assert status == 0, err
        assert err.count("timed out: It took longer than --trial-time-limit.") == 3
        rows = _rows(results, "slow")
        assert [row["status"] for row in rows] == ["timed out"] * 3
        assert all(1.0 <= record.seconds < 10 for record in _records(results, "slow"))
        assert _last(out) == "Stopped   the 3 trials are made"

    @pytest.mark.parametrize("limit", [100_000, 300_000])
    def test_checkpoints_stay_within_their_budget(self, limit, results):
        """Where that is too little for what two workers write and continue, this comes on top."""
        flags = [
            "--space",
            "tiny",
            "--algorithm",
            "hyperband",
            "--max-epochs",
            "9",
            "--workers",
            "2",
            "--disk-budget",
            f"{limit // 1000}k",
        ]
        study = f"small{limit}"
        process = _start(*flags, "--study", study, "--results-dir", results)
        sizes, files = [0], [0]

        def watch():
            while process.poll() is None:
                now = [0]
                with contextlib.suppress(FileNotFoundError):  # the folder, too, may go meanwhile
                    for file in (results / study).glob("checkpoints/*/*.npz"):
                        with contextlib.suppress(FileNotFoundError):
                            now.append(file.stat().st_size)
                sizes.append(sum(now))
                files.append(max(now))
                time.sleep(0.01)

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, err = process.communicate(timeout=240)
        watcher.join()
        assert process.returncode == 0, err
        assert limit / 2 < max(sizes) <= limit + 2 * max(files)
        assert max(sizes) <= max(limit, 4 * max(files))
        assert {row["status"] for row in _rows(results, study)} == {"completed"}


@pytest.mark.slow
class TestCallbacks:
    """What a space brings along runs in the workers."""

    def _search(self, folder, callbacks, *flags):
        space = folder / "mine.py"
        space.write_text(SPACE + callbacks)
        study = ["--algorithm", "random", "--workers", "2", "--study", "mine", "--results-dir", folder]
        status, out, err = _run("--space", space, *study, *flags)
        assert status == 0, err
        return _rows(folder, "mine"), out, err

    def test_configuration_that_kills_its_worker_is_told_and_the_search_goes_on(self, tmp_path, digits):
        rows, out, err = self._search(tmp_path, DEADLY, "--trials", "5", "--retries", "0")
        ends = {row["hyperparameters"]["width"]: row["status"] for row in rows}
        assert ends == {4: "completed", 8: "worker died"}
        assert {row["status"] for row in rows if row["hyperparameters"]["width"] == 4} == {"completed"}
        assert "worker died: Its worker died at every attempt; --retries is 0." in err
        assert "worker died" in out
        assert _last(out) == "Stopped   the 5 trials are made"

    def test_early_stopping_and_batch_callbacks_work(self, tmp_path, digits):
        rows, _, _ = self._search(tmp_path, STOPPING, "--trials", "2")
        assert [(row["status"], row["epochs"]) for row in rows] == [("completed", 2)] * 2
        counted = [line.split() for line in (tmp_path / "mine.txt").read_text().splitlines()]
        assert len({process for process, _ in counted}) == 2
        steps = -(-1151 // 64)
        assert sorted(int(batch) for _, batch in counted) == sorted([*range(steps)] * 4)  # two trials of two epochs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--mixed-precision", "on"], "batch 64, bfloat16 feature maps"),
        (["--mixed-precision", "off"], "batch 64, float32"),
        (["--images", "300"], "240 training and 60 validation images of 8x8x1"),
    ],
)
def test_setting_reaches_the_workers(flags, told, results):
    name = flags[-1]
    one = ["--space", "tiny", "--algorithm", "random", "--trials", "2", "--max-epochs", "1", "--workers", "2"]
    status, out, err = _run(*one, *flags, "--study", name, "--results-dir", results)
    assert status == 0, err
    assert told in out
    assert [row["status"] for row in _rows(results, name)] == ["completed"] * 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--time-limit", "5x"], "argument --time-limit: '5x' is no time; write 90s, 30m, 1h30m or 2d"),
        (["--trial-time-limit", "0"], "argument --trial-time-limit: '0' is no time; write 90s, 30m, 1h30m or 2d"),
        (["--workers", "-1"], "argument --workers: '-1' is no whole number from 0"),
        (["--workers", "many"], "argument --workers: 'many' is no whole number from 0"),
        (
            ["--workers", "Auto"],
            "argument --workers: 'Auto' is no whole number from 0 to 1,000,000,000; write auto, or one",
        ),
        (
            ["--steps-per-execution", "17"],
            "argument --steps-per-execution: '17' is no number of steps from 1 to 16, after which the loss is checked; "
            "write auto, or one",
        ),
        (
            ["--gpus-per-trial", "1.5"],
            "argument --gpus-per-trial: '1.5' is no share; write a number above 0",
        ),
        (["--disk-budget", "much"], "argument --disk-budget: 'much' is no size; write 500M or 2G"),
        (
            ["--disk-budget", "1"],
            "argument --disk-budget: '1' is 1 byte, less than one checkpoint takes; write a unit, such as 500M or 2G",
        ),
        (["--total-epochs", "0"], "argument --total-epochs: '0' is no whole number from 1"),
    ],
)
def test_wrong_value_is_one_line_below_the_usage(flags, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        search.main([*flags, "--study", "mine", "--results-dir", str(tmp_path)])
    assert end.value.code == 2
    out, err = capsys.readouterr()
    usage, _, last = err.rpartition("python -m tuner.search: error: ")
    assert (out, usage[:6]) == ("", "usage:")
    assert last.startswith(message)
    assert last.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_share_of_a_gpu_that_is_not_there_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    flags = ["--space", "tiny", "--gpus-per-trial", "0.5", "--study", "mine", "--results-dir", str(tmp_path)]
    assert search.main(flags) == 2
    message = "Error: --gpus-per-trial is 0.5, but this machine has no GPU; leave it out.\n"
    assert capsys.readouterr().err == message
