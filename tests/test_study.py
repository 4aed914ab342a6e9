"""The study on disk gives back what was written, whatever happened to the writer."""

import contextlib
import dataclasses
import itertools
import math
import os
import signal
import sqlite3
import threading
from pathlib import Path

import keras_tuner
import optuna
import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.config import SearchConfig
from tuner.distributions import active_entries, distributions
from tuner.errors import RequestError, StudyError, UsageError
from tuner.finding import find_study
from tuner.messages import Facts
from tuner.oracles.encoding import grid_values
from tuner.records import COMPLETED, DIVERGED, FAILED, OUT_OF_MEMORY, RUNNING, TIMED_OUT, WORKER_DIED, Record
from tuner.storage import open_storage, sqlite_file, storage_url, stored_names, told_in_words
from tuner.study import Study

CONFIG = SearchConfig(space="tiny", max_epochs=9, batch_size=64, image_size=(8, 9))
BEGUN = Record(
    trial=0,
    parent=None,
    hyperparameters={"width": 8, "learning_rate": 0.1},
    initial_epoch=0,
    epochs=3,
    status=RUNNING,
    seed=2**31 - 1,
    params=123,
    macs=4 * 10**9,
    after=0,
)
ENDED = dataclasses.replace(
    BEGUN,
    status=COMPLETED,
    score=0.75,
    best_score=0.8,
    best_epoch=2,
    curve={"epoch": [1, 2, 3], "loss": [2.0, 1.0, 0.5], "val_accuracy": [0.1, 0.8, 0.75]},
    seconds=1.25,
    worker="w3",
    wait_seconds=0.5,
    order=0,
)


def _space(declare):
    hp = keras_tuner.HyperParameters()
    declare(hp)
    return hp.get_config()["space"]


def _plain(hp):
    hp.Choice("width", [4, 8])
    hp.Float("learning_rate", 0.01, 1.0, sampling="log")


@pytest.fixture
def url(tmp_path):
    return storage_url(tmp_path, "mine", None).replace("mine/", "")


def _create(url, declare=_plain, config=CONFIG):
    return Study.create(url, "mine", config=config, space=_space(declare), versions={"keras": "3"})


@pytest.fixture
def study(url):
    return _create(url)


def _written(study, begun, ended):
    study.begin(begun, proposal={**begun.hyperparameters, "tuner/epochs": begun.epochs})
    study.finish(ended)


def test_reopened_study_knows_what_it_was_asked(study, url):
    again = Study.open(url, "mine")
    assert (again.name, again.config, again.versions) == ("mine", CONFIG, {"keras": "3"})
    assert again.space == study.space == _space(_plain)


@pytest.mark.parametrize(
    "ended",
    [
        ENDED,
        dataclasses.replace(ENDED, epochs=2, target=3, curve={"epoch": [1, 2], "val_accuracy": [0.1, 0.75]}),
        dataclasses.replace(
            ENDED, status=FAILED, score=None, best_score=None, best_epoch=None, curve={}, message="out"
        ),
        dataclasses.replace(ENDED, status=DIVERGED, score=0.0, message="The loss is not finite in epoch 3."),
        dataclasses.replace(ENDED, status=TIMED_OUT, score=0.0, message="It took longer."),
        dataclasses.replace(ENDED, status=OUT_OF_MEMORY, score=2.3, curve={}, best_score=None, best_epoch=None),
        dataclasses.replace(ENDED, status=WORKER_DIED, score=0.0, wait_seconds=None),
    ],
)
def test_ended_trial_comes_back_as_it_was(ended, study, url):
    _written(study, BEGUN, ended)
    assert Study.open(url, "mine").records() == [ended]
    assert Study.open(url, "mine").proposals() == [{"width": 8, "learning_rate": 0.1, "tuner/epochs": 3}]


def test_url_with_a_query_is_the_same_study(url):
    _create(f"{url}?timeout=60")
    assert Study.open(f"{url}?timeout=60", "mine").config == Study.open(url, "mine").config == CONFIG


def test_numbers_that_are_not_finite_come_back_as_not_a_number(study, url):
    _written(study, BEGUN, dataclasses.replace(ENDED, curve={"epoch": [1, 2, 3], "loss": [1.0, math.nan, math.inf]}))
    (record,) = Study.open(url, "mine").records()
    assert record.curve["epoch"] == [1, 2, 3]
    assert record.curve["loss"][0] == 1.0
    assert all(math.isnan(value) for value in record.curve["loss"][1:])


def test_promotion_keeps_its_parent(study, url):
    _written(study, BEGUN, ENDED)
    child = dataclasses.replace(BEGUN, trial=1, parent=0, initial_epoch=3, epochs=9, after=1)
    study.begin(child, proposal={})
    assert Study.open(url, "mine").records() == [ENDED, child]


def test_trial_whose_writer_was_killed_is_still_running(study, url):
    study.begin(BEGUN, proposal={"width": 8})
    study.report(0, epoch=1, value=0.1)
    assert Study.open(url, "mine").records() == [BEGUN]


