"""An ablation trains what its tables need, and takes of earlier trainings those of the same run."""

import dataclasses
import json

import pytest

from tuner.ablation import Training
from tuner.ablation_plan import AblationPlan
from tuner.hypermodel import SEResNetHyperModel
from tuner.variants import Variant, variants_of


def _training(network, seed, values):
    """Returns a whole training of nine epochs."""
    return Training(
        network=network,
        seed=seed,
        epochs=9,
        status="completed",
        val_accuracy=0.5,
        val_loss=1.0,
        seconds=1.0,
        params=1,
        macs=1,
        hyperparameters=json.dumps(dict(values)),
    )


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ({}, True),
        ({"seed": 4}, False),
        ({"epochs": 3}, False),
        ({"network": "other"}, False),
        ({"hyperparameters": '{"width": 8, "learning_rate": 0.1, "se_ratio": 0}'}, True),
        ({"hyperparameters": '{"width": 8, "learning_rate": 0.2, "se_ratio": 4}'}, False),
        ({"hyperparameters": '{"width": 8, "learning_rate": 0.1, "se_ratio": 4, "weight_decay": 0.001}'}, False),
    ],
)
def test_trainings_of_another_run_are_none_of_the_comparison(changes, covered):
    """A study that goes on may find another run, whose network is the same and whose training is not."""
    values = {"width": 8, "learning_rate": 0.1, "se_ratio": 4}
    found = Variant("se", "with", values, "net")
    plan = AblationPlan(found=found, variants=[found], seeds=[1, 2], epochs=9)
    training = _training("net", 2, values)
    assert plan.covers(dataclasses.replace(training, **changes)) == covered


@pytest.mark.parametrize(
    ("left_out", "kept"),
    [
        (lambda training: False, ["se", "ratio", "squeeze"]),
        (lambda training: training.seed == 2 and '"squeeze"' in training.hyperparameters, ["se", "ratio"]),
        (lambda training: '"se_ratio": 16' in training.hyperparameters, ["se", "squeeze"]),
        (lambda training: True, ["se"]),
    ],
)
def test_tables_of_an_earlier_ablation_stay_where_they_are_whole(left_out, kept):
    build = SEResNetHyperModel(lambda hp: None, (8, 8, 1), 3, 2, 4).model_config
    values = {"stages": 1, "blocks_1": 1, "width": 16, "se_ratio": 4, "learning_rate": 0.1}
    trainings = [
        _training(variant.network, seed, variant.hyperparameters)
        for variant in variants_of(values, ["se", "ratio", "squeeze"], build=build)
        for seed in (1, 2)
    ]
    rows = variants_of(values, ["se"], build=build)
    plan = AblationPlan(found=rows[0], variants=rows, seeds=[1, 2], epochs=9)
    held = [training for training in trainings if not left_out(training)]
    plan = plan.with_earlier(held, build=build)
    assert list(dict.fromkeys(variant.table for variant in plan.variants)) == kept
