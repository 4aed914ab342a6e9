"""Before the first trial a person is told what was asked for and what will come of it, or why it cannot be."""

import argparse
import time

import pytest
from fakes import CONFIG, FakeWorker, Search

from tuner.crew import LocalCrew
from tuner.errors import StudyError
from tuner.messages import Session
from tuner.preparation import prepared_search
from tuner.request import Request

FLAGS = argparse.Namespace(
    workers=0,
    cluster=None,
    gpus_per_trial=None,
    worker_memory=None,
    threads=None,
    time_limit=None,
    trial_time_limit=None,
    retries=2,
    disk_budget=None,
)


@pytest.fixture
def prepare(tmp_path):
    """Prepares a search of the space `tiny`; returns what stands before the first trial, and what was told."""

    def prepare(told, *, study=None, time_limit=None):
        session = Session.of(CONFIG, None)
        request = Request(
            arguments=argparse.Namespace(**vars(FLAGS) | {"time_limit": time_limit}),
            config=CONFIG,
            session=session,
            space=session.load_space(),
            url="",
            folder=tmp_path / "mine",
            study=study,
            source=None,
            is_done=False,
        )
        crew = LocalCrew(FakeWorker())
        return prepared_search(request, crew, began=time.monotonic(), tell=lambda *lines: told.extend(lines))

    return prepare


def test_what_was_asked_for_is_told_before_what_was_measured(prepare):
    told = []
    prepared = prepare(told)
    heads = [line.split()[0] for line in told]
    assert heads == ["Space", "Data", "Contrast", "Search", "Study", "Workers", "Trials", "Rungs", "Time", "Disk"]
    assert told[4].endswith("mine (new)")
    assert told[5] == "Workers   1 in this process (0 images a second)"
    assert {entry["config"]["name"] for entry in prepared.declared} >= {"width", "se_ratio", "learning_rate"}
    assert (prepared.seen, prepared.plan.workers) == ([], 1)
    assert prepared.oracle.create_trial("tuner0").hyperparameters.values["width"] == 8  # the default comes first


def test_search_begins_with_short_trials_where_a_full_training_would_not_end_in_time(prepare):
    first = {limit: prepare([], time_limit=limit).plan.rungs[0].epochs for limit in (None, 3600.0, 2.0)}
    assert first == {None: 9, 3600.0: 9, 2.0: 1}


def test_study_of_another_space_is_refused_before_anything_is_told(prepare, tmp_path):
    told = []
    with pytest.raises(StudyError, match=r"space tiny has changed .*: \w+ is declared otherwise"):
        prepare(told, study=Search(tmp_path / "search").study())
    assert told == []
