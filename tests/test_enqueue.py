"""Configurations of a file are read, checked against the space by name and value, and completed with defaults."""

import json

import keras_tuner
import pytest
from oracles.driving import shared_names

from tuner.enqueue import completed, read_queue
from tuner.errors import UsageError


def _space():
    hp = keras_tuner.HyperParameters()
    hp.Fixed("stages", 2)
    hp.Boolean("mixup")
    hp.Choice("optimizer", ["sgd", "adam"], default="sgd")
    hp.Choice("width", [4, 8, 16], default=8)
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.5, 1.0, step=0.1, default=0.9)
        hp.Choice("nesterov", ["yes", "no"], default="no")
        with hp.conditional_scope("nesterov", ["yes"]):
            hp.Int("lookahead", 1, 3)
    hp.Float("learning_rate", 0.001, 1.0, sampling="log", default=0.1)
    hp.Int("epochs_warm", 0, 100, step=5)
    hp.Int("blocks", 1, 9, default=2)
    return hp


DEFAULTS = {
    "stages": 2,
    "mixup": False,
    "optimizer": "sgd",
    "width": 8,
    "momentum": 0.9,
    "nesterov": "no",
    "learning_rate": 0.1,
    "epochs_warm": 0,
    "blocks": 2,
}


def test_what_is_left_out_gets_its_default():
    assert completed([], _space()) == []
    assert completed([{}], _space()) == [DEFAULTS]


def test_what_depends_on_another_value_comes_and_goes_with_it():
    adam, ahead = completed([{"optimizer": "adam"}, {"nesterov": "yes"}], _space())
    assert not {"momentum", "nesterov", "lookahead"} & set(adam)
    assert ahead == {**DEFAULTS, "nesterov": "yes", "lookahead": 1}


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("learning_rate", 1, 1.0),
        ("width", 16.0, 16),
        ("blocks", 3.0, 3),
        ("momentum", 0.6, pytest.approx(0.6)),
        ("epochs_warm", 95, 95),
        ("mixup", True, True),
        ("stages", 2, 2),
    ],
)
def test_value_is_that_of_the_space_and_of_its_kind(name, written, meant):
    (values,) = completed([{name: written}], _space())
    assert values[name] == meant
    assert type(values[name]) is type(DEFAULTS[name])


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("stages", 3, "one of 2"),
        ("mixup", 1, "one of false, true"),
        ("optimizer", "sdg", 'one of "sgd", "adam"'),
        ("width", 5, "one of 4, 8, 16"),
        ("width", True, "one of 4, 8, 16"),
        ("width", "8", "one of 4, 8, 16"),
        ("width", None, "one of 4, 8, 16"),
        ("width", [8], "one of 4, 8, 16"),
        ("momentum", 0.55, "one of 0.5, 0.6, 0.7, 0.8, 0.9"),
        ("learning_rate", 2, "a number from 0.001 to 1.0"),
        ("learning_rate", "0.1", "a number from 0.001 to 1.0"),
        ("learning_rate", float("nan"), "a number from 0.001 to 1.0"),
        ("epochs_warm", 7, "a value from 0 to 100 in steps of 5"),
        ("blocks", 0, "a whole number from 1 to 9"),
        ("blocks", 2.5, "a whole number from 1 to 9"),
        ("blocks", float("inf"), "a whole number from 1 to 9"),
        ("blocks", True, "a whole number from 1 to 9"),
    ],
)
def test_value_that_is_not_allowed_is_refused_with_what_is(name, value, allowed):
    with pytest.raises(UsageError) as refused:
        completed([{}, {name: value}], _space())
    assert str(refused.value) == f"{name} is {value!r} in configuration 2 of --enqueue; allowed is {allowed}."


def test_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(UsageError, match=r"^Configuration 1 of --enqueue has 'widht'; .* Did you mean 'width'\?$"):
        completed([{"widht": 8}], _space())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"optimizer": "adam", "momentum": 0.9}, "it depends on optimizer being 'sgd', and that is 'adam'"),
        ({"lookahead": 2}, "it depends on nesterov being 'yes', and that is 'no'"),
        ({"optimizer": "adam", "lookahead": 2}, "it depends on optimizer being 'sgd', and that is 'adam'"),
    ],
)
def test_value_without_effect_is_refused_with_what_it_depends_on(values, reason):
    with pytest.raises(UsageError) as refused:
        completed([values], _space())
    assert reason in str(refused.value)


