"""The whole line on the real digits: searched, killed, continued, refused, selected and predicted."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tuner import checkpoint, command, leaderboard, search, staff
from tuner.ledger import Ledger
from tuner.locks import locked
from tuner.study import Study

ROOT = Path(__file__).parents[1]
ALONE = ["--workers", "0"]
TINY = ["--space", "tiny", "--algorithm", "hyperband", "--max-epochs", "3", *ALONE]
DEADLINE_SECONDS = 240

ONE_BLOCK = '''"""One block, for a test.

More.
"""

MAX_EPOCHS = 1
BATCH_SIZE = 256


def declare(hp):
    hp.Fixed("stages", 1)
    hp.Fixed("blocks_1", 1)
    hp.Fixed("width", 4)
    hp.Float("learning_rate", 0.05, 0.5, default=0.1)
'''


def _rows(results, study):
    """Everything about the runs of a study but the time that they took."""
    path = results / study / "leaderboard.json"
    with path.open("w") as file, contextlib.redirect_stdout(file):
        assert leaderboard.main([study, "--format", "json", "--results-dir", str(results)]) == 0
    rows = json.loads(path.read_text())
    assert all(row.pop("seconds") > 0 or row["status"] == "running" for row in rows)
    return rows


@pytest.mark.usefixtures("digits")
class TestInThisProcess:
    """One block, one epoch, two trials: seconds."""

    @pytest.fixture
    def call(self, tmp_path):
        space = tmp_path / "one_block.py"
        space.write_text(ONE_BLOCK)
        fixed = ["--space", str(space), "--algorithm", "random", "--study", "mine", "--results-dir", str(tmp_path)]
        fixed += ["--workers", "0"]

        def call(*arguments):
            return search.main([*fixed, *arguments])

        return call

    def test_search_keeps_ranks_and_goes_on(self, call, tmp_path, capsys):
        assert call("--trials", "2", "--seed", "5") == 0
        out, err = capsys.readouterr()
        assert "Space     " in out
        assert ": One block, for a test." in out
        assert "1,151 training and 287 validation images of 8x8x1, 10 classes" in out
        assert "objective val_accuracy, seed 5, batch 256" in out
        assert "2 trials of 2 configurations, 2 epochs in all" in out
        assert "Next      python -m tuner.select mine --results-dir " in out
        assert [line.split("  ")[0] for line in err.splitlines() if line.startswith("trial")] == [
            "trial 1/2",
            "trial 2/2",
        ]
        rows = _rows(tmp_path, "mine")
        assert [row["status"] for row in rows] == ["completed"] * 2
        assert {row["hyperparameters"]["learning_rate"] for row in rows} > {0.1}  # the default, and another
        files = {path.name for path in (tmp_path / "mine").iterdir()}
        assert files >= {"study.db", "leaderboard.csv", "leaderboard.md"}
        assert not list((tmp_path / "mine").glob("checkpoints/*"))

        assert call("--trials", "2") == 0
        assert "The study mine is finished" in capsys.readouterr().out
        assert _rows(tmp_path, "mine") == rows

        assert call("--seed", "0") == 2
        assert capsys.readouterr().err.startswith("Error: The study was started with other settings: --seed is 5 in ")

        assert call("--trials", "3", "--quiet") == 0
        assert capsys.readouterr().err == ""
        more = _rows(tmp_path, "mine")
        assert len(more) == 3
        assert [row for row in more if row["run"] < 2] == sorted(
            [{**row, "rank": next(m["rank"] for m in more if m["run"] == row["run"])} for row in rows],
            key=lambda row: row["rank"],
        )

    def test_dry_run_prints_the_plan_and_makes_no_study(self, call, tmp_path, capsys):
        assert call("--trials", "4", "--dry-run") == 0
        out, err = capsys.readouterr()
        assert "4 trials of 4 configurations, 4 epochs in all" in out
        assert "on this machine (measured with the default configuration" in out
        assert err == ""
        assert not (tmp_path / "mine").exists()

    def test_budget_that_is_reached_is_named_and_a_later_search_goes_on(self, call, tmp_path, capsys):
        assert call("--trials", "3", "--total-epochs", "2") == 0
        out, _ = capsys.readouterr()
        assert out.splitlines()[-1] == "Stopped   the 2 epochs are spent"
        rows = _rows(tmp_path, "mine")
        assert len(rows) == 2
        assert call("--trials", "3") == 0
        assert "The study mine is finished: its 2 trials are all that it asked for. More: " in capsys.readouterr().out
        assert call("--total-epochs", "9") == 0
        out, err = capsys.readouterr()
        assert out.splitlines()[-1] == "Stopped   the 3 trials are made"
        assert "continuing: 2 trials are in the study" in err
        assert len(_rows(tmp_path, "mine")) == 3

    def test_what_a_long_study_holds_takes_no_time_in_silence(self, call, monkeypatch, capsys):
        assert call("--trials", "1", "--quiet") == 0
        replay, told_after = Ledger.replay, command.told_after

        def slow(ledger):
            time.sleep(0.0 if ledger.held else 0.3)
            replay(ledger)

        monkeypatch.setattr(Ledger, "replay", slow)
        monkeypatch.setattr(command, "told_after", lambda line: told_after(line, seconds=0.1))
        assert call("--trials", "2", "--quiet") == 0
        assert "Waiting   until the algorithm has heard all trials that the study holds\n" in capsys.readouterr().err

    def test_plan_says_who_trains_in_which_precision_and_what_it_takes(self, call, capsys):
        assert call("--trials", "1", "--mixed-precision", "on", "--dry-run") == 0
        out, _ = capsys.readouterr()
        assert re.search(r"^Search .*, bfloat16 feature maps$", out, re.MULTILINE)
        assert re.search(r"^Workers   1 in this process \([\d,]+ images a second\)$", out, re.MULTILINE)
        assert re.search(r"^Disk      checkpoints take \d+ [kM]B at most", out, re.MULTILINE)

    def test_fixed_order_says_what_it_cost(self, call, capsys):
        assert call("--trials", "1", "--deterministic") == 0
        last = capsys.readouterr().out.splitlines()[-1]
        assert last == "Stopped   the 1 trial is made; the fixed order cost 0.0 s of the workers' time"

    def test_states_that_a_search_killed_at_its_end_has_left_go_with_the_next(self, call, tmp_path):
        assert call("--trials", "1") == 0
        left = tmp_path / "mine" / "checkpoints" / "0.npz"
        left.parent.mkdir(exist_ok=True)
        left.touch()
        assert call("--trials", "1") == 0
        assert not left.parent.exists()

    @pytest.mark.parametrize("is_full", [False, True])
    def test_no_state_comes_after_the_end_of_a_search_where_the_disk_is_slow_or_full(
        self, is_full, call, tmp_path, monkeypatch
    ):
        save, waits = checkpoint.save_state, threading.Event()

        def save_late(path, state):
            waits.wait(0.5)
            if is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            save(path, state)

        monkeypatch.setattr(checkpoint, "save_state", save_late)
        assert call("--trials", "1", "--algorithm", "asha", "--max-epochs", "3") == 0
        waits.wait(1.0)  # for one that would come
        assert not (tmp_path / "mine" / "checkpoints").exists()

    def test_states_of_an_earlier_study_of_the_name_are_no_part_of_a_new_one(self, call, tmp_path):
        left = tmp_path / "mine" / "checkpoints" / "0.npz"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"of another batch size")
        assert call("--trials", "1", "--total-epochs", "1") == 0
        assert not left.exists()

    def test_states_on_a_disk_that_only_a_worker_sees_are_no_part_of_a_new_study(self, call, tmp_path, monkeypatch):
        """Until then their scores were told: 0.8885 where the new batch size gives 0.2822."""
        begun = ("--algorithm", "asha", "--max-epochs", "3", "--total-epochs", "1")
        assert call(*begun, "--batch-size", "256", "--study", "other") == 0
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            assert call(*begun, "--batch-size", "16") == 0
            before = _rows(tmp_path, "mine")
            assert list((tmp_path / "mine" / "checkpoints").rglob("trial00000.npz"))
            for file in (tmp_path / "mine").iterdir():
                if file.is_file():
                    file.unlink()
            assert call(*begun, "--batch-size", "256") == 0
        assert _rows(tmp_path, "mine") == _rows(tmp_path, "other") != before

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("return 3", r"callbacks() returns 3; allowed is a list of objects of keras.callbacks.Callback."),
            ("return missing", "fails: NameError: name 'missing' is not defined."),
        ],
    )
    def test_mistake_in_callbacks_leaves_no_study(self, body, message, call, tmp_path, capsys):
        with (tmp_path / "one_block.py").open("a") as file:
            file.write(f"\n\ndef callbacks():\n    {body}\n")
        assert call("--trials", "2") == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "mine").exists()

    def test_total_that_was_passed_is_refused(self, call, capsys):
        assert call("--total-epochs", "2", "--quiet") == 0
        capsys.readouterr()
        assert call("--total-epochs", "1") == 2
        assert "--total-epochs is 1, but the study mine has 2 epochs already" in capsys.readouterr().err

    def test_queue_is_tried_after_the_default_and_kept(self, call, tmp_path, capsys):
        queue = tmp_path / "queue.json"
        queue.write_text('[{"learning_rate": 0.3}]')
        assert call("--trials", "1", "--enqueue", str(queue), "--quiet") == 0
        assert "Enqueued  1 configuration, to be tried after the default one" in capsys.readouterr().out
        queue.write_text('[{"learning_rate": 0.3}, {}, {"learning_rate": 0.30}]')
        assert call("--study", "more", "--dry-run", "--enqueue", str(queue)) == 0
        told = "Enqueued  1 configuration, to be tried after the default one (3 are given; the others are the same, or"
        assert told in capsys.readouterr().out
        queue.unlink()
        assert call("--trials", "2", "--quiet") == 0
        rates = {row["run"]: row["hyperparameters"]["learning_rate"] for row in _rows(tmp_path, "mine")}
        assert rates == {0: 0.1, 1: 0.3}

    @pytest.mark.parametrize(
        ("queue", "message"),
        [
            ('[{"learning_rat": 0.3}]', "Did you mean 'learning_rate'?"),
            ('[{"learning_rate": 3}]', "allowed is a number from 0.05 to 0.5"),
        ],
    )
    def test_queue_of_another_space_is_one_line_before_anything_is_trained(
        self, queue, message, call, tmp_path, capsys
    ):
        (tmp_path / "queue.json").write_text(queue)
        assert call("--enqueue", str(tmp_path / "queue.json")) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert message in err
        assert not (tmp_path / "mine").exists()

    def test_limit_is_told_and_kept(self, call, capsys):
        # The space has one network.
        assert call("--trials", "1", "--max-params", "1k", "--quiet") == 0
        assert "Feasible  1 of 1 networks (100.0%) keep --max-params 1k\n" in capsys.readouterr().out
        assert call("--trials", "2", "--max-params", "2k") == 2
        assert "--max-params is 1000 in the study and 2000 now" in capsys.readouterr().err

    def test_limit_that_nothing_keeps_is_one_line_before_anything_is_trained(self, call, tmp_path, capsys):
        assert call("--max-params", "100") == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert re.search(r"--max-params 100 admits no network of the space: the smallest of all 1 has \d+ params", err)
        assert not (tmp_path / "mine").exists()

    def test_runs_of_another_study_are_known_and_kept(self, call, tmp_path, capsys):
        assert call("--trials", "2", "--quiet") == 0
        warm = ["--study", "warm", "--algorithm", "asha", "--quiet"]
        assert call(*warm, "--warm-start", "mine", "--trials", "1") == 0
        assert "Knows     2 trials of the study mine" in capsys.readouterr().out
        shutil.rmtree(tmp_path / "mine")
        assert call(*warm, "--trials", "2") == 0
        assert "Knows     2 trials of the study mine" in capsys.readouterr().out

    def test_second_search_of_a_study_is_kept_away(self, call, tmp_path, capsys):
        with locked(tmp_path / "mine"):
            assert call("--trials", "1") == 1
        assert capsys.readouterr().err.startswith("Error: Another search is writing to ")
        assert not (tmp_path / "mine" / "study.db").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--space", "smal"], 2, "Did you mean 'small'?"),
        (["--space", "absent.py"], 2, "absent.py is no file"),
        (["--algorithm", "bayes"], 2, "Did you mean 'bayesian'?"),
        (["--algorithm", "random", "--eta", "3"], 2, "--eta has no effect on --algorithm random"),
        (["--algorithm", "bayesian", "--warm-start", "mine"], 2, "--warm-start has no effect on --algorithm bayesian"),
        (["--algorithm", "asha", "--warm-start", "earlier"], 2, "There is no study 'earlier' in "),
        (["--enqueue", "absent.json"], 2, "--enqueue cannot read absent.json: No such file or directory."),
        (["--dataset", "digit"], 2, "The data set is 'digit'"),
        (["--enqueue", ""], 2, "--enqueue cannot read '': "),
        (["--objective", "val_loss", "--space", "medium"], 2, "label_smoothing"),
        (["--storage", "nonsense://user:secret@host/db"], 2, "cannot be opened"),
        (["--storage", "text"], 2, "The storage text cannot be opened"),
    ],
)
def test_what_cannot_be_searched_is_one_line(arguments, status, message, tmp_path, capsys):
    assert search.main([*arguments, *ALONE, "--study", "mine", "--results-dir", str(tmp_path)]) == status
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("Error: ")
    assert message in err
    assert "secret" not in err
    assert list(tmp_path.iterdir()) == []


def test_mistake_in_a_folder_shows_before_there_are_workers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(staff, "open_crew", None)
    (tmp_path / "photos" / "train" / "cat").mkdir(parents=True)
    for folder, message in ("absent", "is not a folder"), ("photos", "cat has no images (.png, .jpg, .jpeg)"):
        assert search.main(["--dataset", f"folder:{tmp_path / folder}", *ALONE, "--results-dir", str(tmp_path)]) == 2
        assert message in capsys.readouterr().err


def test_images_that_nobody_is_going_to_see_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(staff, "open_crew", None)  # not callable: the search ends there
    for name in ("cat/0.png", "cat/more/1.png", "dog/0.png", "dog/1.webp"):
        path = tmp_path / "photos" / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    search.main(["--dataset", f"folder:{tmp_path / 'photos'}", *ALONE, "--results-dir", str(tmp_path)])
    out = capsys.readouterr().out
    assert f"Left out  1 beside the images, such as {path}; only .png, .jpg and .jpeg files are read\n" in out
    more = path.parents[1] / "cat" / "more"
    assert f"Left out  1 image in folders within those of classes, such as {more}; only images directly in" in out


@pytest.mark.parametrize("folder", ["val", "validation"])
def test_classes_without_validation_images_are_named(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(staff, "open_crew", None)
    for name in ("train/cat/0.png", "train/cow/0.png", "train/dog/0.png", f"{folder}/cat/0.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True)
        path.touch()
    search.main(["--dataset", f"folder:{tmp_path / 'photos'}", *ALONE, "--results-dir", str(tmp_path)])
    told = "Missing   validation images of 2 of 3 classes, such as cow; no score sees how well they are told apart\n"
    assert told in capsys.readouterr().out
    for name in ("cow", "dog"):
        (tmp_path / "photos" / folder / name).mkdir()
        (tmp_path / "photos" / folder / name / "0.png").touch()
    search.main(["--dataset", f"folder:{tmp_path / 'photos'}", *ALONE, "--results-dir", str(tmp_path)])
    assert "Missing" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("--space tiny --study mine", "--study mine --space tiny"),
        ("--stud=mine --res R --trials 3 --time-limit 9s", "--study mine --results-dir R --trials 3 --time-limit 9s"),
        (
            "--storage postgresql://me:secret@host/db --objective val_accuracy --objective -params --study mine",
            "--study mine --storage 'postgresql://me:***@host/db' --objective val_accuracy --objective=-params",
        ),
        ("--study mine", "--study mine"),
    ],
)
def test_interrupt_before_there_is_a_study_names_all_that_was_asked(given, hint, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "search", interrupted)
    assert search.main(given.split()) == 130
    assert capsys.readouterr() == ("", f"Interrupted. To go on: python -m tuner.search {hint}\n")


def _start(*arguments, module="tuner.search"):
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


def _run(*arguments, module="tuner.search"):
    """Runs a command to its end; returns its status and what it wrote."""
    process = _start(*arguments, module=module)
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode, out, err


def _stop_after(trials, sign, *arguments):
    """Starts a search and sends it a signal once some trials have ended."""
    process = _start(*arguments)
    timer = threading.Timer(DEADLINE_SECONDS, process.kill)
    timer.start()
    seen, lines = 0, []
    for line in process.stderr:
        lines.append(line)
        seen += line.startswith("trial ")
        if seen == trials:
            time.sleep(0.05)  # into the next trial
            process.send_signal(sign)
            break
    out, rest = process.communicate(timeout=DEADLINE_SECONDS)
    timer.cancel()
    assert seen == trials, "".join(lines) + rest
    return process.returncode, out, "".join(lines) + rest


@pytest.fixture(scope="module")
def results(tmp_path_factory, digits):
    """A folder for studies, with the digits prepared."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def through(results):
    """The rows of a search that ran through."""
    status, out, err = _run(*TINY, "--study", "through", "--results-dir", results)
    assert status == 0, err
    assert "6 trials of 5 configurations, 11 epochs in all" in out
    return _rows(results, "through")