def test_interrupted_trial_is_reported_again_without_harm(study, url):
    study.begin(BEGUN, proposal={})
    study.report(0, epoch=1, value=0.1)
    again = Study.open(url, "mine")
    again.report(0, epoch=1, value=0.1)
    again.finish(ENDED)
    assert Study.open(url, "mine").records() == [ENDED]


def test_optuna_opens_the_file_and_finds_the_best(study, url):
    _written(study, BEGUN, ENDED)
    study.begin(dataclasses.replace(BEGUN, trial=1), proposal={})
    study.report(1, epoch=1, value=0.3)
    theirs = optuna.load_study(study_name="mine", storage=url)
    assert (theirs.best_value, theirs.best_params) == (0.75, {"width": 8, "learning_rate": 0.1})
    assert theirs.metric_names == ["val_accuracy"]
    assert theirs.trials[1].intermediate_values == {1: 0.3}


@pytest.mark.parametrize(("objective", "direction"), [("val_accuracy", "MAXIMIZE"), ("val_loss", "MINIMIZE")])
def test_optuna_knows_the_better_end(objective, direction, url):
    _create(url, config=dataclasses.replace(CONFIG, objective=objective))
    assert optuna.load_study(study_name="mine", storage=url).direction.name == direction


def _everything(hp):
    hp.Fixed("stages", 3)
    hp.Boolean("flag")
    hp.Choice("name", ["a", "b"], default="b")
    hp.Choice("share", [0.1, 0.2])
    hp.Int("count", 1, 9)
    hp.Int("count_step", 1, 10, step=4)
    hp.Int("count_log", 1, 64, sampling="log")
    hp.Int("count_power", 1, 64, step=2, sampling="log")
    hp.Float("rate", 0.0, 1.0)
    hp.Float("rate_step", 0.0, 0.22, step=0.05)
    hp.Float("rate_log", 1e-5, 1.0, sampling="log")
    hp.Float("rate_power", 1e-4, 1.0, step=10, sampling="log")
    hp.Float("rate_reverse", 0.01, 1.0, sampling="reverse_log")
    with hp.conditional_scope("name", ["a"]):
        hp.Float("only_a", 0.0, 1.0)
    with hp.conditional_scope("name", ["b"]):
        hp.Int("only_b", 1, 3)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A study with hyperparameters of every kind."""
    return _create(f"sqlite:///{tmp_path_factory.mktemp('study')}/study.db", _everything)


@pytest.fixture(scope="module")
def ranges(tmp_path_factory):
    """The distributions that Optuna reads of a trial with hyperparameters of every kind."""
    url = f"sqlite:///{tmp_path_factory.mktemp('study')}/study.db"
    hp = keras_tuner.HyperParameters()
    _everything(hp)
    values = {name: value for name, value in hp.values.items() if name != "only_a"}
    _create(url, _everything).begin(dataclasses.replace(BEGUN, hyperparameters=values), proposal={})
    return optuna.load_study(study_name="mine", storage=url).trials[0].distributions


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(1, 10**6))
def test_values_of_every_kind_come_back(everything, seed):
    hp = keras_tuner.HyperParameters()
    _everything(hp)
    oracle = keras_tuner.oracles.RandomSearchOracle(hyperparameters=hp, seed=seed, objective="val_accuracy")
    values = oracle.populate_space("0")["values"]
    trial = len(everything.records())
    everything.begin(dataclasses.replace(BEGUN, trial=trial, hyperparameters=values), proposal=values)
    held = everything.records()[trial].hyperparameters
    assert held == values == everything.proposals()[trial]
    assert {name: type(value) for name, value in held.items()} == {n: type(value) for n, value in values.items()}


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("stages", optuna.distributions.CategoricalDistribution([3])),
        ("flag", optuna.distributions.CategoricalDistribution([False, True])),
        ("name", optuna.distributions.CategoricalDistribution(["a", "b"])),
        ("count", optuna.distributions.IntDistribution(1, 9)),
        ("count_step", optuna.distributions.IntDistribution(1, 9, step=4)),
        ("count_log", optuna.distributions.IntDistribution(1, 64, log=True)),
        ("count_power", optuna.distributions.IntDistribution(1, 64, log=True)),
        ("rate", optuna.distributions.FloatDistribution(0.0, 1.0)),
        ("rate_step", optuna.distributions.FloatDistribution(0.0, 0.2, step=0.05)),
        ("rate_log", optuna.distributions.FloatDistribution(1e-5, 1.0, log=True)),
        ("rate_reverse", optuna.distributions.FloatDistribution(0.01, 1.0)),
        ("only_b", optuna.distributions.IntDistribution(1, 3)),
    ],
)
def test_optuna_knows_the_range_of_every_kind(name, distribution, ranges):
    assert ranges[name] == distribution


@pytest.mark.parametrize(("least", "most", "step"), [(0.0, 0.35, 0.1), (0.1, 0.75, 0.1), (0.3, 0.9, 0.1)])
def test_last_step_is_written_where_rounding_puts_it_beyond_the_one_before(url, least, most, step):
    """Optuna lowers the end of a range to the decimal number that the steps meet: 0.3, not 0.30000000000000004."""
    study = _create(url, lambda hp: hp.Float("rate", least, most, step=step))
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", least, most, step=step)
    values = [{"rate": value} for value in grid_values(hp.space[0])]
    for trial, each in enumerate(values):
        study.begin(dataclasses.replace(BEGUN, trial=trial, hyperparameters=each), proposal=each)
    assert [record.hyperparameters for record in study.records()] == values


def test_inactive_hyperparameters_are_not_stored(url):
    def conditional(hp):
        hp.Choice("optimizer", ["sgd", "adam"])
        with hp.conditional_scope("optimizer", ["sgd"]):
            hp.Float("learning_rate", 0.01, 1.0, sampling="log")
        with hp.conditional_scope("optimizer", ["adam"]):
            hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")

    study = _create(url, conditional)
    for trial, values in enumerate([("sgd", 0.5), ("adam", 0.0002)]):
        values = dict(zip(["optimizer", "learning_rate"], values, strict=True))
        study.begin(dataclasses.replace(BEGUN, trial=trial, hyperparameters=values), proposal=values)
        (entry,) = [entry for entry in active_entries(study.space, values) if entry["name"] == "learning_rate"]
        assert entry["min_value"] <= values["learning_rate"] <= entry["max_value"]
    assert [record.hyperparameters["learning_rate"] for record in study.records()] == [0.5, 0.0002]


def test_trial_of_another_program_is_told(study, url):
    optuna.load_study(study_name="mine", storage=url).ask()
    for read in (study.records, study.proposals):
        with pytest.raises(StudyError, match="In the study mine there is what another program"):
            read()


@pytest.mark.parametrize("changes", [{"spacing": 2}, {"image_size": 8}])
def test_study_of_another_version_is_told(changes, study, url):
    storage = optuna.storages.RDBStorage(url)
    storage.set_study_user_attr(1, "config", CONFIG.to_dict() | changes)
    with pytest.raises(StudyError, match=r"another version of this one, wrote \(.*\); use that version"):
        Study.open(url, "mine")


def test_damaged_storage_is_told(study, url, capsys):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("DROP TABLE trials")
    with pytest.raises(StudyError, match=r"cannot be read or written: no such table"):
        study.records()
    assert capsys.readouterr().err == ""


def test_study_of_another_program_is_refused(url):
    optuna.create_study(study_name="mine", storage=url)
    with pytest.raises(StudyError, match="mine was not made by this program"):
        Study.open(url, "mine")
    with pytest.raises(StudyError, match="choose another --study"):
        _create(url)


def test_study_without_a_word_in_a_file_of_its_own_is_made_again(tmp_path):
    """The disk was full, or the search was killed, right after its first write."""
    url = storage_url(tmp_path, "mine", None)
    sqlite_file(url).parent.mkdir()
    optuna.create_study(study_name="mine", storage=url)
    assert Study.open(url, "mine") is None
    assert _create(url).config == CONFIG


def test_second_study_of_a_name_is_refused(study, url):
    with pytest.raises(StudyError, match="Another search has just made the study mine"):
        _create(url)


@pytest.mark.parametrize("writes", [0, 2, 3, 4, 5, 6])  # after the first one it may be anybody's, and is left alone
def test_search_killed_while_it_makes_its_study_makes_it_again(writes, url, monkeypatch):
    left = iter(range(writes))

    def dying(write):
        def call(*arguments):
            if next(left, None) is None:
                raise SystemExit
            return write(*arguments)

        return call

    with monkeypatch.context() as patch:
        for name in ("create_new_study", "set_study_system_attr", "set_study_user_attr"):
            patch.setattr(optuna.storages.RDBStorage, name, dying(getattr(optuna.storages.RDBStorage, name)))
        with pytest.raises(SystemExit):
            _create(url)
    assert Study.open(url, "mine") is None
    more = dataclasses.replace(CONFIG, algorithm="nsga2", costs=("macs",))
    assert _create(url, config=more).config == Study.open(url, "mine").config == more


def test_ctrl_c_while_the_study_is_read_is_not_told_in_a_log(study, caplog):
    def press(*_):
        signal.raise_signal(signal.SIGINT)

    sqlalchemy.event.listen(study._storage.engine.pool, "reset", press)
    with pytest.raises(KeyboardInterrupt):
        study.records()
    assert not caplog.records


def test_trial_of_another_writer_is_noticed(study, url):
    study.begin(BEGUN, proposal={})
    with pytest.raises(StudyError, match="trial 1 from another program"):
        Study.open(url, "mine").begin(BEGUN, proposal={})


def test_absent_study_is_none(url, tmp_path):
    assert Study.open(url, "mine") is None
    assert list(tmp_path.iterdir()) == []  # asking makes no file
    _create(url)
    assert Study.open(url, "another") is None


def test_file_is_written_ahead(study, url):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize(
    ("had", "asked", "concluded"),
    [
        ({}, {}, True),
        ({}, {"trials": 1}, True),
        ({}, {"trials": 2}, False),
        ({}, {"total_epochs": 100}, False),
        ({"trials": 2}, {"trials": 2}, True),
        ({"trials": 2}, {"trials": 1}, True),
        ({"trials": 2}, {"trials": 3}, False),
        ({"trials": 2}, {}, False),
        ({"total_epochs": 4}, {"total_epochs": 4}, True),
        ({"total_epochs": 4}, {"total_epochs": 5}, False),
        ({"total_epochs": 4}, {"total_epochs": 4, "trials": 9}, False),
    ],
)
def test_concluded_study_has_no_trial_left_for_its_totals(had, asked, concluded, url):
    study = _create(url, config=dataclasses.replace(CONFIG, **had))
    _written(study, BEGUN, ENDED)
    asked = dataclasses.replace(CONFIG, **asked)
    assert not study.is_concluded(asked)
    study.conclude()
    assert Study.open(url, "mine").is_concluded(asked) is concluded


def test_study_that_grew_and_was_killed_is_not_concluded_before_its_last_trial_has_ended(url):
    study = _create(url, config=dataclasses.replace(CONFIG, trials=1))
    _written(study, BEGUN, ENDED)
    study.conclude()
    more = dataclasses.replace(CONFIG, trials=2)
    study.extend(more)
    study.begin(dataclasses.replace(BEGUN, trial=1), proposal={})
    assert not Study.open(url, "mine").is_concluded(more)
    study.finish(dataclasses.replace(ENDED, trial=1))
    assert Study.open(url, "mine").is_concluded(more)


def test_study_that_an_older_program_concluded_is_concluded(study, url):
    study._storage.set_study_user_attr(study._id, "concluded", {"trials": None})
    assert Study.open(url, "mine").is_concluded(CONFIG)
    assert not Study.open(url, "mine").is_concluded(dataclasses.replace(CONFIG, total_epochs=100))


def test_trial_that_an_older_program_began_is_read(study, url):
    names = ("parent", "initial_epoch", "epochs", "seed", "params", "macs", "after")
    template = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params=BEGUN.hyperparameters,
        distributions=distributions(study.space, BEGUN.hyperparameters),
        user_attrs={"proposal": BEGUN.hyperparameters} | {name: getattr(BEGUN, name) for name in names},
    )
    study._storage.create_new_trial(study._id, template)
    study.finish(ENDED)
    assert Study.open(url, "mine").records() == [ENDED]


def _begin_three(study):
    """Begins trials of 0->3, 3->9 and, where nothing is said, the full budget of 9 epochs."""
    for trial, proposal in enumerate([{"tuner/epochs": 3}, {"tuner/initial_epoch": 3, "tuner/epochs": 9}, {}]):
        study.begin(dataclasses.replace(BEGUN, trial=trial), proposal=proposal)


def test_begun_epochs_are_those_that_were_proposed(study):
    assert study.begun_epochs() == 0
    _begin_three(study)
    assert study.begun_epochs() == 3 + 6 + 9


@pytest.mark.parametrize("enough", [{}, {"trials": 3}, {"total_epochs": 18}, {"trials": 4, "total_epochs": 200}])
def test_totals_that_were_not_passed_go_on(enough, study):
    _begin_three(study)
    grown = dataclasses.replace(CONFIG, **enough)
    study.check_totals(grown)
    study.extend(grown)
    assert study.config == grown


@pytest.mark.parametrize(
    ("passed", "message"),
    [
        ({"trials": 2}, r"--trials is 2, but the study mine has 3 trials already.*at least 3"),
        ({"total_epochs": 17}, r"--total-epochs is 17, but the study mine has 18 epochs already.*at least 18"),
    ],
)
def test_total_that_was_passed_is_refused(passed, message, study):
    _begin_three(study)
    with pytest.raises(StudyError, match=message):
        study.check_totals(dataclasses.replace(CONFIG, **passed))


@pytest.mark.parametrize("totals", [{"trials": 20}, {"total_epochs": 200}])
def test_extended_study_goes_on_until_it_is_concluded_again(totals, study, url):
    larger = dataclasses.replace(CONFIG, **totals)
    study.conclude()
    study.extend(larger)
    again = Study.open(url, "mine")
    assert again.config == larger
    assert not again.is_concluded(larger)
    again.conclude()
    assert again.is_concluded(larger)


def test_study_keeps_what_its_search_knew_from_another(url, study):
    seen = [{"values": {"width": 8}, "epochs": 3, "goodness": 0.5}, {"values": {}, "epochs": 1, "goodness": None}]
    assert study.seen == Study.open(url, "mine").seen == []
    Study.create(url, "warm", config=CONFIG, space=_space(_plain), versions={}, seen=seen)
    assert Study.open(url, "warm").seen == seen


def _wider(hp):
    hp.Choice("width", [4, 8, 16])
    hp.Float("learning_rate", 0.01, 1.0, sampling="log")


def _more(hp):
    _plain(hp)
    hp.Int("blocks_1", 1, 2)


def test_unchanged_space_goes_on(study):
    study.check_space(_space(_plain))
    assert study.space == _space(_plain)


@pytest.mark.parametrize(
    ("declare", "name"),
    [(_wider, "width"), (_more, "blocks_1"), (lambda hp: hp.Choice("width", [4, 8]), "learning_rate")],
)
def test_changed_space_is_refused_by_name(declare, name, study):
    with pytest.raises(
        StudyError, match=f"tiny has changed since the study mine was made: {name} is declared otherwise"
    ):
        study.check_space(_space(declare))
    with pytest.raises(StudyError, match=r"space new\.py has changed since the study mine was made: "):
        study.check_space(_space(declare), "new.py")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classes": 3}, "the number of classes was 2 and is 3"),
        ({"train": 25}, "the number of training images was 24 and is 25"),
        ({"input_shape": (8, 9, 3)}, "the size of the images was 8x9x1 and is 8x9x3"),
        ({"turned": 1}, "the number of images that are turned upright was 0 and is 1"),
        ({"mean": (101.0,)}, "the mean of the pixels was 100.5 and is 101"),
        ({"labels": ("cat", "fox")}, "the name of class 1 was 'dog' and is 'fox'"),
        ({"class_sizes": (13, 11)}, "the number of training images of class 0 was 12 and is 13"),
        ({"validation_sizes": (3, 2)}, "the number of validation images of class 1 was 3 and is 2"),
        (
            {"class_means": (90.0, 111.25)},
            "the mean of the pixels of the training images of class 1 was 111 and is 111.25",
        ),
        (
            {"validation_means": (80.0, 120.0)},
            "the mean of the pixels of the validation images of class 0 was 90 and is 80",
        ),
    ],
)
def test_changed_data_is_refused(change, told, url):
    facts = Facts(
        train=24,
        validation=6,
        input_shape=(8, 9, 1),
        classes=2,
        mean=(100.5,),
        variance=(7.25,),
        labels=("cat", "dog"),
        class_means=(90.0, 111.0),
        validation_means=(90.0, 120.0),
        class_sizes=(12, 12),
        validation_sizes=(3, 3),
    )
    options = {"config": CONFIG, "space": _space(_plain), "versions": {}}
    Study.create(url, "mine", **options, data=facts).check_data(facts)
    study = Study.open(url, "mine")
    rounded = {"mean": (100.501,), "class_means": (90.001, 111.0)}
    study.check_data(dataclasses.replace(facts, **rounded))  # otherwise
    with pytest.raises(
        StudyError, match=f"data digits has changed since the study mine was made: {told}\\. Put it back"
    ):
        study.check_data(dataclasses.replace(facts, **change))
    study.check_data(dataclasses.replace(facts, labels=(), class_means=(), validation_means=()))  # nobody says
    study.check_data(dataclasses.replace(facts, class_sizes=(), validation_sizes=()))
    with pytest.raises(StudyError, match=r"data folder:new has changed since"):
        study.check_data(dataclasses.replace(facts, **change), "folder:new")


def test_photos_that_were_not_turned_then_are_other_images():
    facts = Facts(train=24, validation=6, input_shape=(8, 9, 1), classes=2, mean=(100.5,), variance=(7.25,))
    then = {name: value for name, value in dataclasses.asdict(facts).items() if name != "turned"}
    assert facts.differences(then) == []
    told = dataclasses.replace(facts, turned=12, input_shape=(9, 8, 1)).differences(then)[0]
    assert told == "12 images are turned upright as the EXIF orientation says, which this program did not do then"


def test_study_of_before_goes_on_with_any_data(study):
    assert study.data == {}
    study.check_data(Facts(train=1, validation=1, input_shape=(8, 9, 1), classes=2, mean=(1.0,), variance=(1.0,)))


@pytest.mark.parametrize("folder", ["what?a", "a%20b"])
def test_folder_that_no_url_can_hold_is_refused(folder):
    """The study was beside its folder, and another search took it for its own."""
    with pytest.raises(UsageError, match=r"a URL of SQLite cannot hold \? and %, so choose another folder"):
        storage_url(Path(folder), "mine", None)
    assert storage_url(Path(folder), "mine", "sqlite:///s.db") == "sqlite:///s.db"


def test_storage_that_fails_says_why(study, url):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("DROP TABLE trial_user_attributes")
    message = r"cannot be read or written: no such table.*the same command goes on"
    with pytest.raises(StudyError, match=message), told_in_words(url):
        study.begin(BEGUN, proposal={})


def test_trial_that_another_program_has_ended_is_told(study, url):
    study.begin(BEGUN, proposal={})
    study.finish(ENDED)
    with pytest.raises(StudyError, match=r"Another program has ended a trial in the storage"), told_in_words(url):
        study.finish(ENDED)


@pytest.mark.parametrize(
    "use",
    [
        lambda study: study.begin(dataclasses.replace(BEGUN, trial=1), proposal={}),
        lambda study: study.report(0, epoch=1, value=0.5),
        lambda study: study.finish(ENDED),
        lambda study: study.extend(CONFIG),
        Study.conclude,
        Study.records,
        lambda study: study.is_concluded(CONFIG),
    ],
)
def test_study_that_is_deleted_meanwhile_is_told(use, study, url):
    """As by the button of optuna-dashboard: "unexpected KeyError"."""
    study.begin(BEGUN, proposal={})
    optuna.delete_study(study_name="mine", storage=url)
    with pytest.raises(StudyError, match="The study mine was deleted from its storage while it was in use"):
        use(study)


def _numbered(number):
    return dataclasses.replace(BEGUN, trial=number), dataclasses.replace(ENDED, trial=number, order=number)


def test_ended_trials_are_read_once(study, url, monkeypatch):
    """A search that goes on looks at its trials seven times; of 5,000, each time took three seconds."""
    for number in range(5):
        _written(study, *_numbered(number))
    study.begin(dataclasses.replace(BEGUN, trial=5), proposal={})
    read, get = [], optuna.storages.RDBStorage.get_all_trials

    def counted(*arguments, **options):
        read.append(get(*arguments, **options))
        return read[-1]

    monkeypatch.setattr(optuna.storages.RDBStorage, "get_all_trials", counted)
    reopened = Study.open(url, "mine")
    assert reopened.records() == reopened.records() == study.records()
    assert len(reopened.proposals()) == 6
    assert [len(trials) for trials in read] == [6, 1, 6, 1]  # the third is of the other one


@pytest.mark.parametrize("writer", ["itself", "another"])
@pytest.mark.parametrize("held", [0, 1, 3])
def test_trials_that_were_read_before_hide_no_later_ones(held, writer, study, url):
    for number in range(held):
        _written(study, *_numbered(number))
    study.begin(_numbered(held)[0], proposal={})
    other = study if writer == "itself" else Study.open(url, "mine")
    assert [record.status for record in study.records()] == [COMPLETED] * held + [RUNNING]
    other.finish(_numbered(held)[1])
    assert [record.status for record in study.records()] == [COMPLETED] * (held + 1)
    _written(other, *_numbered(held + 1))
    assert [record.status for record in study.records()] == [COMPLETED] * (held + 2)
    other.begin(_numbered(held + 2)[0], proposal={})
    other.finish(_numbered(held + 2)[1])
    other.begin(_numbered(held + 3)[0], proposal={})
    assert [record.status for record in study.records()] == [COMPLETED] * (held + 3) + [RUNNING]
    assert [record.trial for record in study.records()] == [*range(held + 4)]


def test_file_that_is_removed_meanwhile_is_told(study, url):
    file = Path(url.removeprefix("sqlite:///"))
    file.rename(file.with_name("elsewhere"))
    with pytest.raises(StudyError, match=rf"The file {file} was removed while it was in use"), told_in_words(url):
        study.begin(BEGUN, proposal={})
    assert not file.exists()
    file.with_name("elsewhere").rename(file)
    study.begin(BEGUN, proposal={})


def test_folder_that_was_renamed_says_which_study_it_holds(tmp_path):
    _make(tmp_path, "mine").close()
    (tmp_path / "mine").rename(tmp_path / "yours")
    with pytest.raises(StudyError, match="The folder of the study yours holds the study mine: give it that name"):
        find_study(tmp_path, "yours")
    (tmp_path / "yours").rename(tmp_path / "mine")
    assert find_study(tmp_path, "mine").name == "mine"


@pytest.mark.parametrize("uri", ["true", "1"])
@pytest.mark.parametrize("form", ["file:{}", "file://{}"])
def test_url_of_sqlite_within_a_storage_is_its_file(form, uri, tmp_path):
    """Reference: SQLAlchemy, "SQLite", section "URI Connections"."""
    url = f"sqlite:///{form.format(tmp_path / 'a%20b.db')}?uri={uri}"
    assert sqlite_file(url) == tmp_path / "a b.db"
    _create(url).extend(CONFIG)
    assert Study.open(f"sqlite:///{tmp_path / 'a b.db'}", "mine").config == CONFIG
    assert Study.open(url, "mine").config == CONFIG


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_storage_in_memory_is_refused(url):
    with pytest.raises(RequestError, match=r"is in memory, where no other command finds it; write sqlite:///FILE\.db"):
        Study.open(url, "mine")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgres://user:secret@host/db", "cannot be opened: Can't load plugin"),
        ("postgres://user:secret@host/db", "Write postgresql+psycopg://."),
        ("nonsense+driver://user:secret@host/db", "cannot be opened: Can't load plugin"),
        ("mysql+mysqldb://user:secret@host/db", "needs a driver that is not installed"),
        ("postgresql+psycopg2://user:secret@host/db", r"pip install 'se-tuner[postgresql]', and write postgresql+psy"),
        ("sqlite:////no/such/folder/study.db", "cannot be opened: unable to open database file"),
        ("nonsense", "cannot be opened: Could not parse"),
        ("study.db", "Write sqlite:///FILE.db or postgresql+psycopg://USER@HOST/DB."),
        ("", "cannot be opened: Could not parse"),
    ],
)
def test_wrong_storage_is_one_sentence_without_the_password(url, reason):
    with pytest.raises(StudyError) as refused:
        open_storage(url)
    assert reason in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("version", "way_out"), [("v3.0.0.a", "optuna storage upgrade"), ("v99.0.0.a", "updating optuna to the latest")]
)
def test_tables_of_another_optuna_are_one_sentence(version, way_out, study, url):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    with pytest.raises(StudyError, match=rf"cannot be opened: The runtime optuna version .*{way_out}"):
        open_storage(url)


def test_searches_that_begin_at_once_on_a_new_storage_all_open_it(tmp_path):
    """Until then one of four did, and the others ended in "table studies already exists" and the like."""
    together, names = threading.Barrier(4), []

    def go():
        together.wait()
        with contextlib.closing(open_storage(f"sqlite:///{tmp_path}/all.db").engine.raw_connection()) as connection:
            names.append(connection.execute("SELECT count(*) FROM alembic_version").fetchone())

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == [(1,)] * 4


def test_tables_that_others_make_slowly_are_waited_for(url, monkeypatch):
    """On a slow disk they take many seconds; until then a search gave up after two."""
    attempts, opened = itertools.count(), optuna.storages.RDBStorage

    def make(*given):
        if next(attempts) < 20:
            raise sqlalchemy.exc.OperationalError("CREATE TABLE studies", {}, Exception("table studies already exists"))
        return opened(*given)

    monkeypatch.setattr(optuna.storages, "RDBStorage", make)
    monkeypatch.setattr("tuner.storage.time.sleep", lambda _: None)
    assert stored_names(open_storage(url)) == []
    assert next(attempts) == 21


@pytest.mark.slow
def test_a_file_that_another_program_holds_for_a_while_is_waited_for(url):
    """Until then for the five seconds that Python waits by itself."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), check_same_thread=False)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(7, holder.rollback)
        release.start()
        assert stored_names(open_storage(url)) == []
        release.join()