def test_file_gives_its_configurations(tmp_path):
    path = tmp_path / "queue.json"
    path.write_text('[{"width": 16}, {}]')
    assert read_queue(str(path)) == ({"width": 16}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{'width': 16}]", "is no JSON"),
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        (json.dumps({"width": 16}), "which holds an object; allowed is a list of objects"),
        ("3", "which holds a number; allowed is a list of objects"),
        ("null", "which holds null; allowed is a list of objects"),
        ('[{}, "width"]', "Configuration 2 of --enqueue .* is a text; allowed is a list of objects"),
        ("[[]]", "Configuration 1 of --enqueue .* is a list; allowed is a list of objects"),
    ],
)
def test_file_of_something_else_is_refused(text, message, tmp_path):
    path = tmp_path / "queue.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_queue(str(path))


def test_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"^--enqueue cannot read .*absent\.json: No such file or directory\.$"):
        read_queue(str(tmp_path / "absent.json"))
    with pytest.raises(UsageError, match=r": Is a directory\.$"):
        read_queue(str(tmp_path))
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UsageError, match="is no JSON"):
        read_queue(str(tmp_path / "image.png"))


@pytest.mark.parametrize("values", [{"optimizer": "sgd", "rate": 0.5}, {"optimizer": "adam", "rate": 0.001}])
def test_name_that_two_scopes_declare_is_that_of_the_active_one(values):
    assert completed([values], shared_names())[0].items() >= values.items()


def test_value_out_of_the_active_scopes_range_is_refused():
    with pytest.raises(UsageError, match=r"rate is 0\.5 in configuration 1"):
        completed([{"optimizer": "adam", "rate": 0.5}], shared_names())


def test_name_that_stands_twice_in_a_configuration_is_refused(tmp_path):
    path = tmp_path / "queue.json"
    path.write_text('[{"width": 4, "width": 8}]')
    with pytest.raises(UsageError, match="--enqueue has 'width' twice; allowed is each name once"):
        read_queue(str(path))


def test_empty_path_is_shown():
    with pytest.raises(UsageError, match="--enqueue cannot read '': "):
        read_queue("")


@pytest.mark.parametrize("received", [0, 0.0, 5.551115123125783e-17, 1e-12])
def test_step_that_rounding_puts_beside_0_is_0(received):
    hp = keras_tuner.HyperParameters()
    hp.Float("shift", -0.3, 0.3, step=0.1)
    assert completed([{"shift": received}], hp) == [{"shift": 0.0}]
    with pytest.raises(UsageError, match=r"one of -0.3, -0.2, -0.1, 0, 0.1, 0.2"):
        completed([{"shift": 0.05}], hp)


def test_steps_are_not_listed():
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 0, 10**15, step=10)
    hp.Float("rate", 0.0, 1.0, step=1e-12)
    assert completed([{"units": 10**14, "rate": 0.25}], hp) == [{"units": 10**14, "rate": pytest.approx(0.25)}]
    with pytest.raises(
        UsageError, match=r"units is 15 .* allowed is a value from 0 to 1000000000000000 in steps of 10"
    ):
        completed([{"units": 15}], hp)


@pytest.mark.parametrize("sampling", ["log", "reverse_log"])
def test_whole_number_on_a_scale_of_steps_stays_one(sampling):
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 4, 64, step=2, sampling=sampling)
    for width in (4, 64):
        (values,) = completed([{"width": width}], hp)
        assert (values["width"], type(values["width"])) == (width, int)


@pytest.mark.parametrize(("least", "most", "sampling", "step"), [(0.3, 0.9, "linear", 0.1), (1e-5, 2.43e-3, "log", 3)])
def test_step_that_rounding_puts_beyond_the_range_is_its_end(least, most, sampling, step):
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", least, most, step=step, sampling=sampling)
    assert completed([{"rate": most}], hp) == [{"rate": most}]


def test_default_between_the_steps_is_allowed():
    hp = keras_tuner.HyperParameters()
    hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.5)
    assert list(hp.space[0].values)[-1] == 0.4
    assert completed([{"dropout": 0.5}], hp) == [{"dropout": 0.5}]
    with pytest.raises(UsageError, match=r"dropout is 0\.45 in configuration 1"):
        completed([{"dropout": 0.45}], hp)
