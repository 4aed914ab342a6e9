"""What a search says at its end is what the study holds, and commands that work."""

import dataclasses

import keras_tuner
import pytest
from samples import a_record

from tuner import search
from tuner.config import SearchConfig
from tuner.outcome import LeaderboardFiles, finished_line, result_lines, run_lines
from tuner.records import COMPLETED, RUNNING, runs_of
from tuner.storage import storage_url
from tuner.study import Study

BEGUN = a_record(hyperparameters={"width": 8}, epochs=3, status=RUNNING, seed=1, params=123, macs=456)


@pytest.fixture
def study(tmp_path):
    config = SearchConfig(space="tiny", max_epochs=3, batch_size=64)
    hp = keras_tuner.HyperParameters()
    hp.Choice("width", [4, 8])
    url = storage_url(tmp_path, "mine", None)
    (tmp_path / "mine").mkdir()
    return Study.create(url, "mine", config=config, space=hp.get_config()["space"], versions={})


def _end(study, *, after, trial=0):
    begun = dataclasses.replace(BEGUN, trial=trial)
    study.begin(begun, proposal={"width": 8, "tuner/epochs": 3})
    scores = {"epoch": [*range(1, after + 1)], "val_accuracy": [0.5] * after}
    ended = {"status": COMPLETED, "score": 0.5, "best_score": 0.5, "best_epoch": 1, "order": trial}
    study.finish(dataclasses.replace(begun, curve=scores, **ended))


@pytest.mark.parametrize(("trials", "written"), [(1, 1), (199, 199), (1000, 382)])
def test_files_of_many_trials_are_not_written_after_each(trials, written, study, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("tuner.outcome.leaderboard.rows_of", lambda held, *_, **__: held)
    monkeypatch.setattr("tuner.outcome.leaderboard.write_files", lambda rows, folder: seen.append(len(rows)))
    files = LeaderboardFiles(study, tmp_path)
    ended = dataclasses.replace(BEGUN, status=COMPLETED, score=0.5, curve={"epoch": [1, 2, 3]})
    held = []
    for trial in range(trials):
        held.append(dataclasses.replace(ended, trial=trial, order=trial))
        files.trial_ended(held)
    assert seen[-1] > 0.99 * trials - 1
    files.finish(held)
    assert seen[-1] == trials
    assert seen == sorted(set(seen))
    assert len(seen) == written


def test_files_of_a_search_on_another_machine_are_not_named(study, tmp_path):
    _end(study, after=3)
    arguments = search._parser().parse_args(["--results-dir", str(tmp_path)])
    assert not any(line.startswith("Files") for line in result_lines(study, arguments))
    (tmp_path / "mine" / "leaderboard.csv").touch()
    assert f"Files     {tmp_path}/mine/leaderboard.csv" in result_lines(study, arguments)


def test_files_stay_as_they_are_where_no_trial_has_ended(study, tmp_path):
    files = LeaderboardFiles(study, tmp_path)
    files.finish([BEGUN])
    assert not list(tmp_path.glob("leaderboard.*"))
    files.trial_ended([dataclasses.replace(BEGUN, status=COMPLETED, score=0.5, order=0)])
    assert {path.name for path in tmp_path.glob("leaderboard.*")} == {
        "leaderboard.csv",
        "leaderboard.json",
        "leaderboard.md",
    }


def _lines(study, tmp_path, *flags):
    arguments = search._parser().parse_args(["--results-dir", str(tmp_path), *flags])
    return dict(line.split(None, 1) for line in result_lines(study, arguments) if line)


def test_command_for_select_finds_study_and_data(study, tmp_path):
    _end(study, after=3)
    found = _lines(study, tmp_path, "--data-dir", "/my data", "--storage", "sqlite:///s.db")
    assert found["Next"] == (
        f"python -m tuner.select mine --results-dir {tmp_path} --storage sqlite:///s.db --data-dir '/my data'"
    )
    assert "--data-dir" not in _lines(study, tmp_path)["Next"]


def test_epochs_of_trials_that_end_early_are_told(study, tmp_path):
    _end(study, after=3)
    assert "Trained" not in _lines(study, tmp_path)
    _end(study, after=1, trial=1)
    assert _lines(study, tmp_path)["Trained"] == "4 epochs, not 6: a trial that ends early counts in full"
    study.config = dataclasses.replace(study.config, trials=9)  # which epochs do not end
    assert "Trained" not in _lines(study, tmp_path)


def test_without_a_result_there_is_nothing_to_select(study, tmp_path):
    assert _lines(study, tmp_path)["Nothing"] == "was trained yet: there is nothing to rank, nor to select."


def test_only_a_flag_that_helps_is_named_where_a_study_is_finished(study):
    _end(study, after=3)
    assert "a larger --total-epochs N or --trials N, or another" in finished_line(study)
    study.config = dataclasses.replace(study.config, total_epochs=3)
    assert "all that it asked for. More: a larger --total-epochs N, or another --study" in finished_line(study)
    study.config = dataclasses.replace(study.config, trials=1)
    assert "all that it asked for. More: a larger --trials N, or another --study" in finished_line(study)


def test_run_is_told_with_its_score_and_its_values(study):
    (run,) = runs_of([a_record(hyperparameters={"width": 8, "learning_rate": 0.123456}, epochs=3, score=0.5)])
    assert run_lines("Winner    run 0", study, run) == [
        "Winner    run 0: val_accuracy 0.5000 after 3 epochs",
        "          width 8, learning_rate 0.1235",
    ]
