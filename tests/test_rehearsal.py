"""A value of a space that cannot be trained shows before anything is trained."""

import pytest

from tuner.data import DataSpec
from tuner.declaration import declare
from tuner.errors import SpaceError, UsageError
from tuner.messages import Facts, Session
from tuner.rehearsal import rehearsed
from tuner.space import Space, load_space, space_names

FACTS = Facts(train=130, validation=9, input_shape=(32, 32, 3), classes=7, mean=(1.0,) * 3, variance=(2.0,) * 3)


def _rehearse(declare_, *, max_epochs=9):
    space = Space("own.py", "Own.", declare_)
    session = Session(data=DataSpec("digits"), space="own.py", max_epochs=max_epochs, batch_size=64)
    return rehearsed(session, FACTS, space=space, hp=declare(space))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda hp: hp.Choice("optimizer", ["sgd", "adamw"]), "optimizer as 'sgd' or 'adamw', and 'adamw' cannot be"),
        (lambda hp: hp.Float("weight_decay", -1.0, 1.0, default=1e-4), "weight_decay as from -1.0 to 1.0, and -1.0"),
        (lambda hp: hp.Float("learning_rate", 0.0, 0.5, default=0.1), "learning_rate as from 0.0 to 0.5, and 0.0"),
        (lambda hp: hp.Float("dropout", 0.0, 1.0, step=0.5), "dropout as from 0.0 to 1.0 in steps of 0.5, and 1.0"),
        (lambda hp: hp.Choice("squeeze", ["avg", "sum"]), "squeeze as 'avg' or 'sum', and 'sum' cannot be trained"),
        (lambda hp: hp.Choice("width", ["8", "x"], default="8"), "cannot be built"),
    ],
)
def test_value_that_is_not_the_default_is_tried(wrong, told):
    with pytest.raises(SpaceError, match=told):
        _rehearse(wrong)


def test_value_is_tried_where_its_conditions_hold():
    def space(hp):
        hp.Choice("stages", [2, 3])
        with hp.conditional_scope("stages", [3]):
            hp.Choice("optimizer", ["sgd", "adam"])
            with hp.conditional_scope("optimizer", ["adam"]):
                hp.Float("adam_learning_rate", 0.0, 1.0, default=0.1)

    with pytest.raises(SpaceError, match=r"own\.py declares adam_learning_rate as from 0.0 to 1.0, and 0.0 cannot be"):
        _rehearse(space)


def test_end_of_a_range_is_the_last_value_on_its_steps():
    hypermodel = _rehearse(lambda hp: hp.Float("dropout", 0.0, 1.0, step=0.3))  # 0.9 is the last
    assert hypermodel.model_config({"dropout": 0.9}).dropout == 0.9
    with pytest.raises(SpaceError, match=r"1\.0 cannot be trained"):
        _rehearse(lambda hp: hp.Float("dropout", 0.0, 1.0, step=0.25))


def test_training_of_too_many_steps_is_refused():
    with pytest.raises(UsageError, match=r"100,000,000 epochs of 3 steps.*MAX_EPOCHS.*allowed are 16,777,216 steps"):
        _rehearse(lambda hp: hp.Choice("width", [4, 8]), max_epochs=100_000_000)
    _rehearse(lambda hp: hp.Choice("width", [4, 8]), max_epochs=2**24 // 3)


@pytest.mark.parametrize("name", space_names())
def test_spaces_of_the_program_pass(name):
    space = load_space(name, augment=True, class_weights=True)
    hp = declare(space)
    session = Session(data=DataSpec("digits"), space=name, max_epochs=9, batch_size=64)
    hypermodel = rehearsed(session, FACTS, space=space, hp=hp)
    assert (hypermodel.max_epochs, hypermodel.classes) == (9, FACTS.classes)
