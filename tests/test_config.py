"""A configuration refuses what cannot be meant, survives JSON, and spells out how two differ."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.config import ALGORITHMS, OBJECTIVES, SearchConfig, differences
from tuner.errors import UsageError

PLAIN = SearchConfig(space="tiny", max_epochs=3, batch_size=64)

configs = st.builds(
    SearchConfig,
    space=st.sampled_from(["tiny", "own/space.py"]),
    dataset=st.sampled_from(["digits", "tfds:mnist", "folder:pets"]),
    algorithm=st.sampled_from(ALGORITHMS),
    trials=st.none() | st.integers(1, 10**6),
    total_epochs=st.none() | st.integers(1, 10**6),
    max_epochs=st.integers(5, 1000),
    eta=st.integers(2, 10),
    min_epochs=st.integers(1, 5),
    objective=st.sampled_from(sorted(OBJECTIVES)),
    seed=st.integers(0, 2**31 - 1),
    batch_size=st.integers(1, 4096),
    validation_fraction=st.floats(0.01, 0.99),
    test_fraction=st.floats(0, 0.99),
    image_size=st.none() | st.tuples(st.integers(1, 512), st.integers(1, 512)),
    images=st.none() | st.integers(1, 10**6),
    mixed_precision=st.booleans(),
    jit=st.booleans(),
    augment=st.booleans(),
    class_weights=st.booleans(),
    gpus_per_trial=st.just(1),
    enqueue=st.lists(st.dictionaries(st.text(), st.integers() | st.booleans() | st.text()), max_size=2).map(tuple),
    warm_start=st.none() | st.sampled_from(["mine", "another"]),
)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("algorithm", "hyperbend", "Did you mean 'hyperband'?"),
        ("objective", "accuracy", "one of val_accuracy, val_balanced_accuracy, val_loss"),
        ("trials", 0, "at least 1"),
        ("total_epochs", 0, "at least 1"),
        ("max_epochs", 0, "at least 1"),
        ("eta", 1, "at least 2"),
        ("min_epochs", 0, "from 1 to 3"),
        ("min_epochs", 4, "from 1 to 3"),
        ("seed", -1, "from 0 to 2147483647"),
        ("seed", 2**31, "from 0 to 2147483647"),
        ("batch_size", 0, "at least 1"),
        ("images", 0, "at least 1"),
        ("gpus_per_trial", 0, "from 1 to 64, the images of a batch"),
        ("gpus_per_trial", 65, "from 1 to 64, the images of a batch"),
        ("validation_fraction", 0.0, "between 0 and 1"),
        ("validation_fraction", 1.0, "between 0 and 1"),
        ("validation_fraction", float("nan"), "between 0 and 1"),
        ("test_fraction", -0.1, "from 0 to below 1"),
        ("test_fraction", 1.0, "from 0 to below 1"),
        ("test_fraction", float("nan"), "from 0 to below 1"),
    ],
)
def test_value_outside_its_range_is_refused_by_flag(field, value, allowed):
    with pytest.raises(UsageError) as refused:
        dataclasses.replace(PLAIN, **{field: value})
    assert str(refused.value).startswith(f"--{field.replace('_', '-')} is {value!r}; allowed is ")
    assert allowed in str(refused.value)


@pytest.mark.parametrize(
    ("objective", "accuracy"),
    [("val_accuracy",) * 2, ("val_balanced_accuracy",) * 2, ("val_loss", "val_accuracy")],
)
def test_networks_are_told_apart_by_the_accuracy_that_is_sought(objective, accuracy):
    assert dataclasses.replace(PLAIN, objective=objective).accuracy == accuracy


@pytest.mark.parametrize(
    ("objective", "direction"), [("val_accuracy", "max"), ("val_balanced_accuracy", "max"), ("val_loss", "min")]
)
def test_objective_has_a_better_end(objective, direction):
    assert dataclasses.replace(PLAIN, objective=objective).direction == direction


@given(configs)
def test_configuration_survives_json(config):
    assert SearchConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@given(configs, configs)
def test_differences_are_the_settings_that_differ(before, after):
    changed = {
        field.name
        for field in dataclasses.fields(SearchConfig)
        if field.name not in ("trials", "total_epochs") and getattr(before, field.name) != getattr(after, field.name)
    }
    phrases = differences(before, after)
    assert {phrase.split()[0] for phrase in phrases} == {f"--{name.replace('_', '-')}" for name in changed}


def test_difference_says_both_values():
    assert differences(PLAIN, dataclasses.replace(PLAIN, max_epochs=9)) == ["--max-epochs is 3 in the study and 9 now"]


def test_larger_totals_are_no_difference():
    assert differences(PLAIN, dataclasses.replace(PLAIN, trials=100, total_epochs=1000)) == []


def test_difference_of_what_is_on_or_off_is_spelled_as_the_flag():
    found = differences(PLAIN, dataclasses.replace(PLAIN, mixed_precision=True))
    assert found == ["--mixed-precision is off in the study and on now"]


def test_place_of_a_folder_is_no_difference():
    def told(before, after):
        return differences(dataclasses.replace(PLAIN, dataset=before), dataclasses.replace(PLAIN, dataset=after))

    assert told("folder:photos", "folder:/mnt/photos") == []
    assert told("folder:photos", "digits") == ["--dataset is folder:photos in the study and digits now"]
    assert told("tfds:mnist", "tfds:emnist") == ["--dataset is tfds:mnist in the study and tfds:emnist now"]


def test_settings_say_what_the_search_was_asked_for():
    config = SearchConfig(
        space="mine.py", max_epochs=9, batch_size=32, algorithm="nsga2", costs=("macs",), max_params=1000
    )
    assert config.settings == {
        "space": "mine.py",
        "batch_size": 32,
        "full_budget": "9 epochs",
        "objectives": "val_accuracy, -macs",
        "precision": "float32",
        "most_params": 1000,
    }


def test_configuration_of_an_older_program_trains_as_it_did():
    values = PLAIN.to_dict()
    for name in (
        "images",
        "mixed_precision",
        "total_epochs",
        "eta",
        "min_epochs",
        "enqueue",
        "warm_start",
        "jit",
        "augment",
        "class_weights",
        "gpus_per_trial",
    ):
        del values[name]
    assert SearchConfig.from_dict(values) == PLAIN
    assert (PLAIN.images, PLAIN.mixed_precision) == (None, False)
    assert (PLAIN.total_epochs, PLAIN.eta, PLAIN.min_epochs, PLAIN.enqueue) == (None, 3, 1, ())


def test_differences_are_told_as_flags_are_written():
    sized = dataclasses.replace(PLAIN, image_size=(16, 24))
    assert differences(PLAIN, sized) == ["--image-size is not given in the study and 16x24 now"]
    assert differences(sized, PLAIN) == ["--image-size is 16x24 in the study and not given now"]
