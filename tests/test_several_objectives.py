"""Searches for several objectives on made-up curves, whose front is known from trying everything."""

import dataclasses
import json

import fakes
import keras_tuner
import numpy as np
import pytest
from fakes import CONFIG, FakeWorker, Search, without_times

from tuner import search, select
from tuner.leaderboard import rows_of
from tuner.oracles import make_oracle
from tuner.oracles.encoding import Encoding
from tuner.pareto import hypervolume, unit_points
from tuner.records import COMPLETED, DIVERGED
from tuner.sizes import Sizes

SEVERAL = dataclasses.replace(CONFIG, algorithm="nsga2", costs=("params",), max_epochs=3)
RATES = (0.01, 0.03, 0.1, 0.3)


def space():
    """6 x 3 x 4 = 72 configurations of 18 networks."""
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 4, 24, step=4, default=16)
    hp.Choice("se_ratio", [0, 2, 4], default=0)
    hp.Choice("learning_rate", list(RATES), default=0.03)
    return hp


def accuracy(values):
    """Saturates with the width and falls beyond 20; gates help; each width has a learning rate that suits it."""
    width, ratio = values["width"], values["se_ratio"]
    unsuited = abs(RATES.index(values["learning_rate"]) - width // 8)
    return 1 - 1 / width - 0.01 * max(0, width - 20) + (0.05 / ratio if ratio else 0) - 0.1 * unsuited


@pytest.fixture(autouse=True)
def _curves(monkeypatch):
    def validation(values, epoch):
        found = accuracy(values) * (epoch / 3)
        return {"val_loss": 1 - found, "val_accuracy": found}

    monkeypatch.setattr(fakes, "validation", validation)


def _search(folder, **changes):
    config = dataclasses.replace(SEVERAL, **changes)
    return Search(folder, config, oracle=lambda config: make_oracle(config, space()), declared=space())


def _everything(search):
    """Returns accuracy and weights of all configurations."""
    sizes = Sizes(search.hypermodel)
    return [(accuracy(values), sizes.of(values, "params")) for values in Encoding(space()).combinations()]


def _front(pairs):
    """Returns what no other pair beats, by comparing all with all."""

    def beats(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    return {pair for pair in pairs if not any(beats(other, pair) for other in pairs)}


def _rows(search, found):
    largest = max(params for _, params in _everything(search))
    reference = {"val_accuracy": 0.0, "params": largest}
    return rows_of(found, search.config.objectives, reference=reference), reference


def _covered(search, pairs):
    _, reference = _rows(search, [])
    return hypervolume(unit_points([*pairs], search.config.objectives, reference))


def test_front_of_a_search_through_everything_is_the_true_one(tmp_path):
    search = _search(tmp_path, trials=200)
    found = search.run()
    assert len(found) == 72
    assert search.reason == "the space is exhausted, 72 of 72 tried"
    rows, _ = _rows(search, found)
    true = _front(_everything(search))
    assert {(row.score, row.params) for row in rows if row.front == 1} == true
    assert 3 < len(true) < 18
    assert max(row.hypervolume for row in rows) == pytest.approx(_covered(search, true))


def test_hypervolume_never_falls_in_the_order_of_the_ends(tmp_path):
    search = _search(tmp_path, trials=25)
    found = search.run()
    volume = {row.run: row.hypervolume for row in _rows(search, found)[0]}
    volumes = [volume[record.trial] for record in sorted(found, key=lambda record: record.order)]
    assert volumes == sorted(volumes)
    for number in (1, 10, 25):
        first = [(record.score, record.params) for record in sorted(found, key=lambda r: r.order)[:number]]
        assert volumes[number - 1] == pytest.approx(_covered(search, first))


@pytest.mark.parametrize("writes", [2, 40, 77])
def test_killed_search_ends_as_if_it_had_not_been(writes, tmp_path):
    whole = _search(tmp_path / "whole", trials=30).run()
    killed = _search(tmp_path / "killed", trials=30)
    killed.kill(writes)
    assert without_times(killed.run()) == without_times(whole)


def test_small_network_that_diverged_is_on_no_front_and_has_no_children(tmp_path):
    search = _search(tmp_path, trials=40)
    found = search.run(FakeWorker(diverges=lambda task: task.hyperparameters["width"] == 4))
    rows, _ = _rows(search, found)
    assert {row.front for row in rows if row.hyperparameters["width"] == 4} == {None}
    assert {record.status for record in found} == {COMPLETED, DIVERGED}
    best = search.oracle.get_best_trials()
    assert all(trial.hyperparameters.values["width"] > 4 for trial in best)


def test_search_with_limits_keeps_them(tmp_path):
    search = _search(tmp_path, trials=72)
    most = float(np.median([params for _, params in _everything(search)]))
    sizes = Sizes(search.hypermodel)
    search.make_oracle = lambda config: make_oracle(
        config, space(), is_allowed=lambda values: sizes.of(values, "params") <= most
    )
    found = search.run()
    allowed = [pair for pair in _everything(search) if pair[1] <= most]
    assert len(found) == len(allowed)
    assert {(r.score, r.params) for r in found} == set(allowed)
    assert search.reason.startswith("the space is exhausted within the constraints, ")


def test_study_holds_all_objectives(tmp_path):
    search = _search(tmp_path, trials=3)
    found = search.run()
    (study,) = search._memory.get_all_studies()
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    trials = search._memory.get_all_trials(study._study_id)
    assert [trial.values for trial in trials] == [[record.score, record.params] for record in found]


@pytest.mark.slow
@pytest.mark.usefixtures("digits")
def test_front_of_a_search_on_digits_is_exported_run_by_run(tmp_path, capsys):
    where = ["--results-dir", str(tmp_path), "--quiet"]
    line = "--space tiny --objective val_accuracy --objective -params --max-epochs 1 --trials 4 --study two --workers 0"
    assert search.main([*line.split(), *where]) == 0
    out = capsys.readouterr().out
    assert "Search    nsga2, objectives val_accuracy, -params, seed 0" in out
    assert " of 4 runs; hypervolume 0." in out
    rows = json.loads((tmp_path / "two" / "leaderboard.json").read_text())
    front = {f"run-{row['run']}" for row in rows if row["front"] == 1}
    default = next(row for row in rows if row["run"] == 0)  # the largest of the space
    assert {row["hypervolume_reference"]["params"] for row in rows} == {default["params"]}
    assert select.main(["two", "--rule", "pareto", *where]) == 0
    assert {folder.name for folder in (tmp_path / "two" / "front").iterdir()} == front
    assert all((tmp_path / "two" / "front" / name / "model.keras").exists() for name in front)