@pytest.mark.parametrize("folder", ["a{b}", "a{}", "a{{b}}"])
def test_braces_in_a_url_are_braces(folder, tmp_path):
    """Optuna takes them for a place to be filled: an error after all the preparation, or a study beside its folder."""
    (tmp_path / folder).mkdir()
    _make(tmp_path / folder, "mine").close()
    assert (tmp_path / folder / "mine" / "study.db").exists()
    assert find_study(tmp_path / folder, None).config == CONFIG


def test_file_that_is_no_study_is_one_sentence(tmp_path):
    (tmp_path / "study.db").write_text("This is a letter and no data base. " * 100)
    with pytest.raises(StudyError, match="cannot be opened: file is not a database"):
        open_storage(f"sqlite:///{tmp_path}/study.db")


def _make(results, name):
    (results / name).mkdir()
    return Study.create(storage_url(results, name, None), name, config=CONFIG, space=_space(_plain), versions={})


def test_storage_that_nobody_holds_any_more_is_closed(tmp_path):
    study = _make(tmp_path, "mine")
    names = [path.name for path in (tmp_path / "mine").iterdir()]
    assert sorted(names) == ["study.db", "study.db-shm", "study.db-wal"]  # the last ones are of open connections
    del study
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["study.db"]


def test_study_that_is_kept_elsewhere_is_told(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "leaderboard.csv").write_text("rank")
    with pytest.raises(StudyError, match="'mine' is not kept in its folder; give the --storage that its search had, "):
        find_study(tmp_path, None)
    with pytest.raises(StudyError, match=r"'mine' is not kept in sqlite:///.*other.db; give the --storage"):
        find_study(tmp_path, "mine", f"sqlite:///{tmp_path}/other.db")


