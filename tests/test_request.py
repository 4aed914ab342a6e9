"""From flags to a configuration: defaults come from the space, a study keeps its settings."""

import argparse
import datetime

import pytest

from tuner.budget import Limits
from tuner.config import SearchConfig
from tuner.errors import SpaceError, StudyError, UsageError
from tuner.request import (
    add_running_flags,
    add_search_flags,
    limits_of,
    resolve,
    running_flags,
    staffing_of,
    study_name,
)
from tuner.staff import Staffing

STORED = SearchConfig(space="tiny", max_epochs=3, batch_size=32, trials=5, seed=4, image_size=(8, 9))


def _flags(line=""):
    parser = argparse.ArgumentParser()
    add_search_flags(parser)
    add_running_flags(parser)
    return parser.parse_args(line.split())


@pytest.fixture(autouse=True)
def fast_bfloat16(monkeypatch):
    """Says whether the machine is made for bfloat16: it is not, unless a test says so."""
    fast = [False]
    monkeypatch.setattr("tuner.request.has_fast_bfloat16", lambda: fast[0])
    return fast


def test_defaults_are_those_of_the_small_space():
    config = resolve(_flags(), None)
    assert config == SearchConfig(space="small", max_epochs=9, batch_size=64)
    assert (config.dataset, config.algorithm, config.objective, config.seed) == (
        "digits",
        "hyperband",
        "val_accuracy",
        0,
    )


@pytest.mark.parametrize(("space", "budget"), [("tiny", (3, 64)), ("medium", (27, 128)), ("imagenet", (90, 256))])
def test_budget_and_batch_come_from_the_space(space, budget):
    config = resolve(_flags(f"--space {space}"), None)
    assert (config.max_epochs, config.batch_size) == budget


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("--dataset folder:pets", "dataset", "folder:pets"),
        ("--algorithm random", "algorithm", "random"),
        ("--trials 7", "trials", 7),
        ("--max-epochs 2", "max_epochs", 2),
        ("--objective val_loss", "objective", "val_loss"),
        ("--seed 0", "seed", 0),
        ("--seed 12", "seed", 12),
        ("--batch-size 5", "batch_size", 5),
        ("--validation-fraction 0.5", "validation_fraction", 0.5),
        ("--image-size 32", "image_size", (32, 32)),
        ("--image-size 28x32", "image_size", (28, 32)),
        ("--images 500", "images", 500),
        ("--mixed-precision on", "mixed_precision", True),
        ("--mixed-precision off", "mixed_precision", False),
    ],
)
def test_flag_sets_its_field(line, field, value):
    assert getattr(resolve(_flags(line), None), field) == value


@pytest.mark.parametrize(
    "line",
    [
        "--trials 0",
        "--trials x",
        "--max-epochs 0",
        "--batch-size -1",
        "--seed -1",
        "--seed 1.5",
        "--image-size 0",
        "--image-size 8x0",
        "--image-size big",
        "--validation-fraction half",
        "--study ../elsewhere",
        "--study a/b",
        "--study .hidden",
        "--images 0",
        "--mixed-precision maybe",
        "--workers -1",
        "--workers some",
        "--gpus-per-trial 0",
        "--gpus-per-trial 2",
        "--worker-memory much",
        "--retries -1",
        "--time-limit soon",
        "--time-limit 0",
        "--trial-time-limit 1y",
        "--total-epochs 0",
        "--disk-budget 0",
    ],
)
def test_wrong_flag_exits_with_2(line, capsys):
    with pytest.raises(SystemExit) as end:
        _flags(line)
    assert end.value.code == 2
    assert line.split()[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "error"),
    [("--algorithm bayes", UsageError), ("--objective loss", UsageError), ("--space smal", SpaceError)],
)
def test_unknown_name_is_wrong_usage_with_a_suggestion(line, error):
    with pytest.raises(error, match=r"Did you mean"):
        resolve(_flags(line), None)


@pytest.mark.parametrize("line", ["", "--seed 4", "--space tiny --max-epochs 3 --image-size 8x9"])
def test_continued_study_keeps_its_settings(line):
    assert resolve(_flags(line), STORED) == STORED