@pytest.mark.slow
class TestWholeLine:
    """Three epochs of the tiny space: 6 trials, in processes of their own."""

    def test_search_ranks_what_it_trained(self, through):
        assert len(through) == 5
        assert sorted(row["epochs"] for row in through) == [1, 1, 3, 3, 3]
        assert {row["status"] for row in through} == {"completed"}
        # Chance is 0.1; the worst default-like run of 3 epochs seen was 0.60 (2 cores, TensorFlow 2.21, n = 5).
        assert through[0]["score"] > 0.4

    def test_search_without_the_time_for_a_trial_has_nothing_to_select(self, results):
        status, out, err = _run(*TINY, "--study", "short", "--time-limit", "1s", "--results-dir", results)
        assert (status, err) == (0, "")
        assert out.splitlines()[-2].startswith("Nothing   was trained yet")
        assert out.splitlines()[-1].startswith("Stopped   ")
        assert "Next" not in out

    def test_same_seed_gives_the_same_trials_and_scores(self, through, results):
        assert _run(*TINY, "--study", "again", "--seed", "0", "--quiet", "--results-dir", results)[0] == 0
        assert _rows(results, "again") == through

    def test_other_seed_gives_others(self, through, results):
        assert _run(*TINY, "--study", "other", "--seed", "1", "--quiet", "--results-dir", results)[0] == 0
        assert _rows(results, "other") != through

    @pytest.mark.parametrize("trials", [2, 4])
    def test_killed_search_ends_with_the_same_trials_and_scores(self, trials, through, results):
        arguments = ["--study", f"killed{trials}", "--results-dir", results]
        status, _, _ = _stop_after(trials, signal.SIGKILL, *TINY, *arguments)
        assert status == -signal.SIGKILL
        held = Study.open(f"sqlite:///{results / f'killed{trials}' / 'study.db'}", f"killed{trials}").records()
        assert sum(record.order is not None for record in held) < 6
        status, _, err = _run(*arguments, *ALONE)
        assert status == 0, err
        assert _rows(results, f"killed{trials}") == through

    @pytest.mark.parametrize(("sign", "ends"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_interrupted_search_says_how_to_go_on(self, sign, ends, through, results):
        study = f"stopped{ends}"
        status, _, err = _stop_after(1, sign, *TINY, "--study", study, "--results-dir", results)
        assert status == ends
        last = err.splitlines()[-1]
        flags = f"--study {study} --results-dir {results} {' '.join(ALONE)}"
        assert last == f"Interrupted. To go on: python -m tuner.search {flags}"
        assert "Traceback" not in err
        resume = last.partition("python -m tuner.search ")[2].split()
        assert _run(*resume)[0] == 0
        assert _rows(results, study) == through

    def test_finished_study_says_so_at_once(self, through, results):
        status, out, err = _run("--study", "through", "--results-dir", results)
        assert (status, err) == (0, "")
        assert out.startswith("The study through is finished: its")
        assert "Next      python -m tuner.select through --results-dir " in out

    def test_changed_setting_is_refused(self, through, results):
        status, out, err = _run("--study", "through", "--max-epochs", "9", "--results-dir", results)
        assert (status, out) == (2, "")
        assert err.startswith(
            "Error: The study was started with other settings: --max-epochs is 3 in the study and 9 now"
        )
        assert err.count("\n") == 1
        assert _rows(results, "through") == through

    def test_dry_run_makes_no_study(self, results):
        status, out, err = _run(*TINY, "--study", "dry", "--dry-run", "--results-dir", results)
        assert (status, err) == (0, "")
        assert "9 trials" not in out
        assert "Rungs     1 x 0->3, 3 x 0->1, 1 x 1->3, 1 x 0->3" in out
        assert not (results / "dry").exists()

    def test_winner_becomes_a_model_that_names_digits(self, through, results, tmp_path):
        status, out, err = _run("through", "--quiet", "--results-dir", results, module="tuner.select")
        assert status == 0, err
        assert "on 359 images" in out
        model = results / "through" / "model"
        assert {path.name for path in model.iterdir()} == {
            "model.keras",
            "saved_model",
            "labels.json",
            "card.json",
            "card.md",
        }
        files = _write_test_images(tmp_path)
        status, out, err = _run(model, *files, "--format", "json", "--top", "1", module="tuner.predict")
        assert (status, err) == (0, "")
        names = [image["classes"][0]["class"] for image in json.loads(out)]
        hits = sum(Path(file).stem[-1] == name for file, name in zip(files, names, strict=True))
        assert hits >= len(files) / 2  # chance: 2 of 20


def _write_test_images(folder):
    """Writes 20 test images whose names end in their digit."""
    import tensorflow as tf

    from tuner.data import DataSpec, load_test

    test = load_test(DataSpec("digits"))
    files = []
    for number, (image, label) in enumerate(zip(test.images[:20], test.labels[:20], strict=True)):
        files.append(folder / f"{number:02d}-{label}.png")
        files[-1].write_bytes(tf.io.encode_png(np.asarray(image)).numpy())
    return files


def test_name_of_a_search_is_that_of_the_day_on_which_it_began(tmp_path, monkeypatch):
    """Until then one that was interrupted after midnight named another study to go on with."""
    days = iter(["one", "two", "three"])
    monkeypatch.setattr(search, "study_name", lambda arguments: arguments.study or next(days))
    monkeypatch.setattr(staff, "open_crew", None)  # not callable: the search ends there
    arguments = search._parser().parse_args([*ALONE, "--results-dir", str(tmp_path)])
    with pytest.raises(TypeError):
        search.search(arguments)
    assert arguments.study == "one"


def test_interrupted_search_resumes_with_its_folders(tmp_path, monkeypatch, capsys):
    def interrupt(_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "search", interrupt)
    flags = ["--study", "s", "--data-dir", str(tmp_path), "--storage", "postgresql://user:secret@host/db"]
    assert search.main(flags) == 130
    told = capsys.readouterr().err
    assert f"--data-dir {tmp_path}" in told
    assert "user:***@host" in told