def test_newest_study_is_found(tmp_path):
    for age, name in enumerate(["newer", "older"]):
        _make(tmp_path, name)
        for file in [*(tmp_path / name).iterdir(), tmp_path / name]:
            os.utime(file, (10**9 - age, 10**9 - age))
    (tmp_path / "no-study").mkdir()
    (tmp_path / "README.md").write_text("")
    assert find_study(tmp_path, None).name == "newer"
    assert find_study(tmp_path, "older").name == "older"


def test_study_that_was_only_read_is_not_the_newest(tmp_path):
    for age, name in enumerate(["newer", "older"]):
        _make(tmp_path, name).close()
        for file in (tmp_path / name).iterdir():
            os.utime(file, (10**9 - age, 10**9 - age))
    found = find_study(tmp_path, "older")
    found.records()
    assert {file.name for file in (tmp_path / "older").iterdir()} > {"study.db"}  # what SQLite keeps while it reads
    assert find_study(tmp_path, None).name == "newer"


def test_file_that_another_program_removes_meanwhile_is_none(tmp_path, monkeypatch):
    """SQLite removes its own files with the last connection."""
    _make(tmp_path, "mine").close()
    (tmp_path / "mine" / "study.db-wal").write_text("x")
    exists = Path.exists

    def removed(path, **options):
        there = exists(path, **options)
        if path.name == "study.db-wal":
            path.unlink(missing_ok=True)
        return there

    monkeypatch.setattr(Path, "exists", removed)
    assert find_study(tmp_path, None).name == "mine"


