"""What another study saw is taken over as plain data, and only from a study that can be compared."""

import dataclasses
import json

import pytest
from fakes import CONFIG, FakeWorker, Search, space, wide
from samples import a_record

from tuner.errors import StudyError
from tuner.oracles import make_oracle
from tuner.oracles.history import WORST
from tuner.records import RUNNING
from tuner.study import Study
from tuner.warm_start import find_source, seen_in

SPACE = space().get_config()["space"]
WARM = dataclasses.replace(CONFIG, algorithm="asha", trials=6)


@pytest.mark.parametrize(("objective", "sign"), [("val_accuracy", 1), ("val_loss", -1)])
def test_larger_goodness_is_better_and_a_failure_has_none(objective, sign, tmp_path):
    search = Search(tmp_path / "search", dataclasses.replace(CONFIG, objective=objective))
    held = search.run(FakeWorker(diverges=wide))
    seen = seen_in(search.study(), SPACE)
    assert len(seen) == len(held)
    assert {wide(record) for record in held} == {True, False}
    for record, known in zip(held, seen, strict=True):
        assert (known["values"], known["epochs"]) == (record.hyperparameters, record.epochs)
        assert known["goodness"] == (None if wide(record) else sign * record.score)
    assert json.loads(json.dumps(seen, allow_nan=False)) == seen


def test_trial_that_a_callback_ended_is_seen_at_the_rung_that_it_was_asked_for(tmp_path, monkeypatch):
    study = Search(tmp_path / "search").study()
    record = a_record(epochs=5, target=9, score=0.8, order=0)
    monkeypatch.setattr(study, "records", lambda: [record])
    assert seen_in(study, SPACE) == [{"values": {}, "epochs": 9, "goodness": 0.8}]


def test_trial_that_runs_is_not_seen(tmp_path):
    search = Search(tmp_path / "search", WARM)
    search.kill(10)
    held = search.study().records()
    assert held[-1].status == RUNNING
    assert len(seen_in(search.study(), SPACE)) == len(held) - 1


def test_other_space_is_refused_by_name(tmp_path):
    hp = space()
    hp.Int("blocks_1", 1, 2)
    study = Search(tmp_path / "search").study()
    with pytest.raises(StudyError, match="cannot use the study s: it searched another space, in which blocks_1 is"):
        seen_in(study, hp.get_config()["space"])


def _make(results, name, **changes):
    (results / name).mkdir()
    url = f"sqlite:///{results / name / 'study.db'}"
    return Study.create(url, name, config=dataclasses.replace(CONFIG, **changes), space=SPACE, versions={})


def test_missing_study_names_the_nearest(tmp_path):
    _make(tmp_path, "earlier")
    with pytest.raises(StudyError, match=r"no study 'erlier' in .* Did you mean 'earlier'\?"):
        find_source(dataclasses.replace(WARM, warm_start="erlier"), tmp_path, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "val_loss"}, "its scores are val_loss, and this search has --objective val_accuracy"),
        ({}, "no trial has ended in it"),
    ],
)
def test_study_that_says_nothing_of_this_search_is_refused(changes, message, tmp_path):
    _make(tmp_path, "earlier", **changes)
    with pytest.raises(StudyError, match=f"--warm-start cannot use the study earlier: {message}"):
        find_source(dataclasses.replace(WARM, warm_start="earlier"), tmp_path, None)


def test_oracle_knows_what_was_seen(tmp_path):
    search = Search(tmp_path / "search")
    search.run(FakeWorker(diverges=wide))
    seen = seen_in(search.study(), SPACE)
    known = make_oracle(WARM, space(), seen=seen).warm_start
    assert [(k.values, k.epochs) for k in known] == [(s["values"], s["epochs"]) for s in seen]
    assert [k.goodness for k in known] == [WORST if s["goodness"] is None else s["goodness"] for s in seen]
