"""Selecting: what stands in the way shows before anything is trained, and a training that diverges is begun again."""

import dataclasses
import json
import subprocess
import sys
import types

import numpy as np
import PIL.Image
import pytest
from samples import a_record

from tuner import figures, search, select
from tuner.config import SearchConfig
from tuner.errors import DivergedError
from tuner.exporter import ExportReport
from tuner.records import COMPLETED, DIVERGED, RUNNING, runs_of
from tuner.storage import storage_url
from tuner.study import Study

RECORD = a_record(hyperparameters={"width": 8}, epochs=3, seed=5, params=10, macs=100, score=0.5, order=0)
SPACE = [{"class_name": "Choice", "config": {"name": "width", "values": [8, 16], "default": 8, "conditions": []}}]


@pytest.fixture
def results(tmp_path):
    """A folder with a study of one completed run and one that diverged."""
    (tmp_path / "mine").mkdir()
    config = SearchConfig(space="tiny", max_epochs=3, batch_size=64)
    url = storage_url(tmp_path, "mine", None)
    study = Study.create(url, "mine", config=config, space=SPACE, versions={})
    for number, (status, score) in enumerate([(COMPLETED, 0.5), (DIVERGED, 0.0)]):
        study.begin(dataclasses.replace(RECORD, trial=number, status=RUNNING), proposal={})
        study.finish(dataclasses.replace(RECORD, trial=number, status=status, score=score, order=number))
    study.close()
    return tmp_path


@pytest.fixture
def no_training(monkeypatch):
    """Lets no worker be made."""
    from tuner import worker

    def make(*arguments):
        raise AssertionError("nothing may be trained")

    monkeypatch.setattr(worker, "Worker", make)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("flags", "file", "message"),
    [
        ([], "model/notes.txt", "model holds something else than an export, notes.txt; move it away."),
        (["--rule", "knee"], "model", "model holds something else than an export, model; move it away."),
        (["--rule", "pareto"], "front/run-0/mine", "run-0 holds something else than an export, mine; move it away."),
        (["--rule", "pareto"], "front", "front is no folder; mend that."),
        (["--run", "0"], "model/notes.txt", "model holds something else than an export, notes.txt; move it away."),
        (["--run", "1"], "other", "--run is 1, which is diverged; only a completed run can be trained."),
        (["--run", "2"], "other", "--run is 2, but the study has no such run; the leaderboard has their numbers."),
    ],
)
def test_what_stands_in_the_way_shows_before_anything_is_trained(flags, file, message, results, capsys):
    path = results / "mine" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    status = 2 if "--run is" in message else 1
    assert select.main(["mine", "--results-dir", str(results), *flags]) == status
    err = capsys.readouterr().err
    assert err.startswith("Error: ")
    assert err.endswith(f"{message}\n")
    assert path.exists()


def test_wrong_name_does_not_wait_for_tensorflow(tmp_path):
    code = f"import sys\nfrom tuner import select\nstatus = select.main(['mine', '--results-dir', {str(tmp_path)!r}])\n"
    code += "print(status, 'tensorflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, stderr=subprocess.DEVNULL) == "2 False\n"


def test_run_and_rule_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as ended:
        select.main(["--run", "1", "--rule", "knee"])
    assert ended.value.code == 2
    assert "--rule: not allowed with argument --run" in capsys.readouterr().err


class Diverging:
    """A worker whose first trainings diverge."""

    def __init__(self, times):
        self.seeds = []
        self._times = times

    def retrain(self, hyperparameters, *, epochs, seed, report):
        self.seeds.append(seed)
        if len(self.seeds) <= self._times:
            raise DivergedError("The loss is not finite in epoch 2.")
        return types.SimpleNamespace(seed=seed, epoch=epochs)


@pytest.mark.parametrize("times", [0, 1, 2])
def test_training_that_diverges_is_begun_again_with_another_seed(times, capsys):
    (run,), worker = runs_of([RECORD]), Diverging(times)
    network = select._trained(run, worker, quiet=True)
    assert len(set(worker.seeds)) == times + 1
    assert worker.seeds[0] == RECORD.seed
    assert network.seed == worker.seeds[-1]
    assert capsys.readouterr().out.count("Diverged  training") == times