def test_study_that_is_not_there_lists_what_is(tmp_path):
    with pytest.raises(StudyError, match=r"There is no study in .*tuner\.search"):
        find_study(tmp_path, None)
    with pytest.raises(StudyError, match=r"no study 'mine' in .*it holds none yet"):
        find_study(tmp_path, "mine")
    _make(tmp_path, "mine")
    with pytest.raises(StudyError, match=r"no study 'mime' in .*the newest are mine\. Did you mean 'mine'\?"):
        find_study(tmp_path, "mime")


def test_study_that_is_not_in_a_storage_lists_what_is(tmp_path):
    shared = f"sqlite:///{tmp_path}/shared.db"
    with pytest.raises(StudyError, match=r"no study 'mine' in sqlite:///.*shared.db; it holds none yet"):
        find_study(tmp_path, "mine", shared)
    with pytest.raises(StudyError, match=r"There is no study in sqlite:///.*shared.db; `python -m tuner\.search`"):
        find_study(tmp_path, None, shared)
    for name in ("first", "second"):
        Study.create(shared, name, config=CONFIG, space=_space(_plain), versions={}).close()
    with pytest.raises(StudyError, match=r"no study 'frist' in .*the newest are first, second\. Did you mean 'first'"):
        find_study(tmp_path, "frist", shared)
    with pytest.raises(StudyError, match=r"has no folder of a study; give the name of .*the newest are first, second"):
        find_study(tmp_path, None, shared)


