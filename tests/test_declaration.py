"""A space that its networks do not understand is refused, and conditions decide which values count."""

import keras_tuner
import pytest

from tuner.declaration import active_values, check_objective, declare
from tuner.errors import SpaceError, UsageError
from tuner.space import Space


def _values(declare_):
    hp = keras_tuner.HyperParameters()
    declare_(hp)
    return hp


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("learning_rte", "Did you mean 'learning_rate'?"),
        ("se-ratio", "Did you mean 'se_ratio'?"),
        ("se_positoin", "Did you mean 'se_position'?"),
        ("se_ratio_0", "se_ratio_1, se_ratio_2"),
        ("blocks_0", "blocks_1, blocks_2"),
        ("blocks_1a", "blocks_1, blocks_2"),
        ("tuner/epochs", "known are block, stem"),
    ],
)
def test_unknown_name_is_refused(name, hint):
    with pytest.raises(SpaceError) as refused:
        declare(Space("own", "Own.", lambda hp: hp.Int(name, 1, 4)))
    assert f"own declares '{name}', which the SE-ResNet does not know" in str(refused.value)
    assert hint in str(refused.value)


def test_second_declaration_that_says_something_else_is_refused():
    def twice(hp):
        hp.Choice("width", [4, 8])
        hp.Choice("width", [4, 16])

    with pytest.raises(SpaceError, match=r"declares 'width' twice, as .*\[4, 8\].* and as .*\[4, 16\].*each name once"):
        declare(Space("own", "Own.", twice))
    same = declare(Space("own", "Own.", lambda hp: [hp.Choice("width", [4, 8]) for _ in range(2)]))
    assert same.values == {"width": 4}


@pytest.mark.parametrize("smoothing", [lambda hp: hp.Float("label_smoothing", 0.0, 0.2)])
def test_loss_is_no_objective_while_its_definition_is_searched(smoothing):
    with pytest.raises(UsageError, match="'val_loss', but the space searches label_smoothing"):
        check_objective("val_loss", _values(smoothing))
    check_objective("val_accuracy", _values(smoothing))
    check_objective("val_loss", _values(lambda hp: hp.Choice("width", [2, 4])))


def test_inactive_values_are_left_out():
    def conditional(hp):
        hp.Choice("optimizer", ["sgd", "adam"])
        with hp.conditional_scope("optimizer", ["adam"]):
            hp.Float("weight_decay", 0.0, 0.1)

    assert active_values(_values(conditional)) == {"optimizer": "sgd"}


@pytest.mark.parametrize("step", [0, -1, 0.0, float("nan")])
def test_step_that_leads_nowhere_is_refused(step):
    with pytest.raises(SpaceError, match=f"dropout has the step {step}; allowed is a number above 0"):
        declare(Space("own", "Own.", lambda hp: hp.Float("dropout", 0.0, 0.5, step=step)))
    if step == step:
        with pytest.raises(SpaceError, match=f"width has the step {int(step)}; allowed is a number above 0"):
            declare(Space("own", "Own.", lambda hp: hp.Int("width", 1, 4, step=int(step))))


def _with_condition(parent, values):
    def conditional(hp):
        parent(hp)
        with hp.conditional_scope("width", values):
            hp.Choice("se_ratio", [0, 4])

    return Space("own", "Own.", conditional)


@pytest.mark.parametrize(
    ("parent", "values", "allowed"),
    [
        (lambda hp: hp.Choice("width", [4, 8]), [16], "width is 4 or 8"),
        (lambda hp: hp.Choice("width", [4, 8]), ["8"], "width is 4 or 8"),
        (lambda hp: hp.Fixed("width", 8), [4], "width is 8"),
        (lambda hp: hp.Boolean("width"), [2], "width is False or True"),
        (lambda hp: hp.Int("width", 4, 8), [3, 9], "width is from 4 to 8"),
        (lambda hp: hp.Int("width", 4, 8, step=2), [5], "width is from 4 to 8 in steps of 2"),
        (lambda hp: hp.Int("width", 4, 64, step=2, sampling="log"), [12], "width is from 4 to 64 in steps of 2"),
        (lambda hp: hp.Float("width", 0.0, 1.0, step=0.25), [0.3], "width is from 0.0 to 1.0 in steps of 0.25"),
        (lambda hp: hp.Float("width", 0.0, 1.0), ["0.5"], "width is from 0.0 to 1.0"),
    ],
)
def test_condition_that_never_holds_is_refused(parent, values, allowed):
    with pytest.raises(SpaceError, match=f"own declares 'se_ratio' for width = .*, which it never is; {allowed}"):
        declare(_with_condition(parent, values))


@pytest.mark.parametrize(
    ("parent", "values"),
    [
        (lambda hp: hp.Choice("width", [4, 8]), [8, 16]),
        (lambda hp: hp.Choice("width", [4.0, 8.0]), [8]),
        (lambda hp: hp.Boolean("width"), [True]),
        (lambda hp: hp.Int("width", 4, 8), [5]),
        (lambda hp: hp.Int("width", 4, 8, step=2), [6]),
        (lambda hp: hp.Int("width", 4, 64, step=2, sampling="log"), [32]),
        (lambda hp: hp.Float("width", 0.0, 1.0, step=0.25), [0.75]),
        (lambda hp: hp.Float("width", 0.0, 1.0, step=0.1), [3 * 0.1]),
        (lambda hp: hp.Float("width", 0.0, 1.0), [0.3]),
    ],
)
def test_condition_that_may_hold_is_taken(parent, values):
    assert [entry.name for entry in declare(_with_condition(parent, values)).space] == ["width", "se_ratio"]