def test_run_that_diverges_again_and_again_is_given_up():
    (run,) = runs_of([RECORD])
    with pytest.raises(DivergedError, match="Run 0 diverged in 3 trainings on the training and the validation images"):
        select._trained(run, Diverging(99), quiet=True)


def test_exports_of_an_older_front_are_named(tmp_path, capsys):
    for name in ("run-0", "run-3", "run-12", "else"):
        (tmp_path / name).mkdir()
    select._print_older(tmp_path, [tmp_path / "run-3"])
    assert capsys.readouterr().out == f"Older     run-0, run-12 in {tmp_path} are no longer of the front\n"
    select._print_older(tmp_path, [tmp_path / name for name in ("run-0", "run-3", "run-12")])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--rule knee --cost macs",
        "--run 3 --dataset folder:p --space s.py --data-dir /d --results-dir out --storage sqlite:///s.db",
    ],
)
def test_command_of_the_card_has_all_that_it_needs(flags):
    assert select._flags(select._parser().parse_args(flags.split())) == flags.split()


def test_weak_classes_follow_the_test_figure(tmp_path, capsys):
    found = figures.test_figures([[0.9, 0.1, 0.0]] * 4, [0, 0, 0, 1], classes=3)
    select._print_outcome(found, ExportReport(tmp_path, {}), "val_accuracy", labels=["many", "few", "none"])
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("Test", "Classes"))]
    assert told[0].startswith("Test      accuracy 0.7500 on 4 images")
    assert told[1:] == [
        "Classes   'few' was recognised worst: recall 0.0000 on 1 image",
        "Classes   no test images of 'none', so nothing is known of these",
    ]


def test_earlier_export_that_is_left_is_named(tmp_path, capsys):
    report = ExportReport(tmp_path / "model", {}, left=tmp_path / ".model-x-previous")
    select._print_outcome(None, report, "val_accuracy", labels=[])
    assert f"Left      {tmp_path}/.model-x-previous, the export that was there before, could" in capsys.readouterr().out


@pytest.mark.slow
def test_small_classes_count_alike_from_the_search_to_the_test(tmp_path, capsys):
    random = np.random.default_rng(0)
    for label, count in (("dark", 60), ("light", 12)):
        for number in range(count):
            path = tmp_path / "photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 160, (8, 8)) + (95 if label == "light" else 0)
            PIL.Image.fromarray(pixels.astype(np.uint8)).save(path)
    where = ["--results-dir", str(tmp_path), "--quiet"]
    line = "--space tiny --max-epochs 2 --trials 2 --workers 0 --test-fraction 0.25 --batch-size 16 --study even"
    sought = ["--objective", "val_balanced_accuracy", "--class-weights", "--dataset", f"folder:{tmp_path / 'photos'}"]
    assert search.main([*line.split(), *sought, *where]) == 0
    assert "Weights   whether all classes weigh alike in the loss is searched\n" in capsys.readouterr().out
    study = Study.open(storage_url(tmp_path, "even", None), "even")
    assert {record.hyperparameters["class_weights"] for record in study.records()} <= {True, False}
    assert all(record.score == record.curve["val_balanced_accuracy"][-1] for record in study.records())
    assert study.data["class_sizes"] == [36, 7]
    assert study.data["validation_sizes"] == [9, 2]

    assert select.main(["even", "--rule", "one-standard-error", *where]) == 0
    told = capsys.readouterr().out
    assert "Retested  run 0: val_balanced_accuracy " in told
    card = json.loads((tmp_path / "even" / "model" / "card.json").read_text())
    assert (f"Winner    run {card['run']}: " in told, card["rule"]) == (True, "one-standard-error")
    tested = card["test"]
    expected = sum(tested["recall"]) / 2
    assert f"Test      balanced accuracy {expected:.4f} on 18 images (95 %: " in told