def test_newest_study_of_a_storage_is_one_that_it_holds(tmp_path):
    """The newest of the folder was taken, and told not to be in the storage, though nobody had named it."""
    shared = f"sqlite:///{tmp_path}/shared.db"
    for age, name in enumerate(["own", "newer", "older"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "leaderboard.csv").write_text("rank\n")
        os.utime(tmp_path / name / "leaderboard.csv", (10**9 - age, 10**9 - age))
    Study.create(shared, "another", config=CONFIG, space=_space(_plain), versions={}).close()
    with pytest.raises(StudyError, match=r"None of the studies in .* is there; give the name of one .*are another"):
        find_study(tmp_path, None, shared)
    for name in ("older", "newer"):
        Study.create(shared, name, config=CONFIG, space=_space(_plain), versions={}).close()
    assert find_study(tmp_path, None, shared).name == "newer"


@pytest.mark.parametrize("what", ["", "study.db"])
def test_study_that_cannot_be_written_to_is_read(what, tmp_path, monkeypatch):
    """Of a file alone, files of the reader's were left beside it, with which its owner could not go on."""
    study = _make(tmp_path, "of a colleague")
    study.begin(BEGUN, proposal={})
    study.finish(ENDED)
    study.close()
    folder = tmp_path / study.name
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert set(before) == {"study.db"}
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder / what)  # root may write everywhere
    found = find_study(tmp_path, None)
    assert found.records() == [ENDED]
    assert {path.name for path in folder.iterdir()} == {"study.db"}
    found.close()
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "url",
    [
        "postgresql//user:secret@host/db",
        "postgresql+psycopg://user:secret@host:port/db",
        "nonsense://user:a/secret@host/db",
        "nonsense://user:a@secret@host/db",
        "nonsense://host/db?user=me&password=secret",
    ],
)
def test_malformed_storage_shows_no_password(url):
    with pytest.raises(StudyError) as refused:
        open_storage(url)
    assert "secret" not in str(refused.value)


def test_folder_that_is_closed_to_us_hides_no_other_study(tmp_path, monkeypatch):
    """Results may be shared: a colleague's study need not be readable."""
    _make(tmp_path, "mine").close()
    (tmp_path / "theirs").mkdir()
    stat = Path.stat

    def closed(path, **options):
        if path.parent == tmp_path / "theirs":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", closed)
    assert find_study(tmp_path, "mine").name == "mine"
    assert find_study(tmp_path, None).name == "mine"