@pytest.mark.parametrize("trials", [6, 500])
def test_continued_study_may_grow(trials):
    assert resolve(_flags(f"--trials {trials}"), STORED).trials == trials


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("--seed 0", "--seed is 4 in the study and 0 now"),
        ("--space small", "--space is tiny in the study and small now"),
        ("--dataset folder:x", "--dataset is digits in the study and folder:x now"),
        ("--algorithm random", "--algorithm is hyperband in the study and random now"),
        ("--max-epochs 4", "--max-epochs is 3 in the study and 4 now"),
        ("--objective val_loss", "--objective is val_accuracy in the study and val_loss now"),
        ("--batch-size 64", "--batch-size is 32 in the study and 64 now"),
        ("--validation-fraction 0.3", "--validation-fraction is 0.2 in the study and 0.3 now"),
        ("--image-size 8", "--image-size is [8, 9] in the study and [8, 8] now"),
        ("--images 9", "--images is None in the study and 9 now"),
        ("--mixed-precision on", "--mixed-precision is False in the study and True now"),
    ],
)
def test_changed_flag_is_spelled_out_with_the_way_out(line, phrase):
    with pytest.raises(StudyError) as refused:
        resolve(_flags(line), STORED)
    assert phrase in str(refused.value)
    assert "--study NAME" in str(refused.value)


def test_all_changed_flags_are_named_at_once():
    with pytest.raises(StudyError, match=r"--max-epochs.*--seed|--seed.*--max-epochs"):
        resolve(_flags("--seed 1 --max-epochs 4"), STORED)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("", "small-digits-hyperband-{today}"),
        ("--space tiny --algorithm random", "tiny-digits-random-{today}"),
        ("--space own/my_space.py --dataset folder:/data/my-pets/", "my_space-my-pets-hyperband-{today}"),
        ("--dataset tfds:emnist/balanced:3.1.0", "small-balanced-3.1.0-hyperband-{today}"),
        ("--study mine", "mine"),
    ],
)
def test_study_is_named_after_what_it_searches(line, name):
    assert study_name(_flags(line)) == name.format(today=datetime.date.today().isoformat())


@pytest.mark.parametrize(
    ("line", "mixed"), [("", True), ("--mixed-precision auto", True), ("--mixed-precision off", False)]
)
def test_new_study_uses_bfloat16_where_the_machine_is_made_for_it(line, mixed, fast_bfloat16):
    fast_bfloat16[0] = True
    assert resolve(_flags(line), None).mixed_precision is mixed


@pytest.mark.parametrize("stored", [False, True])
def test_continued_study_keeps_its_precision_on_another_machine(stored, fast_bfloat16):
    fast_bfloat16[0] = not stored
    config = SearchConfig(space="tiny", max_epochs=3, batch_size=32, mixed_precision=stored)
    assert resolve(_flags(), config).mixed_precision is stored


def test_without_flags_nothing_is_limited_and_workers_are_measured():
    assert limits_of(_flags()) == Limits()
    assert staffing_of(_flags()) == Staffing()
    assert not _flags().deterministic


def test_limits_are_those_of_the_flags():
    line = "--time-limit 1h30m --trial-time-limit 90 --total-epochs 50 --retries 0 --disk-budget 2G"
    assert limits_of(_flags(line)) == Limits(
        seconds=5400, total_epochs=50, trial_seconds=90, retries=0, disk_bytes=2 * 10**9
    )


@pytest.mark.parametrize(("text", "workers"), [("auto", None), ("0", 0), ("3", 3)])
def test_workers_are_a_number_or_measured(text, workers):
    assert staffing_of(_flags(f"--workers {text}")).workers == workers


def test_workers_are_those_of_the_flags():
    line = "--workers 2 --cluster tcp://a:8786 --gpus-per-trial 0.5 --worker-memory 3G"
    assert staffing_of(_flags(line)) == Staffing(
        workers=2, cluster="tcp://a:8786", gpus_per_trial=0.5, worker_memory=3 * 10**9
    )


def _running(line):
    parser = argparse.ArgumentParser()
    add_running_flags(parser)
    return parser.parse_args(line.split())


@pytest.mark.parametrize(
    ("given", "repeated"),
    [
        ("", ""),
        ("--workers auto --time-limit 30m --total-epochs 9", ""),
        ("--workers 0", "--workers 0"),
        ("--workers 2 --deterministic --retries 0", "--workers 2 --retries 0 --deterministic"),
        ("--disk-budget 2G --trial-time-limit 1m", "--trial-time-limit 60.0 --disk-budget 2000000000"),
    ],
)
def test_command_that_goes_on_repeats_how_the_search_runs(given, repeated):
    assert running_flags(_running(given)) == repeated.split()
    assert running_flags(_running(repeated)) == repeated.split()
